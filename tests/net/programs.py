"""Real programs that hold ports, for the tests to inspect."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from tests.free_ports import free_port

NOBODY = 65534

# Everything is imported before privileges are dropped, because the user nobody may not read Python's own
# files. Such a process belongs to root in /proc until it is dumpable again (prctl(2), PR_SET_DUMPABLE).
_BECOME_NOBODY = f"""
import ctypes, os, psutil, pwd, resource, socket, sys
import webdemo.net.registry, webdemo.net.report, webdemo.net.stopping
webdemo.net.registry.iana(1)
os.setgroups([])
os.setresgid({NOBODY}, {NOBODY}, {NOBODY})
os.setresuid({NOBODY}, {NOBODY}, {NOBODY})
ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)
"""
_LISTEN = """
import socket, sys
family, host, port, share, dual = sys.argv[1:6]
sock = socket.socket(getattr(socket, family))
if share == "share":
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
if family == "AF_INET6":
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if dual == "dual" else 1)
sock.bind(host if family == "AF_UNIX" else (host, int(port)))
sock.listen(1)
print(host if family == "AF_UNIX" else sock.getsockname()[1], flush=True)
"""
_WAIT = "sys.stdin.read()\n"

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a program as another user")


@contextmanager
def program(
    code: str, *arguments: str, user: int | None = None
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run a Python program and wait for its first line; it is killed at the end."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd="/",
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        line = process.stdout.readline().strip()
        assert line, "the program ended before it was ready"
        yield process, line
    finally:
        process.kill()
        process.wait(60)
        process.stdin.close()
        process.stdout.close()


@contextmanager
def listening(
    family: str = "AF_INET",
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    share: bool = False,
    dual: bool = False,
    as_nobody: bool = False,
    extra: Sequence[str] = (),
) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A program that listens, and its port (0 for a Unix socket); by default one free on all addresses."""
    options = ("share" if share else "-", "dual" if dual else "-")
    code = (_BECOME_NOBODY if as_nobody else "") + _LISTEN + _WAIT
    with program(code, family, host, str(port or free_port()), *options, *extra) as (process, line):
        yield process, int(line) if family != "AF_UNIX" else 0


def run_as_nobody(code: str, *arguments: str) -> str:
    """The output of a Python program run without any privileges."""
    result = subprocess.run(
        [sys.executable, "-c", _BECOME_NOBODY + code, *arguments],
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout
