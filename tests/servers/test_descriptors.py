"""File descriptors: many requests leak none, and a low limit is survived."""

from __future__ import annotations

import contextlib
import resource
import shutil
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from tests.raw_http import Connection, Cut, Load, get
from tests.running import MODULE, Running, Start, wait_until
from tests.servers.kinds import bind

REQUESTS = 2500  # for each of the eight


def processes_of(run: Running) -> list[psutil.Process]:
    """All server processes and their workers."""
    servers = run.servers()
    return [*servers, *(worker for server in servers for worker in server.children())]


def open_files(run: Running) -> int:
    return sum(process.num_fds() for process in processes_of(run))


def has_connections(run: Running) -> bool:
    return any(
        connection.status != psutil.CONN_LISTEN
        for process in processes_of(run)
        for connection in process.net_connections("tcp")
    )


def come_down_to(run: Running, most: int) -> bool:
    """Whether at most so many are open, after some time for the last clients' connections to be closed."""
    deadline = time.monotonic() + 60
    while open_files(run) > most:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def ask_often(url: str, requests: int) -> None:
    """Send half of the requests on persistent connections, half on new ones; by wrk if it is installed."""
    wrk = shutil.which("wrk")
    if wrk is None:
        with Load([url], clients=8) as load:
            load.wait_for(requests, 60)
        return
    asked = 0
    while asked < requests:
        for headers in ([], ["-H", "Connection: close"]):
            done = subprocess.run(
                [wrk, "-t", "1", "-c", "8", "-d", "1", *headers, url],
                capture_output=True, text=True, timeout=30, check=True,
            ).stdout  # fmt: skip
            asked += int(done.partition(" requests in")[0].split()[-1])


def test_many_requests_leave_no_descriptor_open(kind: str, serving: Start) -> None:
    run = serving("-b", bind(kind), "--no-access-log")
    for _ in range(20):
        get(run.url)
    wait_until(lambda: not has_connections(run), run.log_so_far)
    before = open_files(run)
    ask_often(run.url, REQUESTS)
    # A pool may have grown by one. Werkzeug leaves the selector of a disconnected client to the garbage
    # collector, which does not run while the server is idle.
    assert come_down_to(run, before + (25 if kind == "werkzeug" else 1))
    assert get(run.url).status == 200


@pytest.mark.smoke
def test_a_limit_of_64_descriptors_is_survived(kind: str, serving: Start) -> None:
    run = serving("-b", bind(kind))
    for process in processes_of(run):
        process.rlimit(resource.RLIMIT_NOFILE, (64, 64))
    with contextlib.ExitStack() as stack:
        for _ in range(100):
            connection = stack.enter_context(Connection(run.url, seconds=5))
            with contextlib.suppress(OSError):
                connection.send_head("GET", "/slow?0")
    deadline = time.monotonic() + 60
    answered = False
    while not answered:
        with contextlib.suppress(OSError, Cut), Connection(run.url, seconds=5) as connection:
            answered = connection.request("/", headers=[("Connection", "close")]).status == 200
        assert time.monotonic() < deadline, run.log_so_far()
    assert run.terminate() == 0
    run.wait_until_gone()


NO_THREADS = """
import threading
def app(environ, start_response):
    threading.stack_size(2**46)  # from now on none can be started
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""


@pytest.mark.parametrize("kind", ["werkzeug", "wsgiref"])  # the servers with a thread for each connection
def test_without_a_further_thread_clients_are_served_one_after_another(kind: str, running: Start) -> None:
    run = running("-b", bind(kind), app=NO_THREADS)
    assert [get(run.url).body for _ in range(4)] == [b"ok"] * 4
    assert run.terminate() == 0
    assert run.log().count("No further thread can be started") == 1
    assert "Traceback" not in run.log()


@pytest.mark.parametrize("kind", ["waitress", pytest.param("cheroot", marks=pytest.mark.smoke)])
def test_a_stop_needs_no_further_thread(kind: str, running: Start) -> None:
    run = running("-b", bind(kind), app=NO_THREADS)
    assert [get(run.url).body for _ in range(4)] == [b"ok"] * 4
    assert run.terminate() == 0
    assert "Traceback" not in run.log()


@pytest.mark.parametrize("kept_busy", [False, True], ids=["idle", "in flight"])
@pytest.mark.attack(
    "Bounds", "more connections than there are descriptors", "they wait without cost, and it is logged once"
)
def test_at_the_limit_of_descriptors_nobody_spins(kind: str, serving: Start, kept_busy: bool) -> None:
    run = serving("-b", bind(kind))
    processes = processes_of(run)
    for process in processes:
        process.rlimit(resource.RLIMIT_NOFILE, (64, 64))
    with contextlib.ExitStack() as stack:
        for _ in range(200):
            connection = stack.enter_context(Connection(run.url, seconds=5))
            if kept_busy:
                connection.send_head("GET", "/slow?60")
        shares = []
        for _ in range(3):
            before, began = sum(sum(p.cpu_times()[:2]) for p in processes), time.monotonic()
            time.sleep(1)
            used = sum(sum(p.cpu_times()[:2]) for p in processes) - before
            shares.append(used / (time.monotonic() - began))
        assert min(shares) < 0.5, f"{shares}\n{run.log_so_far()}"
    if not kept_busy:
        assert get(run.url).status == 200, "it recovers when they leave"
        run.wait_for(" GET / 200 ")
    assert run.log_so_far().count("ulimit -n") <= 1
    assert "Traceback" not in run.log_so_far()


def test_a_start_that_needs_more_descriptors_than_allowed_says_so(serving: Start) -> None:
    binds = [argument for _ in range(80) for argument in ("-b", bind("waitress"))]
    limited = ("sh", "-c", 'ulimit -n 64; exec "$@"', "-", *MODULE)
    run = serving(*binds, wait=False, command=limited)
    assert run.wait() == 69
    assert "Traceback" not in run.log()
    assert "open files" in run.log()


@pytest.mark.smoke
def test_the_lowest_limit_of_descriptors_leaves_room_for_one_connection(kind: str, serving: Start) -> None:
    run = serving("-b", bind(kind), "--no-access-log")
    for process in processes_of(run):
        most = max(map(int, (path.name for path in Path(f"/proc/{process.pid}/fd").iterdir()))) + 4
        process.rlimit(resource.RLIMIT_NOFILE, (most, most))
    for _ in range(5):
        assert get(run.url).status == 200
