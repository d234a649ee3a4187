"""The corpus as data, and the parsing of responses: no process is started."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

import pytest

from webdemo.client import wire
from webdemo.client.wire import Exchange, Request
from webdemo.compare import runner
from webdemo.compare.behaviour import app_requests, known, probing
from webdemo.compare.corpus import GROUPS, probe_app
from webdemo.compare.corpus.case import Case
from webdemo.compare.results import Behaviour, Comparison, Finding, Machine, Server, from_json
from webdemo.errors import UsageError

CASES = [case for cases in GROUPS.values() for case in cases]
BY_NAME = {case.name: case for case in CASES}
NUMBER = r"\d+(\.\d+)*"
SECTION = re.compile(
    rf"RFC (9110|9112|9113|3986|3875) section {NUMBER}(, {NUMBER})?( \((MUST|SHOULD|RECOMMENDED|MAY)\))?"
    r"|PEP 3333, \w[^()]*(\(\) Callable)?( \((must|should|may)\))?"
)


def test_the_corpus_has_over_sixty_probes_with_names_of_their_own() -> None:
    names = [case.name for case in CASES]
    assert len(names) > 60
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z0-9.-]+", name) for name in names)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_probe_cites_a_section_and_says_what_it_means(case: Case) -> None:
    assert SECTION.fullmatch(case.section), case.section
    for text in (case.expected, case.meaning):
        assert text.endswith((".", ".)")), text
    assert case.title


def test_every_probe_sends_a_request() -> None:
    assert [case.name for case in CASES if not any(isinstance(step, bytes) for step in case.steps)] == []


def test_every_quirk_is_of_a_probe_that_exists() -> None:
    names = {case.name for case in CASES}
    for label, quirks in known.quirks().items():
        assert quirks.does.keys() <= names, label
        assert quirks.version


def test_a_quirk_is_known_by_server_and_deed_and_another_deed_is_news() -> None:
    told = ("header-name-case", "differs", "sends X-Mixed-Case")
    assert known.seen_in("waitress", *told) == known.quirks()["waitress"].version
    assert known.seen_in("waitress?threads=8", *told) is not None
    assert known.seen_in("gunicorn", *told) is None
    version = known.quirks()["waitress"].version
    assert known.is_steady("waitress", version, told[0])
    assert not known.is_steady("waitress", "0.1", told[0])
    assert not known.is_steady("gunicorn", known.quirks()["gunicorn"].version, told[0])
    assert known.seen_in("waitress", "header-name-case", "wrong", "sends X-Mixed-Case") is None
    assert known.seen_in("new-server", *told) is None


@pytest.mark.parametrize(
    ("probe", "labels"),
    [
        ("target-encoded-slash", {"cheroot"}),
        ("environ-raw-target", {"gunicorn", "werkzeug", "waitress", "cheroot"}),
        ("environ-file-wrapper", {"werkzeug", "cheroot", "gevent", "hypercorn"}),
        ("chunked-body-by-length", {"waitress", "wsgiref"}),
        ("chunked-body", {"wsgiref"}),
        ("http-9.9", {"waitress", "hypercorn"}),
        ("header-bare-lf", {"werkzeug", "waitress", "gunicorn", "wsgiref", "cheroot", "gevent"}),
        ("two-lengths-alike", {"werkzeug", "waitress", "gunicorn", "wsgiref", "cheroot", "gevent"}),
        ("chunk-extension-bare-lf", {"gevent"}),
        ("wide-header", {"werkzeug"}),
        ("header-name-case", {"waitress"}),
        ("expect-without-body", {"waitress"}),
        ("head-with-body", {"waitress", "werkzeug", "wsgiref"}),
        ("http-1.0-stream", {"werkzeug"}),
        ("http-1.2", {"gunicorn", "gunicorn?threads=1"}),
        ("file-shrinks", {"waitress", "cheroot", "gevent"}),
        ("too-short", {"cheroot", "gevent"}),
    ],
)
def test_what_is_known_to_break_real_apps_is_among_the_quirks(probe: str, labels: set[str]) -> None:
    assert labels <= {label for label, quirks in known.quirks().items() if probe in quirks.does}


def told(page: str) -> bytes:
    """The response of the probe app, without a server."""
    environ: dict[str, Any] = {}
    setup_testing_defaults(environ)
    environ |= {
        "PATH_INFO": page,
        "QUERY_STRING": "x",
        "wsgi.input": io.BytesIO(b"hello"),
        "CONTENT_LENGTH": "5",
    }
    return b"".join(probe_app.app(environ, lambda *_: lambda data: None))


def answered(
    status: int, body: bytes = b"no", version: str = "1.1", *, is_whole: bool = True
) -> wire.Response:
    return wire.Response(version, status, "Of some kind", (), body, is_whole)


def exchanged(
    case: Case, *answers: wire.Response, ended: wire.Ended = "closed", rest: bytes = b""
) -> Exchange:
    raw = b"".join(response.body for response in answers) + rest
    marks = tuple(0 for _ in case.steps)
    return Exchange(raw, answers, rest, ended, marks, len(case.methods), {})


STATUSES = (200, 204, 301, 304, 400, 405, 411, 413, 414, 417, 431, 500, 501, 505)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_judge_has_a_word_for_every_answer(case: Case) -> None:
    bodies = [b"no", *map(told, ("/probe/read", "/", "/probe/read-lines"))]
    answers = [answered(status, body) for status in STATUSES for body in bodies]
    answers += [answered(200, b"no", "1.2"), answered(200, b"no", "1.0")]
    if case.judges_breaks:
        answers += [answered(200, b"", is_whole=False)]
    many = [
        (response,) * count for response in answers for count in (1, len(case.methods), len(case.methods) + 1)
    ]
    ends: list[wire.Ended] = ["closed", "reset", "open"]
    exchanges = [exchanged(case, *some, ended=end, rest=rest)
                 for some in many for end in ends for rest in (b"", b"junk")]  # fmt: skip
    if case.judges_breaks:
        exchanges += [exchanged(case, ended=end, rest=rest) for end in ends[:2] for rest in (b"", b"junk")]
    for exchange in exchanges:
        judgement = case.judge(exchange)
        assert judgement.verdict in ("right", "differs", "wrong")
        assert bool(judgement.does) == (judgement.verdict != "right")


@pytest.mark.parametrize(
    ("name", "status", "ended", "level"),
    [
        # A MUST with a status: no other status is right, and the connection must be closed.
        ("two-lengths", 400, "closed", "right"),
        ("two-lengths", 400, "open", "wrong"),
        ("two-lengths", 411, "closed", "wrong"),
        ("host-missing", 400, "closed", "right"),
        ("host-missing", 200, "closed", "wrong"),
        ("header-folded", 431, "closed", "wrong"),
        ("target-100000", 414, "closed", "right"),
        ("target-100000", 431, "closed", "wrong"),
        # Any 4xx counts as a refusal.
        ("header-8000", 413, "closed", "differs"),
        ("header-8000", 500, "closed", "wrong"),
        # May be refused.
        ("chunked-body", 411, "closed", "differs"),
        ("chunked-body", 400, "closed", "wrong"),
        ("both-lengths", 400, "closed", "right"),
        ("both-lengths", 400, "open", "wrong"),
        ("transfer-encoding-unknown", 501, "closed", "right"),
        ("method-webdav", 501, "closed", "differs"),
        ("expect-unknown", 417, "closed", "differs"),
        ("host-missing-http-1.0", 400, "closed", "differs"),
        # Following a SHOULD is right, ignoring it is not wrong.
        ("target-bad-percent", 400, "closed", "right"),
        ("target-raw-utf-8", 301, "closed", "right"),
        ("target-query-raw", 200, "closed", "differs"),
        ("header-without-colon", 200, "closed", "differs"),
        ("http-1.2", 505, "closed", "differs"),
        ("http-9.9", 505, "closed", "right"),
        ("start-twice", 201, "closed", "differs"),
        ("input-past-end", 500, "closed", "differs"),
    ],
)
def test_a_verdict_is_as_strong_as_the_rule(name: str, status: int, ended: wire.Ended, level: str) -> None:
    case = BY_NAME[name]
    assert case.judge(exchanged(case, answered(status), ended=ended)).verdict == level


def test_an_answer_in_a_version_that_does_not_exist_is_wrong() -> None:
    case = BY_NAME["http-1.2"]
    assert case.judge(exchanged(case, answered(200, version="1.2"))).verdict == "wrong"
    assert case.judge(exchanged(case, answered(200, version="1.1"))).verdict == "right"


def test_a_file_that_shrinks_ends_whoever_reads_on_behind_it() -> None:
    shrinking = probe_app.Shrinking("x")
    assert len(shrinking.read()) == probe_app.SHRUNK_BYTES
    with shrinking, pytest.raises(OSError, match="past the end"):
        sum(len(shrinking.read(1000)) for _ in range(2 * probe_app.MOST_READS))
    assert json.loads(told("/probe/recall")) == {"happened": [probe_app.ENDLESS, "close"]}


def test_a_comparison_survives_json() -> None:
    finding = Finding("keep-alive", "waitress", "right", "HTTP/1.1 200 OK")
    comparison = Comparison(
        "shop:app", "2026-11-23T03:00:00+00:00", "0.1.0", Machine("Linux", "3.11", "cpu", 2, 1),
        (Server("waitress", "waitress", {"threads": "2"}, "3.0.2", "up"),),
        probing.join([Behaviour(probing.probes(), (finding,), 1.0)]),
    )  # fmt: skip
    assert from_json(comparison.to_json()) == comparison
    with pytest.raises(UsageError):
        from_json('{"schema": 99}')
    with pytest.raises(UsageError):
        from_json("[]")


def test_servers_are_chosen_by_name_with_their_options() -> None:
    [choice] = runner.choose(["gunicorn?threads=1"])
    assert (choice.name, choice.options) == ("gunicorn", {"threads": "1"})
    assert choice.bind_text == "gunicorn://127.0.0.1:0?threads=1"
    assert {"werkzeug", "gunicorn", "gunicorn?threads=1"} <= {c.label for c in runner.choose([])}
    for wrong in (["waitress", "waitress"], ["waitress?thread=1"], ["smtp"]):
        with pytest.raises(UsageError):
            runner.choose(wrong)
    with pytest.raises(UsageError, match="no server called 'waitres'"):
        runner.choose(["waitres"])


def test_a_har_file_gives_its_requests_without_what_belongs_to_the_connection(tmp_path: Path) -> None:
    file = tmp_path / "site.har"
    headers = [{"name": ":authority", "value": "x"}, {"name": "Host", "value": "x"},
               {"name": "Cookie", "value": "a=1"}]  # fmt: skip
    request = {"method": "POST", "url": "https://shop.example/a b?q=1", "headers": headers,
               "postData": {"text": "x=1"}}  # fmt: skip
    file.write_text(json.dumps({"log": {"entries": [{"request": request}]}}))
    assert app_requests.of_har(file) == [
        app_requests.AppRequest(Request("POST", "/a%20b?q=1", (("Cookie", "a=1"),), b"x=1"))
    ]
    file.write_text("{}")
    with pytest.raises(UsageError):
        app_requests.of_har(file)
    with pytest.raises(UsageError):
        app_requests.of_har(tmp_path / "missing.har")
    with pytest.raises(UsageError):
        app_requests.of_paths(["about"])
