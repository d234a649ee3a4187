"""The answer of a comparison: what it says on the first screen, and that it says nothing it has not seen."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from tests.compare import sample
from webdemo.compare.report import terminal
from webdemo.compare.report.answer import HINTS, answer
from webdemo.compare.results import Comparison, Lifecycle, Ratio

DOCS = Path(__file__).resolve().parents[2] / "docs/compare.md"


def shown(comparison: Comparison, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width)
    terminal.show(comparison, answer(comparison), console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def of(*labels: str, findings: dict[str, dict[str, str]] | None = None, **facts: object) -> Comparison:
    """A comparison of these servers; `findings` has the verdicts that are not right, by probe and server."""
    found = tuple(
        sample.finding(probe, label, verdicts.get(label, "right"))  # type: ignore[arg-type]
        for probe, verdicts in (findings or {}).items()
        for label in labels
    )
    servers = tuple(map(sample.server, labels))
    return sample.comparison(servers, findings=found if findings is not None else None, **facts)  # type: ignore[arg-type]


def ratio(label: str, share: float, *, is_significant: bool) -> Ratio:
    return Ratio(label, "waitress", "steady", 8, sample.exactly(share), is_significant)


def hints(comparison: Comparison) -> dict[str, str]:
    return dict(answer(comparison).hints)


# -- does the app behave the same --------------------------------------------------------------------


def test_the_first_screen_names_exactly_what_differs_and_where() -> None:
    labels = ("waitress", "gunicorn", "werkzeug", "cheroot")
    comparison = of(*labels, findings={
        "GET /status": {"waitress": "differs"},
        "GET /header": {"gunicorn": "differs"},
        "GET /body": {"werkzeug": "differs", "cheroot": "differs"},
        "GET /": {},
    })  # fmt: skip
    found = answer(comparison)
    assert found.same is False
    assert found.says == "No: 3 of 4 requests get different responses."
    assert {one.probe.name: one.labels for one in found.differences} == {
        "GET /status": ["waitress"],
        "GET /header": ["gunicorn"],
        "GET /body": ["werkzeug", "cheroot"],
    }
    text = shown(comparison)
    assert [line.split()[1] for line in text.splitlines() if line.startswith("  GET ")] == [
        "/status", "/header", "/body"
    ]  # fmt: skip
    assert "/ " not in text.replace("GET /body", "")


def test_the_answer_fits_one_screen() -> None:
    assert len(shown(sample.everything()).splitlines()) <= 24


@pytest.mark.parametrize(
    ("findings", "labels", "said"),
    [
        ({"GET /": {}, "GET /a": {}}, ("waitress", "gunicorn"),
         "Yes: all 2 requests get the same response on 2 servers."),
        ({"GET /": {}}, ("waitress", "gunicorn"),
         "Yes: GET / gets the same response on 2 servers."),
        ({"GET /": {}}, ("waitress",), "Only waitress ran: there is nothing to compare it with."),
        ({"GET /": {}}, (), "Not compared: only speed was measured."),
        ({"GET /": {"waitress": "dropped", "gunicorn": "hung"}, "GET /a": {}}, ("waitress", "gunicorn"),
         "No: GET / fails on every server."),
        ({"GET /": {"waitress": "differs"}}, ("waitress", "gunicorn"), "No: GET / gets different responses."),
        (None, ("waitress", "gunicorn"), "Not compared: only speed was measured."),
    ],
)  # fmt: skip
def test_whether_it_behaves_the_same_is_said_only_of_what_ran(
    findings: dict[str, dict[str, str]] | None, labels: tuple[str, ...], said: str
) -> None:
    assert answer(of(*labels, findings=findings)).says == said


def test_nothing_is_said_of_servers_when_none_ran() -> None:
    crashed = sample.server("waitress", state="crashed", problem="It ended.")
    findings = tuple(sample.finding(name, "waitress", "missing") for name in ("GET /", "probe"))
    comparison = sample.comparison((crashed,), findings=findings)
    found = answer(comparison)
    assert (found.same, found.says) == (None, "Not compared: no server ran it.")
    assert "The servers themselves:" not in dict(found.details)
    assert (found.choice.server, found.choice.why) == (None, "No server ran.")
    assert "answered wrongly" not in shown(comparison)


def test_an_accepted_difference_is_none() -> None:
    comparison = of("waitress", "gunicorn", findings={"GET /": {"waitress": "differs"}, "GET /a": {}})
    accepted = [finding for finding in comparison.findings if finding.differs]
    found = answer(comparison, accepted)
    assert found.says == (
        "Yes: all 2 requests get the same response on 2 servers, apart from accepted differences."
    )
    assert found.choice.not_chosen == ""


# -- which server ------------------------------------------------------------------------------------


def test_the_dev_server_is_never_chosen_however_fast() -> None:
    comparison = of("werkzeug", "waitress", findings={"GET /": {}}, measurements=(
        sample.measurement("werkzeug", 5000), sample.measurement("waitress", 1000),
    ))  # fmt: skip
    choice = answer(comparison).choice
    assert choice.server == "waitress"
    assert choice.not_chosen == "werkzeug (made for development)."


def test_a_server_with_many_wrong_responses_or_a_difference_is_not_chosen() -> None:
    probes = {f"probe-{n}": {"granian": "wrong"} for n in range(9)}
    comparison = of("granian", "gevent", "waitress", findings=probes | {"GET /": {"gevent": "differs"}})
    choice = answer(comparison).choice
    assert choice.server == "waitress"
    assert choice.not_chosen == (
        "granian (9 wrong responses, where the best has 0); gevent (differs on GET /)."
    )


def test_of_servers_as_fast_the_one_is_chosen_that_slow_clients_do_not_block() -> None:
    comparison = of("waitress", "gunicorn", findings={"probe": {"waitress": "wrong"}}, measurements=(
        sample.measurement("waitress", 5000),
        sample.measurement("gunicorn", 4900),
        sample.measurement("waitress", 4000, case="slow clients"),
        sample.measurement("gunicorn", 0, case="slow clients"),
    ), ratios=(ratio("gunicorn", 0.98, is_significant=False),))  # fmt: skip
    choice = answer(comparison).choice
    assert choice.server == "waitress"
    assert choice.why == (
        "Of the servers with nothing against them, none is measurably faster: "
        "5,000 requests/s with 8 connections, 1 of 1 probes answered wrongly, 20 MB of memory."
    )
    assert choice.not_chosen == "gunicorn (as fast, but slow clients block it)."
    assert choice.sure == "Sure, for this app on this machine: the rounds agree."


def test_a_faster_server_wins_over_one_with_fewer_wrong_responses() -> None:
    comparison = of("waitress", "gunicorn", findings={"probe": {"waitress": "wrong"}}, measurements=(
        sample.measurement("waitress", 5000), sample.measurement("gunicorn", 1000),
    ), ratios=(ratio("gunicorn", 0.2, is_significant=True),))  # fmt: skip
    choice = answer(comparison).choice
    assert choice.server == "waitress"
    assert choice.not_chosen == "gunicorn (slower, 1,000 requests/s)."


def test_the_first_screen_tells_for_each_server_why_it_is_not_chosen_and_its_wrong_responses() -> None:
    probes = {"one": {"gevent": "wrong", "werkzeug": "hung"}, "two": {"gevent": "dropped"}}
    ratios = tuple(ratio(label, 0.98, is_significant=False) for label in ("waitress", "gunicorn"))
    measurements = (
        sample.measurement("gevent", 5000),
        sample.measurement("waitress", 4900),
        sample.measurement("gunicorn", 4800, memory_bytes=sample.exactly(3e7)),
    )
    labels = ("gevent", "waitress", "gunicorn", "werkzeug")
    found = answer(of(*labels, findings=probes, measurements=measurements, ratios=ratios))
    assert found.choice.server == "waitress"
    assert found.choice.not_chosen == (
        "gevent (as fast, but 2 wrong responses); gunicorn (as fast, but 30 MB of memory); "
        "werkzeug (made for development)."
    )
    assert dict(found.details)["The servers themselves:"] == (
        "Of 2 HTTP and WSGI probes, answered wrongly or not at all: "
        "0 by waitress and gunicorn; 1 by werkzeug; 2 by gevent."
    )


def test_a_server_that_was_not_measured_is_not_chosen_among_others_that_were() -> None:
    comparison = of("waitress", "gunicorn", findings={"probe": {"gunicorn": "wrong"}}, measurements=(
        sample.measurement("gunicorn", 1000),
    ))  # fmt: skip
    choice = answer(comparison).choice
    assert (choice.server, choice.not_chosen) == ("gunicorn", "waitress (not measured).")


def test_without_figures_and_without_a_difference_none_is_chosen() -> None:
    choice = answer(of("waitress", "gunicorn", findings={"GET /": {}})).choice
    assert choice.server is None
    assert choice.why == "The results favour none of waitress and gunicorn."
    assert choice.sure == "By behaviour alone: speed was not measured."


def test_an_uneven_machine_makes_the_choice_less_sure() -> None:
    uneven = sample.measurement("waitress", 2000, requests_per_second=sample.exactly(2000, by=0.4))
    choice = answer(of("waitress", "werkzeug", findings={"GET /": {}}, measurements=(uneven,))).choice
    assert choice.server == "waitress"
    assert choice.sure.startswith("Not very: the rounds differ a lot")


# -- hints -------------------------------------------------------------------------------------------


def test_every_hint_is_listed_in_the_documentation_with_its_condition() -> None:
    text = DOCS.read_text(encoding="utf-8")
    for name, condition in HINTS.items():
        assert f"| {name} | {condition} |" in text


def test_nothing_is_hinted_of_nothing() -> None:
    assert hints(sample.comparison()) == {}


def test_an_app_that_takes_the_time_itself_is_told() -> None:
    comparison = sample.comparison(
        measurements=(sample.measurement("waitress", 100), sample.measurement("gunicorn", 95))
    )
    assert "the app decides" in hints(comparison)


def test_slow_clients_lost_requests_errors_and_limits_are_told() -> None:
    comparison = sample.comparison(
        measurements=(
            sample.measurement("gunicorn", 5000, errors=3, limited_by="client"),
            sample.measurement("gunicorn", 10, case="slow clients"),
            sample.measurement("waitress", 2000),
            sample.measurement("waitress", 1900, case="slow clients"),
        ),
        lifecycles=(Lifecycle("gunicorn", None, None, 2, None),),
    )
    said = hints(comparison)
    assert said.keys() <= HINTS.keys()
    assert "Slow clients block gunicorn:" in said["slow clients"]
    assert "gunicorn (2)" in said["lost at stop"]
    assert "gunicorn had 3 errors with 8 connections" in said["errors"]
    assert "gunicorn" in said["client was the limit"]
