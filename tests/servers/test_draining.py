"""SIGTERM: every server finishes its requests in flight, and nothing is left behind."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from urllib.parse import urlsplit

import psutil
import pytest

from tests.raw_http import Answer, ClosedIdle, Connection, get
from tests.running import END_SECONDS, Running, Start
from tests.servers.app import STREAM_PARTS
from tests.servers.kinds import bind

BODY = bytes(range(256)) * 4096
DIGEST = f"{len(BODY)} {hashlib.sha256(BODY).hexdigest()}"
LONG_GRACE = ("--grace", "1000")  # longer than these tests wait for anything


def upload_slowly(
    url: str, seconds: float, run: Running | None = None, accepted: Event | None = None
) -> Answer:
    """Upload a body in pieces over this time."""
    with Connection(url) as connection:
        connection.send_head("POST", "/upload", [("Content-Length", str(len(BODY)))])
        if run and accepted:
            run.wait_until_accepted(connection.socket)
            accepted.set()
        pieces = 6
        for i in range(pieces):
            connection.send(BODY[i * len(BODY) // pieces : (i + 1) * len(BODY) // pieces])
            time.sleep(seconds / pieces)
        return connection.answer()


def is_free(url: str) -> bool:
    """Whether the port can be opened at once, as a restart needs it."""
    parts = urlsplit(url)
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((parts.hostname or "", parts.port or 0))
        sock.listen()
    return True


@contextlib.contextmanager
def suspended(run: Running) -> Iterator[None]:
    """The servers and their workers stand still."""
    processes = [p for server in run.servers() for p in (server, *server.children())]
    try:
        for process in processes:
            process.suspend()
        yield
    finally:
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()


@pytest.mark.smoke
def test_requests_in_flight_are_finished_and_nothing_is_left(kind: str, serving: Start) -> None:
    # A sync worker handles one request at a time, so several workers are needed.
    workers = ["workers=3"] if kind == "gunicorn-sync" else []
    run = serving("-b", bind(kind, "127.0.0.1:0", *workers), *LONG_GRACE)
    url = run.url
    with ThreadPoolExecutor() as pool:
        slow = pool.submit(get, url, "/slow?3")
        streamed = pool.submit(get, url, "/stream")
        uploaded = pool.submit(upload_slowly, url, 3)
        run.wait_for("begun", times=3)
        run.signal(signal.SIGTERM)
        assert slow.result().text == "slow, and whole"
        assert streamed.result().body.count(b" ") == STREAM_PARTS * 1000
        assert uploaded.result().text == DIGEST
    assert run.wait() == 0, "before the grace time is over"
    assert is_free(url)
    run.wait_until_gone()


@pytest.mark.smoke
def test_an_endless_stream_can_end_when_the_server_drains(kind: str, serving: Start) -> None:
    run = serving("-b", bind(kind), *LONG_GRACE)
    with Connection(run.url) as connection:
        connection.send_head("GET", "/endless")
        received = b""
        while b"first" not in received:
            received += connection.socket.recv(4096)
        run.signal(signal.SIGTERM)
        while b"last" not in received:
            received += connection.socket.recv(4096) or pytest.fail("the stream was cut off")
    assert run.wait() == 0, "before the grace time is over"


@pytest.mark.parametrize("kind", ["waitress", "gunicorn", "cheroot", "hypercorn"])
def test_an_upload_that_waits_for_a_thread_is_finished_too(kind: str, serving: Start) -> None:
    run = serving("-b", bind(kind, "127.0.0.1:0", *(["threads=2"] if kind != "hypercorn" else [])))
    with ThreadPoolExecutor() as pool:
        slow = [pool.submit(get, run.url, "/slow?2") for _ in range(2)]
        run.wait_for("begun", times=2)
        waiting = pool.submit(upload_slowly, run.url, 3.5, run, accepted := Event())
        assert accepted.wait(END_SECONDS)
        run.signal(signal.SIGTERM)
        assert [one.result().text for one in slow] == ["slow, and whole"] * 2
        assert waiting.result().text == DIGEST
    assert run.wait() == 0


def test_idle_connections_are_closed_soon(kind: str, serving: Start) -> None:
    workers = ["workers=2"] if kind == "gunicorn-sync" else []
    run = serving("-b", bind(kind, "127.0.0.1:0", *workers), *LONG_GRACE)
    with Connection(run.url) as never_used, Connection(run.url) as kept:
        assert kept.request("/").status == 200
        run.signal(signal.SIGTERM)
        assert never_used.ended()
        assert kept.ended()
        assert run.wait() == 0, "before the grace time is over"
    run.wait_until_gone()


def test_a_request_that_has_arrived_when_the_stop_is_noticed_is_answered(kind: str, serving: Start) -> None:
    run, connection = serve_kept_connection(kind, serving)
    with connection:
        with suspended(run):
            run.signal(signal.SIGTERM)
            run.wait_for("^Stopping")
            connection.send_head("GET", "/")
        assert connection.answer().status == 200
        assert connection.ended()
    assert run.wait() == 0


def test_a_request_that_comes_on_an_idle_connection_while_it_drains_is_answered(
    kind: str, serving: Start
) -> None:
    run, connection = serve_kept_connection(kind, serving)
    with connection:
        run.signal(signal.SIGTERM)
        run.wait_for("^Stopping")
        with contextlib.suppress(ClosedIdle):
            assert connection.request("/").status == 200
        assert connection.ended()
    assert run.wait() == 0


def serve_kept_connection(kind: str, serving: Start) -> tuple[Running, Connection]:
    """A run, and a connection that it keeps alive after a response."""
    if kind == "gunicorn-sync":
        pytest.skip("keeps no connection alive")
    run = serving("-b", bind(kind))
    connection = Connection(run.url)
    if connection.request("/").is_last:
        connection.close()
        pytest.skip("keeps no connection alive")
    return run, connection


def test_a_second_signal_stops_at_once(serving: Start) -> None:
    run = serving("-b", bind("waitress"), "-b", bind("gunicorn"), *LONG_GRACE)
    with Connection(run.urls[0]) as one, Connection(run.urls[1]) as two:
        one.send_head("GET", "/slow?1000")
        two.send_head("GET", "/slow?1000")
        run.wait_for("begun", times=2)
        run.signal(signal.SIGINT)
        run.wait_for("^Stopping")
        time.sleep(0.6)  # an earlier signal counts as a repetition: platforms send the first one twice
        run.signal(signal.SIGINT)
        assert run.wait() == 1, "before the grace time is over"
    run.wait_until_gone()


def test_a_request_that_takes_longer_than_the_grace_time_is_cut_off_and_named(
    kind: str, serving: Start
) -> None:
    run = serving("-b", bind(kind), "--grace", "1")
    with Connection(run.url) as connection:
        connection.send_head("GET", "/slow?1000")
        run.wait_for("begun")
        assert run.terminate() == 1
        assert connection.ended()
    run.wait_until_gone()
    assert re.search(r"^Requests of process \d+ were cut off after 1 s\.$", run.log(), re.MULTILINE)


def test_clients_that_wait_to_be_accepted_are_answered_at_a_stop(kind: str, serving: Start) -> None:
    run = serving("-b", bind(kind))
    with contextlib.ExitStack() as stack:
        with suspended(run):
            waiting = [stack.enter_context(Connection(run.url)) for _ in range(10)]
            for connection in waiting:
                connection.send_head("GET", "/", [("Connection", "close")])
            run.signal(signal.SIGTERM)
            run.wait_for("^Stopping")
        for connection in waiting:
            with connection:  # closed at once: Gunicorn's sync worker waits for that
                assert connection.answer().status == 200
    assert run.wait() == 0


SIGNALLED_IN_A_THREAD = """
import os, signal, threading, time

def app(environ, start_response):
    threading.Thread(target=signal_self, daemon=True).start()
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]

def waits_without_end():
    _, *arguments = open(f"/proc/self/task/{os.getpid()}/syscall").read().split()
    return len(arguments) > 3 and int(arguments[3], 16) & 0xFFFFFFFF == 0xFFFFFFFF  # epoll_wait's timeout

def signal_self():
    open("client-has-gone").close()  # a FIFO: waits for the test
    while not waits_without_end():
        time.sleep(0.01)
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
"""


@pytest.mark.skipif(not Path("/proc/self/syscall").exists(), reason="system calls are not visible")
@pytest.mark.parametrize("server", ["werkzeug", "wsgiref", "hypercorn"])
def test_a_sigterm_that_does_not_interrupt_the_main_threads_wait_is_not_lost(
    server: str, running: Start
) -> None:
    """Like one that comes just before the wait begins. These servers wait without end when they are idle."""
    run = running("-b", f"{server}://127.0.0.1:0", app=SIGNALLED_IN_A_THREAD)
    fifo = run.log_file.with_name("client-has-gone")
    os.mkfifo(fifo)
    with Connection(run.url) as connection:
        assert connection.request(headers=[("Connection", "close")]).status == 200
        assert connection.ended()
    fifo.open("w").close()
    run.wait_for("is up again")
