"""On a terminal webdemo asks what to do about a port in use."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.free_ports import free_port

pytestmark = pytest.mark.process

SECONDS = 40.0
HOLD = """
import socket, time
listener = socket.create_server(("127.0.0.1", {port}))
print("holds", flush=True)
time.sleep(99)
"""


class Terminal:
    """webdemo on its own terminal (a pty): what it shows, and what the user types."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            os.environ["XDG_RUNTIME_DIR"] = str(folder)
            os.execv(sys.executable, [sys.executable, "-m", "webdemo", *arguments])
        self.shown = ""

    def wait_for(self, pattern: str) -> re.Match[str]:
        deadline = time.monotonic() + SECONDS
        while not (found := re.search(pattern, self.shown)):
            assert time.monotonic() < deadline, self.shown
            self._read()
        return found

    def type(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def end(self) -> int:
        """Wait until it has exited, and return the exit code."""
        deadline = time.monotonic() + SECONDS
        while True:
            self._read()
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                os.close(self._fd)
                return os.waitstatus_to_exitcode(status)
            if time.monotonic() > deadline:
                os.kill(self.pid, signal.SIGKILL)
                raise AssertionError(self.shown)

    def _read(self) -> None:
        if select.select([self._fd], [], [], 0.05)[0]:
            with contextlib.suppress(OSError):  # the other end is closed
                self.shown += os.read(self._fd, 4096).decode("utf-8", "replace")


@pytest.fixture
def held_port() -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """A port held by a program that does nothing else, and that program."""
    port = free_port()
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD.format(port=port)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "holds\n"
    yield port, holder
    holder.kill()
    holder.wait()
    holder.stdout.close()


def test_the_holder_can_be_stopped_and_its_port_used(
    held_port: tuple[int, subprocess.Popen[str]], tmp_path: Path
) -> None:
    port, holder = held_port
    terminal = Terminal(tmp_path, "--port", str(port), "--directory", ".")
    terminal.wait_for(rf"Port {port} is already in use by .*pid {holder.pid}")
    terminal.wait_for(r"1  stop it, and use the port\s+2  use \d+, which is free\s+3  give up")
    terminal.type("1\n")
    terminal.wait_for("has exited")
    terminal.wait_for(rf"http://127\.0\.0\.1:{port}/")
    terminal.wait_for("Ready in")
    assert holder.wait(SECONDS) is not None
    terminal.type("\x03")
    assert terminal.end() == 0


def test_another_port_can_be_taken(held_port: tuple[int, subprocess.Popen[str]], tmp_path: Path) -> None:
    port, holder = held_port
    terminal = Terminal(tmp_path, "--port", str(port), "--directory", ".")
    free = terminal.wait_for(r"2  use (\d+), which is free")[1]
    terminal.type("2\n")
    terminal.wait_for(rf"http://127\.0\.0\.1:{free}/")
    terminal.wait_for("Ready in")
    assert holder.poll() is None
    terminal.type("\x03")
    assert terminal.end() == 0


def test_giving_up_is_the_default_and_has_the_exit_code_of_a_taken_port(
    held_port: tuple[int, subprocess.Popen[str]], tmp_path: Path
) -> None:
    port, holder = held_port
    terminal = Terminal(tmp_path, "--port", str(port), "--directory", ".")
    terminal.wait_for(r"Which \[3\]: ")
    terminal.type("\n")
    assert terminal.end() == 69
    assert holder.poll() is None
