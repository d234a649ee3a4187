"""A server that is missing, crashes, hangs or is killed is a row in every report; nothing is left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from xml.etree import ElementTree

import psutil
import pytest

from tests.running import children
from webdemo.compare import runner
from webdemo.compare.behaviour import app_requests, own_paths
from webdemo.compare.report import accepted
from webdemo.compare.results import Comparison, from_json
from webdemo.worker.app_import import Target

pytestmark = pytest.mark.process

SECONDS = 120.0

APP = """
import os

def app(environ, start_response):
    if environ["PATH_INFO"] == "/ends" and environ["SERVER_SOFTWARE"].startswith("waitress"):
        os._exit(3)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
"""

# It behaves by the name of the server that imports it, found in the arguments of its loader's parent.
FALLING = """
import os, pathlib, signal, time

def of(pid):
    return pathlib.Path(f"/proc/{pid}/cmdline").read_text()

if "wsgiref:" in of(os.getppid()):
    raise RuntimeError("not on <wsgiref>")
if "werkzeug:" in of(os.getppid()):
    time.sleep(600)

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"up"]
"""

# A plug-in for a server that is not installed.
PLUG_IN = """
from webdemo.servers import Adapter

absent = Adapter(name="absent", serve=print, summary="never there", distribution="no-such-distribution")
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Apps and a plug-in, with a folder for a comparison's temporary files."""
    (tmp_path / "ending.py").write_text(APP)
    (tmp_path / "falling.py").write_text(FALLING)
    (tmp_path / "absent_server.py").write_text(PLUG_IN)
    info = tmp_path / "absent_server-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: absent-server\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[webdemo.servers]\nabsent = absent_server:absent\n")
    (tmp_path / "tmp").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def command(folder: Path, *arguments: str) -> tuple[list[str], dict[str, str]]:
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")])),
        "XDG_STATE_HOME": str(folder / "state"),
        "TMPDIR": str(folder / "tmp"),
    }
    return [sys.executable, "-m", "webdemo", "compare", "--only", "behaviour", *arguments], environment


def compared(folder: Path, *arguments: str, code: int) -> tuple[Comparison, str]:
    """The comparison, and all its text output."""
    words, environment = command(
        folder, *arguments, "--json", "a.json", "--html", "a.html", "--junit", "a.xml"
    )
    done = subprocess.run(
        words, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == code, done
    assert list((folder / "tmp").iterdir()) == []
    return from_json((folder / "a.json").read_text()), done.stdout


def started(pid: int) -> list[psutil.Process]:
    """The processes that a comparison has started."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return children(psutil.Process(pid), recursive=True)
    return []


@pytest.mark.timeout(SECONDS + 30)
def test_what_does_not_start_is_a_row_in_every_report_with_the_reason(folder: Path) -> None:
    arguments = [f"--server={name}" for name in ("absent", "wsgiref", "werkzeug", "waitress")]
    comparison, text = compared(
        folder, "--app", "falling:app", "--path", "/", *arguments, "--fail-on-difference", code=1
    )
    rows = {server.label: server for server in comparison.servers}
    assert {label: row.state for label, row in rows.items()} == {
        "absent": "missing", "wsgiref": "crashed", "werkzeug": "hung", "waitress": "up",
    }  # fmt: skip
    assert rows["absent"].problem == "The server absent is not installed: pip install no-such-distribution"
    assert "RuntimeError: not on <wsgiref>" in str(rows["wsgiref"].problem)
    assert rows["werkzeug"].problem == "It did not respond within 20 s."
    flat = " ".join(text.split())
    html = unescape((folder / "a.html").read_text())
    suites = {suite.get("name"): suite for suite in ElementTree.parse(folder / "a.xml").getroot()}
    for label in ("absent", "wsgiref", "werkzeug"):
        assert f"{label} ({rows[label].state}): {rows[label].problem}" in flat
        problem = str(rows[label].problem)
        assert problem in html
        case = suites[label].find("testcase[@name='runs the app']")
        assert case is not None
        assert case[0].get("message") == problem
        assert case[0].tag == ("skipped" if label == "absent" else "error")


def test_a_server_that_is_not_installed_is_no_failure_unless_nothing_else_runs(folder: Path) -> None:
    only = ("--app", "ending:app", "--path", "/")
    comparison, _ = compared(folder, *only, "-s", "absent", "-s", "wsgiref", code=0)
    assert accepted.judge(comparison).failed == ()
    assert comparison.behaviour is not None
    assert {f.verdict for f in comparison.behaviour.findings if f.server == "absent"} == {"missing"}
    compared(folder, *only, "-s", "absent", code=1)


def test_a_server_whose_process_ends_is_told_of_and_goes_on(folder: Path) -> None:
    comparison, text = compared(
        folder, "--app", "ending:app", "-s", "waitress", "-s", "wsgiref", "--path", "/ends", "--path", "/",
        code=0,
    )  # fmt: skip
    rows = {server.label: server for server in comparison.servers}
    assert rows["waitress"].state == "up"
    assert "exit code 3 during the comparison and was started again" in str(rows["waitress"].problem)
    assert rows["wsgiref"].problem is None
    assert "was started again" in " ".join(text.split())
    assert comparison.behaviour is not None
    found = {(f.probe, f.server): f.verdict for f in comparison.behaviour.findings}
    assert found["GET /ends", "waitress"] == "dropped"
    assert found["GET /", "waitress"] == "right"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=lambda n: n.name)
def test_a_run_that_is_killed_is_crashed_from_then_on(folder: Path, number: signal.Signals) -> None:
    requests = app_requests.of_paths(["/"])
    with runner.running(runner.choose(["waitress", "wsgiref"]), Target("ending:app")) as runs:
        leader = next(
            p
            for p in psutil.Process().children()
            if runs[0].pids[0] in [c.pid for c in children(p, recursive=True)]
        )
        leader.send_signal(number)
        deadline = time.monotonic() + 60
        while runs[0].is_up():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        found = own_paths.compare(runs, requests, lambda: None).findings
        rows = [run.row() for run in runs]
    assert [row.state for row in rows] == ["crashed", "up"]
    assert str(rows[0].problem).startswith("It ended during the comparison: ")
    assert [finding.verdict for finding in found] == ["missing", "right"]
    assert found[0].evidence == rows[0].problem


@contextlib.contextmanager
def comparing(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    words, environment = command(folder, *arguments)
    process = subprocess.Popen(
        words, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_even_a_kill_leaves_no_process_and_no_folder(folder: Path) -> None:
    with comparing(folder, "--app", "ending:app", "-s", "waitress", "-s", "wsgiref") as process:
        deadline = time.monotonic() + SECONDS
        while len(seen := started(process.pid)) < 6:
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.05)
    _, alive = psutil.wait_procs(seen, timeout=30)
    assert alive == []
    assert list((folder / "tmp").iterdir()) == []


@pytest.mark.parametrize("kind", ["--json", "--html", "--junit"])
def test_a_report_that_could_not_be_written_is_refused_before_anything_runs(folder: Path, kind: str) -> None:
    for file in (folder / "no-such-folder" / "report", folder):
        words, environment = command(folder, "--app", "ending:app", kind, str(file))
        done = subprocess.run(
            words, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
        )
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(f"{file} cannot be written.")
