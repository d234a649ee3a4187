"""The demo site behind real servers, started as a user starts them, on free ports."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

START_SECONDS = 60
STOP_SECONDS = 60

_RUN_WSGIREF = """
from wsgiref.simple_server import make_server
from webdemo import app
with make_server("127.0.0.1", 0, app) as server:
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
"""
# The site must work without webdemo's run layer as well.
BARE_COMMANDS = {
    "waitress": ["-m", "waitress", "--listen=127.0.0.1:0", "webdemo:app"],
    "gunicorn": ["-m", "gunicorn", "webdemo:app", "-b", "127.0.0.1:0"],
    "wsgiref": ["-c", _RUN_WSGIREF],
}
_URL = re.compile(r"http://127\.0\.0\.1:[0-9]+")


@contextmanager
def serve_site(arguments: list[str], log: Path, **environment: str) -> Iterator[str]:
    """The URL of the demo site, served by Python with these arguments and stopped at the end."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=os.environ | {"PYTHONUNBUFFERED": "1"} | environment,
        )
    try:
        yield _wait_for_url(process, log)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_SECONDS)


def _wait_for_url(process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        found = _URL.search(log.read_text())
        if found:
            return found.group()
        time.sleep(0.02)
    raise AssertionError(f"the server did not start (exit code {process.poll()}):\n{log.read_text()}")


@pytest.fixture(scope="module", params=["werkzeug", "waitress", "gunicorn"])
def server(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def site_url(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of the demo site behind each of the three servers in turn."""
    arguments = ["-m", "webdemo", "-b", f"{server}://127.0.0.1:0"]
    with serve_site(arguments, tmp_path_factory.mktemp(server) / "log") as url:
        yield url
