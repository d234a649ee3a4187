"""Serving never waits for the log: what cannot be written is dropped, counted, and reported later."""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import IO

import psutil
import pytest

from tests import running as runs
from tests.raw_http import get

pytestmark = pytest.mark.process

APP = """
import os, subprocess, sys

def app(environ, start_response):
    path, query = environ["PATH_INFO"], environ["QUERY_STRING"]
    if path == "/child":
        subprocess.run([sys.executable, "-c", "print('from a child')"], stdout=sys.stdout)
        print("blocking" if os.get_blocking(1) and os.get_blocking(sys.stderr.fileno()) else "not blocking")
    elif path != "/quiet":
        sys.stdout.write("said " + "x" * int(query or 1) + "\\n")
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
    return [b"ok"]
"""

REQUESTS = 600
SAID = r"^\S+ \S+ \| said x+$"
ACCESS = r" GET \S+ 200 2B "
DROPPED = r"^\((\d+) lines were dropped because (.+)\)$"


def ask_many(url: str, path: str, count: int) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(lambda _: get(url, path).status, range(count))
        assert list(answers) == [200] * count


def dropped(log: str) -> int:
    return sum(int(count) for count, _ in re.findall(DROPPED, log, re.MULTILINE))


def lines_of(log: str, pattern: str) -> int:
    return len(re.findall(pattern, log, re.MULTILINE))


# -- a stopped supervisor ---------------------------------------------------------------------------


@pytest.mark.parametrize("server", ["werkzeug", "waitress", "gunicorn"])
def test_servers_answer_while_the_main_process_is_stopped(running: runs.Start, server: str) -> None:
    run = running("--bind", f"{server}://127.0.0.1:0", app=APP)
    run.signal(signal.SIGSTOP)
    try:
        # More than both pipes hold.
        ask_many(run.url, f"/{'p' * 3900}?4000", REQUESTS)
    finally:
        run.signal(signal.SIGCONT)
    run.wait_for(DROPPED)
    quiet: list[int] = []

    def goes_on() -> bool:
        quiet.append(get(run.url, "/quiet").status)  # its line may be dropped, too
        return " GET /quiet 200 " in run.log_so_far()

    runs.wait_until(goes_on, run.log_so_far)

    def counts() -> list[int]:
        log = run.log_so_far()
        return [lines_of(log, SAID), lines_of(log, ACCESS), dropped(log)]

    runs.wait_until(lambda: sum(counts()) == 2 * REQUESTS + len(quiet), counts)
    assert run.terminate() == 0


def test_what_a_dead_main_process_does_not_read_fails_no_request(running: runs.Start) -> None:
    run = running("--bind", "waitress://127.0.0.1:0", "--grace", "60", app=APP)
    address = re.sub("^http://", "", run.url).rstrip("/").split(":")
    with socket.create_connection((address[0], int(address[1]))) as client:
        client.sendall(b"GET /?1000 HTTP/1.1\r\nHost: a\r\nX-Rest: ")
        run.wait_until_accepted(client)
        run.signal(signal.SIGKILL)
        run.wait()
        client.sendall(b"1\r\nConnection: close\r\n\r\n")
        assert client.makefile("rb").read().startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("server", ["werkzeug", "waitress", "gunicorn"])
def test_child_processes_of_the_app_write_to_a_blocking_stdout(running: runs.Start, server: str) -> None:
    run = running("--bind", f"{server}://127.0.0.1:0", app=APP)
    get(run.url, "/child")
    run.wait_for(r"\| from a child$")
    run.wait_for(r"\| blocking$")


# -- a full disk ------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="the limit of another process is set")
@pytest.mark.parametrize("log_format", ["text", "json"])
def test_lines_that_a_full_disk_refuses_are_reported_when_there_is_room(
    running: runs.Start, log_format: str
) -> None:
    run = running("--bind", "waitress://127.0.0.1:0", "--log-format", log_format, app=APP, wait=False)
    [url] = run.wait_for(r"http://127\.0\.0\.1:\d+")[:1]
    run.wait_for("Ready in|Started")
    _, most = resource.prlimit(run.pid, resource.RLIMIT_FSIZE)
    full = run.log_file.stat().st_size + 50  # in the middle of a line
    resource.prlimit(run.pid, resource.RLIMIT_FSIZE, (full, most))
    ask_many(url, "/?100", 200)
    runs.wait_until(lambda: run.log_file.stat().st_size == full)
    resource.prlimit(run.pid, resource.RLIMIT_FSIZE, (most, most))
    run.wait_for("lines were dropped because|Dropped")  # without another request
    get(url, "/quiet")
    assert run.terminate() == 0
    assert lines_of(run.log(), "/quiet")
    if log_format == "json":
        note = next(line for line in run.log().splitlines() if '"Dropped"' in line)
        found = json.loads(note)
        assert list(found) == ["time", "event", "lines", "why"]
        count, why = found["lines"], found["why"]
    else:
        [(count, why)] = re.findall(DROPPED, run.log(), re.MULTILINE)
    assert why == "they could not be written: File too large"
    whole = r'x{100}$|GET /\?100 200 2B |x{100}", |x{100}"}$|"path": "/\?100", .*}$'
    assert lines_of(run.log(), whole) + int(count) == 400


# -- readers ----------------------------------------------------------------------------------------


@contextlib.contextmanager
def served(folder: Path, stdout: int | IO[bytes]) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A webdemo whose stdout the test has opened, and its Unix socket."""
    (folder / "served.py").write_text(APP)
    place = folder / "socket"
    process = subprocess.Popen(
        [*runs.MODULE, "--app", "served:app", "--bind", f"unix://{place}"],
        cwd=folder,
        stdout=stdout,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process, place
        process.send_signal(signal.SIGTERM)
        assert process.wait(runs.END_SECONDS) == 0
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def answers(place: Path, path: str) -> bool:
    with contextlib.suppress(OSError):  # it does not listen yet
        return get(f"unix:{place}", path).status == 200
    return False


def test_a_device_that_is_always_full_stops_nothing(tmp_path: Path) -> None:
    with Path("/dev/full").open("wb") as full, served(tmp_path, full) as (_, place):
        runs.wait_until(partial(answers, place, "/quiet"))
        assert all(answers(place, "/?1000") for _ in range(300))


def test_a_reader_that_has_gone_stops_nothing(tmp_path: Path) -> None:
    with served(tmp_path, subprocess.PIPE) as (process, place):
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"App: ")
        process.stdout.close()
        runs.wait_until(partial(answers, place, "/quiet"))
        assert all(answers(place, "/?1000") for _ in range(300))


def test_a_reader_that_pauses_costs_lines_and_no_memory(tmp_path: Path) -> None:
    with served(tmp_path, subprocess.PIPE) as (process, place):
        runs.wait_until(partial(answers, place, "/quiet"))
        supervisor = psutil.Process(process.pid)
        before = supervisor.memory_info().rss
        count = 1400
        assert all(answers(place, "/?30000") for _ in range(count))  # 42 MB, in writes that fit a pipe
        assert supervisor.memory_info().rss - before < 40_000_000
        stdout = process.stdout
        assert stdout is not None
        received: list[bytes] = []

        def read() -> None:
            while data := os.read(stdout.fileno(), 1 << 16):
                received.append(data)

        reader = threading.Thread(target=read)
        reader.start()
        runs.wait_until(lambda: b"lines were dropped" in b"".join(received))
        process.send_signal(signal.SIGTERM)
        reader.join(runs.END_SECONDS)
    log = b"".join(received).decode()
    notes = re.findall(DROPPED, log, re.MULTILINE)
    assert {why for _, why in notes} == {"they were not read in time"}
    assert lines_of(log, r"said x{30000}$") + lines_of(log, " GET /\\?30000 200 ") + dropped(log) >= 2 * count


# -- long lines -------------------------------------------------------------------------------------


def test_a_line_of_80_kb_stays_one_line(running: runs.Start) -> None:
    run = running("--bind", "waitress://127.0.0.1:0", app=APP)
    get(run.url, "/?80000")
    run.wait_for(r"^waitress \S+ \| said x{80000}$")
    get(run.url, "/" + "u" * 80_000)
    run.wait_for(r"^\S+ waitress \S+ \S+ GET /u{300,2000} 200 2B \S+ \S+$")
