"""--in-process: one server in the process that was started, whose terminal is the app's."""

from __future__ import annotations

import io
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests import running as runs
from tests.raw_http import get
from webdemo.standard_streams import write_output

APP = """
def app(environ, start_response):
    if environ["PATH_INFO"] == "/stop-here":
        word = "seen by the debugger"
        breakpoint()
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""


@pytest.mark.process
@pytest.mark.parametrize("server", ["werkzeug", "waitress", "cheroot"])
def test_breakpoint_has_the_terminal_and_a_signal_drains(server: str, tmp_path: Path) -> None:
    (tmp_path / "served.py").write_text(APP)
    arguments = [*runs.MODULE, "--app", "served", "--in-process", "-b", f"{server}://127.0.0.1:0"]
    with subprocess.Popen(
        arguments, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdin is not None
        assert run.stdout is not None
        try:
            assert run.stdout.readline() == "App: served:app\n"
            line = run.stdout.readline()
            url = re.search(r"http://\S+", line)
            assert url, line
            run.stdin.write("p word\nc\n")
            run.stdin.flush()
            assert get(url[0], "/stop-here").text == "ok"
            run.send_signal(signal.SIGTERM)
            said = run.stdout.read()
            assert "seen by the debugger" in said
            assert f"{server} " in said
            assert " GET /stop-here 200 " in said
            assert run.wait(runs.END_SECONDS) == 0
        finally:
            run.kill()


@pytest.mark.process
def test_the_url_and_the_access_log_are_printed_past_an_app_that_replaces_stdout(tmp_path: Path) -> None:
    (tmp_path / "served.py").write_text(f"import sys\nsys.stdout = None\n{APP}")
    run = runs.Running(tmp_path, ["--app", "served", "--in-process", "-b", "waitress://127.0.0.1:0"], {})
    try:
        [line] = run.wait_for(r"^waitress serves \S+ in this process")
        assert get(line.split()[2], "/").text == "ok"
        run.wait_for(r" GET / 200 ")
        assert run.terminate() == 0
    finally:
        run.clean_up()


def test_output_for_a_stdout_that_the_app_has_closed_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    (closed := io.StringIO()).close()
    for stream in (closed, None):
        monkeypatch.setattr(sys, "__stdout__", stream)
        write_output("lost")


def test_breakpoint_elsewhere_says_how_to_have_it(running: runs.Start) -> None:
    run = running("-b", "waitress://127.0.0.1:0", app=APP)
    assert get(run.url, "/stop-here").status == 500
    run.wait_for(r"RuntimeError: breakpoint\(\) needs the terminal.*--in-process$")


@pytest.mark.process
@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (["-b", "gunicorn://127.0.0.1:0"], "cannot be served in this process."),
        (
            ["-b", "waitress://127.0.0.1:0?workers=2"],
            "One server, without workers, can run in this process.",
        ),
        (
            ["-b", "waitress://127.0.0.1:0", "-b", "werkzeug://127.0.0.1:0"],
            "One server, without workers",
        ),
    ],
)
def test_what_needs_more_processes_is_refused(flags: list[str], problem: str, tmp_path: Path) -> None:
    (tmp_path / "served.py").write_text(APP)
    done = subprocess.run(
        [*runs.MODULE, "--app", "served", "--in-process", *flags],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, problem in done.stderr) == (2, True), done.stderr
