"""The results of a comparison for CI: remaining differences, accepted ones, and JUnit XML."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.compare import sample
from webdemo.compare.report.accepted import Entry, judge, read
from webdemo.compare.report.junit import to_junit
from webdemo.errors import UsageError

FINDINGS = (
    sample.finding("same", "waitress", "right"),
    sample.finding("same", "cheroot", "right"),
    sample.finding("underscore", "waitress", "right"),
    sample.finding("underscore", "cheroot", "wrong", is_new=True),
)
TWO = (sample.server("waitress"), sample.server("cheroot"))


def accepted_file(folder: Path, text: str) -> Path:
    path = folder / "accepted.toml"
    path.write_text(text)
    return path


def test_what_nobody_accepted_is_a_difference() -> None:
    judgement = judge(sample.comparison(TWO, findings=FINDINGS))
    assert [(f.server, f.probe) for f in judgement.differences] == [("cheroot", "underscore")]
    assert not judgement.is_same


@pytest.mark.parametrize("server", ["cheroot", "*"])
@pytest.mark.parametrize("verdict", ['verdict = "wrong"', ""])
def test_an_accepted_difference_is_none(tmp_path: Path, server: str, verdict: str) -> None:
    path = accepted_file(
        tmp_path, f'[[accepted]]\nserver = "{server}"\nprobe = "underscore"\nwhy = "Known."\n{verdict}\n'
    )
    judgement = judge(sample.comparison(TWO, findings=FINDINGS), read(path))
    assert judgement.is_same
    assert [entry.why for _, entry in judgement.accepted] == ["Known."]
    assert judgement.unused == ()


def test_what_is_known_of_a_server_is_no_difference_and_what_the_app_does_is() -> None:
    findings = (
        sample.finding("underscore", "cheroot", "wrong"),
        sample.finding("GET /about", "cheroot", "differs"),
    )
    comparison = sample.comparison(TWO, findings=findings)
    judgement = judge(comparison)
    assert [finding.probe for finding in judgement.differences] == ["GET /about"]
    assert [finding.probe for finding in judgement.known] == ["underscore"]
    [skipped] = ElementTree.fromstring(to_junit(comparison, judgement)).iter("skipped")
    assert skipped.get("message") == "Known of this server: It is wrong there."


def test_what_became_worse_than_accepted_is_a_difference_again() -> None:
    entry = Entry("cheroot", "underscore", "It only differs.", "differs")
    judgement = judge(sample.comparison(TWO, findings=FINDINGS), (entry,))
    assert not judgement.is_same
    assert judgement.unused == (entry,)


def test_what_is_accepted_of_a_server_that_is_not_there_is_not_in_vain() -> None:
    servers = (sample.server("waitress"), sample.server("cheroot", state="missing"))
    entries = (Entry("cheroot", "underscore", "Known."), Entry("waitress", "underscore", "Known."))
    assert judge(sample.comparison(servers, findings=FINDINGS[:1]), entries).unused == entries[1:]


def test_a_server_that_crashes_fails_the_build_and_a_missing_one_does_not() -> None:
    crashed = sample.server("gevent", state="crashed", problem="It broke.")
    missing = sample.server("cheroot", state="missing", problem="Not installed.")
    assert not judge(sample.comparison((crashed,))).is_same
    assert judge(
        sample.comparison((missing,), findings=(sample.finding("same", "cheroot", "missing"),))
    ).is_same


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[[accepted]\n", "Expected"),
        ('[[accepted]]\nserver = "a"\nprobe = "b"\n',
         "accepted[0].why is missing. It is text that says why."),
        ('[[accepted]]\nserver = "a"\nprobe = "b"\nwhy = ""\n',
         "accepted[0].why cannot be ''. It is text that says why."),
        ('[[accepted]]\nsever = "a"\n',
         "There is no field 'accepted[0].sever' here. It takes server, probe, why, verdict."),
        ("[[accepted]]\nserver = 1\n", "accepted[0].server cannot be 1. It is text."),
        ("accepted = [1]\n", "accepted[0] cannot be 1. It is an object."),
        ('[[accepted]]\nserver = "a"\nprobe = "b"\nwhy = "c"\nverdict = "bad"\n',
         "verdict cannot be 'bad'. It is one of differs, wrong, dropped, hung or null."),
        ("[other]\n", "There is no field 'other' here. It takes accepted."),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_used_says_why(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(accepted_file(tmp_path, text))
    assert problem in caught.value.problem
    assert caught.value.exit_code == 2


def test_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        read(tmp_path / "none.toml")


def test_junit_has_a_suite_for_each_server_and_a_case_for_each_probe() -> None:
    comparison = sample.everything()
    root = ElementTree.fromstring(to_junit(comparison, judge(comparison)))
    assert [suite.get("name") for suite in root] == [server.label for server in comparison.servers]
    for suite in root:
        assert suite.get("tests") == str(len(suite.findall("testcase")))
        assert suite.get("failures") == str(len(suite.findall("testcase/failure")))
    assert int(root.get("failures", "")) == len(judge(comparison).differences)
    assert int(root.get("errors", "")) == 1
    [error] = root.findall("testsuite[@name='gevent']/testcase/error")
    assert error.get("message") == "RuntimeError: no <loop>"


def test_junit_tells_what_differs_and_skips_what_is_accepted() -> None:
    comparison = sample.comparison(TWO, findings=FINDINGS)
    entry = Entry("cheroot", "underscore", "No client sends it.")
    [failure] = ElementTree.fromstring(to_junit(comparison, judge(comparison))).iter("failure")
    assert failure.get("type") == "wrong"
    assert "RFC 9110 section 5.1" in (failure.text or "")
    root = ElementTree.fromstring(to_junit(comparison, judge(comparison, (entry,))))
    [skipped] = root.iter("skipped")
    assert skipped.get("message") == "Accepted: No client sends it."
    assert root.get("failures") == "0"
