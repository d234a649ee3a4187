"""What of webdemo runs on Windows: one server in one process, the framework, static files, port, trace.

Elsewhere webdemo is run without what Windows lacks: see tests/as_on_windows.py.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import running as runs
from tests.raw_http import Connection, get

pytestmark = pytest.mark.process

ROOT = Path(__file__).resolve().parents[2]
IS_WINDOWS = sys.platform == "win32"
COMMAND = [sys.executable, "-m", *([] if IS_WINDOWS else ["tests.as_on_windows"]), "webdemo"]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "ascii"}

APP = """
def app(environ, start_response):
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)) or b"ok"
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""


@contextmanager
def serving(folder: Path, *arguments: str) -> Iterator[tuple[str, list[str]]]:
    """The URL of a running webdemo, and what it says, which is complete when the block is left.

    It is stopped as by Ctrl-C, or Ctrl-Break on Windows, and has to exit with 0.
    """
    flags = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
    with subprocess.Popen(
        [*COMMAND, *arguments], cwd=folder, env=ENVIRONMENT, text=True, creationflags=flags,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as run:  # fmt: skip
        assert run.stdout is not None
        said: list[str] = []
        try:
            for line in run.stdout:
                said.append(line)
                if url := re.search(r"serves (http://\S+)", line):
                    break
            assert url, "".join(said)
            yield url[1], said
            run.send_signal(getattr(signal, "CTRL_BREAK_EVENT", signal.SIGINT))
            said += run.stdout
            assert run.wait(runs.END_SECONDS) == 0, "".join(said)
        finally:
            run.kill()


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=runs.START_SECONDS, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("server", ["werkzeug", "waitress", "cheroot"])
def test_an_app_and_its_static_files_are_served_without_a_flag(server: str, tmp_path: Path) -> None:
    (tmp_path / "served.py").write_text(APP)
    large = bytes(range(256)) * 2000 + b"\r\n\x1a end"  # a file in text mode would end at \x1a
    (tmp_path / "files" / ".git").mkdir(parents=True)
    (tmp_path / "files" / "large.bin").write_bytes(large)
    (tmp_path / "files" / ".git" / "config").write_text("secret")
    arguments = ["--app", "served", "--static", "/static/=files", "--health", "--metrics"]
    with serving(tmp_path, "-b", f"{server}://127.0.0.1:0", *arguments) as (url, said):
        assert get(url, "/").text == "ok"
        assert get(url, "/static/large.bin").body == large
        assert get(url, "/static/large.bin", headers=[("Range", "bytes=-5")]).body == b"\x1a end"
        assert get(url, "/static/.git/config").status == 404
        assert get(url, "/%E2%82%AC").text == "ok"
        assert get(url, "/readyz").text == "ok\n"
        assert "webdemo_requests_total" in get(url, "/metrics").text
        with Connection(url) as connection:
            connection.send(
                b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
                b"5\r\nin\r\n1\r\n0\r\n\r\n"
            )
            assert connection.answer("POST").body == b"in\r\n1"
        port = url.rpartition(":")[2].strip("/")
        assert "200 OK" in run(tmp_path, "trace", url).stdout
        assert "in use" in run(tmp_path, "port", port).stdout
    assert said[0].startswith("This system has no fork: one server runs, in this process.")
    for path in ("/", r"/\u20ac"):
        assert any(f" {server} :{port} 127.0.0.1 GET {path} 200 2B " in line for line in said), said


def test_a_folder_is_listed_and_the_demo_site_is_served(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("a page")
    (tmp_path / "folder").mkdir()
    (tmp_path / ".hidden").write_text("")
    with serving(tmp_path, "--directory", ".", "-b", "127.0.0.1:0") as (url, _):
        page = get(url, "/").text
        assert ("page.html" in page, "folder/" in page, ".hidden" in page) == (True, True, False)
        assert get(url, "/page.html").text == "a page"
    with serving(tmp_path, "-b", "127.0.0.1:0") as (url, _):
        assert "<title>" in get(url, "/").text


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["ps"], "webdemo ps does not work on this system."),
        (["--admin", "9000"], "--admin needs the supervisor, and one server is to run in this process."),
        (
            ["-b", "waitress://:0", "-b", "werkzeug://:0"],
            "One server, without workers, can run in this process.",
        ),
        (["-b", "unix:///tmp/never.sock"], "There are no Unix sockets on this system."),
    ],
)
def test_what_needs_more_is_refused_with_a_reason(arguments: list[str], problem: str, tmp_path: Path) -> None:
    done = run(tmp_path, *arguments)
    assert (done.returncode != 0, problem in done.stderr, "Traceback" in done.stderr) == (
        True,
        True,
        False,
    ), done.stderr


def test_help_names_the_commands_that_work_there(tmp_path: Path) -> None:
    said = run(tmp_path, "--help").stdout
    assert re.search(r"^  trace ", said, re.MULTILINE)
    assert not re.search(r"^  (ps|compress|compare) ", said, re.MULTILINE)
