"""`webdemo ps --watch` on a real terminal (a pty), into a pipe, and as JSON."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import raw_http
from tests import running as runs

pytestmark = pytest.mark.process

SECONDS = 60.0
APP = """
def app(environ, start_response):
    start_response("500 Oops" if environ["PATH_INFO"] == "/fail" else "200 OK", [])
    return [b"ok"]
"""


def start(folder: Path, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
    inherited = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    return subprocess.Popen(
        [sys.executable, "-m", "webdemo", "ps", "--watch", *arguments],
        env=inherited | {"XDG_RUNTIME_DIR": str(folder), "TERM": "xterm-256color"},
        start_new_session=True,
        **options,
    )


class Terminal:
    """A terminal with `webdemo ps --watch` on it."""

    def __init__(self, folder: Path, columns: int = 80) -> None:
        self._ours, self._theirs = pty.openpty()
        fcntl.ioctl(self._theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.settings = termios.tcgetattr(self._theirs)
        self.output = b""
        self.popen = start(folder, stdin=self._theirs, stdout=self._theirs, stderr=self._theirs)

    def press(self, keys: bytes) -> None:
        os.write(self._ours, keys)

    def wait_for(self, pattern: str) -> str:
        """Wait for the pattern in what was written since the last call; returns that text without colours."""
        deadline = time.monotonic() + SECONDS
        while True:
            text = re.sub(r"\x1b\[[0-9;]*m", "", self.output.decode("utf-8", "ignore"))
            if re.search(pattern, text):
                self.output = b""
                return text
            assert time.monotonic() < deadline, text
            self._read(0.1)

    def wait(self) -> int:
        """Wait until it has exited, and return the exit code."""
        deadline = time.monotonic() + SECONDS
        while self.popen.poll() is None:
            assert time.monotonic() < deadline, self.output
            self._read(0.1)
        self._read(0)
        return self.popen.returncode

    def is_as_before(self) -> bool:
        """Whether the terminal is restored: echo on, cursor visible, primary screen."""
        ended_well = self.output.rfind(b"\x1b[?1049l") > self.output.rfind(b"\x1b[?1049h")
        shows_cursor = self.output.rfind(b"\x1b[?25h") > self.output.rfind(b"\x1b[?25l")
        return termios.tcgetattr(self._theirs) == self.settings and ended_well and shows_cursor

    def _read(self, seconds: float) -> None:
        while select.select([self._ours], [], [], seconds)[0]:
            self.output += os.read(self._ours, 65536)
            seconds = 0

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.popen.kill()
        self.popen.wait(SECONDS)
        os.close(self._ours)
        os.close(self._theirs)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The runtime folder of a webdemo, hidden from all other tests."""
    path = tmp_path / "run1"
    path.mkdir()
    return path


@pytest.fixture
def terminal(folder: Path) -> Iterator[Terminal]:
    shown = Terminal(folder)
    yield shown
    shown.close()


@pytest.fixture
def served(running: runs.Start, folder: Path) -> runs.Running:
    return running(
        "-b", "waitress://127.0.0.1:0", "-b", "gunicorn://127.0.0.1:0?workers=2",
        app=APP, environment={"XDG_RUNTIME_DIR": str(folder)},
    )  # fmt: skip


def test_the_table_follows_the_servers_and_ends_with_q(served: runs.Running, folder: Path) -> None:
    terminal = Terminal(folder)
    try:
        heading = terminal.wait_for(r"SERVER +PORT +STATE.*RESTARTS")
        assert f"webdemo {served.pid}, served:app, up " in heading
        raw_http.get(served.url, "/fail")
        terminal.wait_for(r"waitress +\d+ +up +\d+ +[\d.]+ [µm]?s +[\d.]+ [µm]?s +0 +1 +[\d.]+ MB +\d+% +0")
        [process] = [p for p in served.servers() if p.pid in served.rows()[0].pids]
        process.kill()
        terminal.wait_for(r"waitress .*% +1 ")
        terminal.press(b"xq")
        assert terminal.wait() == 0
        assert terminal.is_as_before()
    finally:
        terminal.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_puts_the_terminal_right(terminal: Terminal, number: signal.Signals) -> None:
    terminal.wait_for("No webdemo of yours is running")
    terminal.popen.send_signal(number)
    assert terminal.wait() == 0
    assert terminal.is_as_before()


def test_a_webdemo_that_starts_and_ends_meanwhile_comes_and_goes(
    terminal: Terminal, running: runs.Start, folder: Path
) -> None:
    terminal.wait_for("No webdemo of yours is running")
    run = running("-b", "wsgiref://127.0.0.1:0", app=APP, environment={"XDG_RUNTIME_DIR": str(folder)})
    terminal.wait_for(r"wsgiref +\d+ +up")
    run.terminate()
    terminal.wait_for("No webdemo of yours is running")


def test_into_a_pipe_go_plain_tables_one_after_the_other(served: runs.Running, folder: Path) -> None:
    with start(folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as popen:
        assert popen.stdout is not None
        lines = [popen.stdout.readline().decode() for _ in range(10)]
        popen.send_signal(signal.SIGINT)
        assert popen.wait(SECONDS) == 0
    assert re.fullmatch(r"\d\d:\d\d:\d\d\n", lines[0])
    assert [line.split()[0] for line in lines[2:5]] == ["SERVER", "waitress", "gunicorn"]
    assert lines[8].split() == lines[2].split()
    assert all("\x1b" not in line for line in lines)


def test_as_json_each_time_is_a_line(served: runs.Running, folder: Path) -> None:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with start(folder, "--json", stdin=subprocess.DEVNULL, **pipes) as popen:
        assert popen.stdout is not None
        assert popen.stderr is not None
        for _ in range(3):
            [status] = json.loads(popen.stdout.readline())
        popen.stdout.close()  # as `head` does; it exits at the next line
        assert popen.stderr.read() == b""
        popen.wait(SECONDS)
    assert [service["server"] for service in status["services"]] == ["waitress", "gunicorn"]
    assert status["services"][0]["figures"]["in_flight"] == 0


def test_many_ports_take_little_room(running: runs.Start, folder: Path) -> None:
    ports = [argument for _ in range(9) for argument in ("-b", "waitress://127.0.0.1:0")]
    running(*ports, app=APP, environment={"XDG_RUNTIME_DIR": str(folder)})
    with start(folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as popen:
        assert popen.stdout is not None
        lines = [popen.stdout.readline().decode() for _ in range(4)]
        popen.kill()
    assert re.match(r"waitress +(\d+ ){4}\+5 +up", lines[3])


def test_on_forty_columns_every_figure_can_be_read(served: runs.Running, folder: Path) -> None:
    shown = Terminal(folder, columns=40)
    try:
        text = shown.wait_for(r"(?s)waitress.*gunicorn.*RESTARTS.*gunicorn[^\n]*\n")
        for name in (
            "SERVER",
            "STATE",
            "REQ/S",
            "P50",
            "P99",
            "IN FLIGHT",
            "ERRORS",
            "MEMORY",
            "CPU",
            "RESTARTS",
        ):
            assert name in text
        lines = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line).rstrip() for line in text.splitlines()]
        assert max(map(len, lines)) <= 40
        shown.press(b"q")
        assert shown.wait() == 0
    finally:
        shown.close()
