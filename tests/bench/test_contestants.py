"""Equal work: every contestant gives the same responses as the bare limit, or is left out and named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench import cases, content, inproc
from bench.contestants import BARE, NAMES, OWN, Contestant, find, installed
from bench.responses import Response, respond


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("files")
    content.write_files(made)
    return made


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("case", cases.CASES, ids=lambda case: case.name)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # from the peers' own imports and calls
def test_contestant_does_the_same_work_as_the_limit(name: str, case: cases.Case, folder: Path) -> None:
    contestant = find(name)
    runners, left_out = inproc.equal_runners(case, [find(BARE), contestant], folder)
    assert left_out == []
    kinds = contestant.makers.keys()
    assert (name in runners) == (case.kind in kinds)


@pytest.mark.parametrize("case", cases.HANDLERS, ids=lambda case: case.name)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # as above
def test_handlers_of_all_do_the_same_work(case: cases.Case, folder: Path) -> None:
    contestants = [find(name) for name in (OWN, "falcon", "bottle")]
    runners, left_out = inproc.equal_runners(case, contestants, folder)
    assert left_out == []
    assert len(runners) == 3


def test_webdemo_takes_part_in_every_case() -> None:
    assert find(OWN).makers.keys() == {case.kind for case in (*cases.CASES, *cases.HANDLERS)}


def test_limit_answers_what_a_case_is_called(folder: Path) -> None:
    [missing] = [case for case in cases.CASES if case.name == "missing"]
    app = find(BARE).make("pages", folder)
    assert app is not None
    found, headers = respond(app, cases.environs(missing, 1, {})[0])
    assert found.status == "404"
    assert headers["content-length"] == str(len(found.body))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"status": "201"}, "status '201'"),
        ({"content_type": "text/plain"}, "content-type 'text/plain'"),
        ({"content_length": "4"}, "content-length '4'"),
        ({"body": b"hell"}, "body b'hell'"),
    ],
)
def test_answers_that_differ_say_where(changed: dict[str, Any], words: str) -> None:
    right: dict[str, Any] = {
        "status": "200",
        "content_type": "text/html",
        "content_length": "5",
        "body": b"hello",
    }
    difference = Response(**right | changed).differs_from(Response(**right))
    assert difference is not None
    assert difference.startswith(words)


def test_answers_that_are_the_same_do_not_differ() -> None:
    assert (
        Response("200", "text/html", "2", b"ok").differs_from(Response("200", "text/html", "2", b"ok"))
        is None
    )


def test_contestant_that_differs_is_left_out_and_named(folder: Path) -> None:
    [hello] = [case for case in cases.CASES if case.name == "hello"]
    makers = {"pages": lambda: lambda environ, start: (start("200 OK", []), [b"something else"])[1]}
    runners, left_out = inproc.equal_runners(hello, [find(BARE), Contestant("wrong", "1", makers)], folder)
    assert list(runners) == [BARE]
    assert left_out == [
        "wrong is left out of “hello”: content-type '' instead of 'text/html; charset=utf-8'."
    ]


def test_peer_that_is_not_installed_is_named_with_the_command_that_installs_it() -> None:
    found, missing = installed((BARE, "nobody"))
    assert [contestant.name for contestant in found] == [BARE]
    assert "nobody is left out" in missing[0]
    assert "pip install 'webdemo[bench]'" in missing[0]
