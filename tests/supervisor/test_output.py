"""The output of an app and its servers arrives complete, in order and without delay."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tests import running as runs

pytestmark = pytest.mark.process

APP = """
import atexit, sys

has_served = False  # never in the loader


def say_goodbye():
    if has_served:
        for number in range(3000):
            print("leaving", number)


atexit.register(say_goodbye)
print("imported", len(sys.argv))


def app(environ, start_response):
    global has_served
    has_served = True
    count = int(environ["QUERY_STRING"] or 1)
    for number in range(count):
        print("said", number)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"said"]
"""


def numbers(log: str, word: str) -> list[int]:
    return [int(number) for number in re.findall(rf"^\S+ \S+ \| {word} (\d+)$", log, re.MULTILINE)]


@pytest.mark.parametrize("server", ["werkzeug", "waitress", "gunicorn"])
def test_lines_come_whole_in_order_and_before_the_end(running: runs.Start, server: str) -> None:
    run = running("--bind", f"{server}://127.0.0.1:0", app=APP, environment={"PYTHONUNBUFFERED": None})
    run.wait_for(r"app \| imported 1$")  # the app sees no arguments of webdemo's
    urllib.request.urlopen(run.url, timeout=60).close()
    run.wait_for(r"\| said 0$")  # print() is not buffered until there is more
    urllib.request.urlopen(f"{run.url}?5000", timeout=60).close()
    run.wait_for(r"\| said 4999$")
    for _ in range(8):
        urllib.request.urlopen(f"{run.url}?0", timeout=60).close()
    assert run.terminate() == 0
    log = run.log()
    assert len(re.findall(r" GET /\S* 200 4B ", log)) == 10, "lines that waited to be written together"
    assert numbers(log, "said") == [0, *range(5000)]
    # Each process that has served.
    said_at_the_end = numbers(log, "leaving")
    assert sorted(said_at_the_end) == sorted([*range(3000)] * (len(said_at_the_end) // 3000))
    assert said_at_the_end
    assert "dropped" not in log


def test_a_quiet_server_is_heard_at_once(running: runs.Start) -> None:
    run = running("--bind", "waitress://127.0.0.1:0", app=APP)
    delays = []
    for number in range(5):
        urllib.request.urlopen(f"{run.url}?{number + 1}", timeout=60).close()
        began = time.monotonic()
        run.wait_for(rf"\| said {number}$")
        delays.append(time.monotonic() - began)
    assert min(delays) < 0.5


def test_a_run_without_standard_streams_serves(tmp_path: Path) -> None:
    (tmp_path / "served.py").write_text(APP)
    place = tmp_path / "socket"
    command = f"exec {sys.executable} -m webdemo --app served:app --bind unix://{place} <&- >&- 2>&-"
    process = subprocess.Popen(["sh", "-c", command], cwd=tmp_path)
    try:
        deadline = time.monotonic() + 60
        answer = b""
        while not answer.startswith(b"HTTP/1.1 200") and time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as sock:
                sock.settimeout(5)
                sock.connect(str(place))
                sock.sendall(b"GET /?3 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                answer = sock.recv(100)
            time.sleep(0.05)
        assert answer.startswith(b"HTTP/1.1 200")
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
