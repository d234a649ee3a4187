"""Closing a connection on which a request may be arriving."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.running import END_SECONDS, wait_until
from webdemo.servers import Stopping, _draining, _http_handler


@pytest.fixture(params=[None, 5.0], ids=["blocking", "with a time-out"])
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A server's end of a connection, and a client's."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(request.param)
        theirs.settimeout(5)
        yield ours, theirs


def test_what_another_thread_has_read_is_not_waited_for(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    assert _draining._arrived(ours) == b"", "at once: its time-out would raise"
    theirs.sendall(b"GET")
    assert _draining._arrived(ours) == b"GET"
    assert ours.recv(10) == b"GET", "it was only looked at"


def test_a_part_of_a_head_is_cut_off_and_answers_still_go_out(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = pair
    theirs.sendall(b"GET / HT")
    _draining.end_reading(ours)
    assert (ours.recv(100), ours.recv(100)) == (b"GET / HT", b"")
    ours.sendall(b"bye")
    assert theirs.recv(100) == b"bye"


def test_a_whole_head_keeps_the_connection_open_for_its_body(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = pair
    theirs.sendall(b"PUT / HTTP/1.1\r\nContent-Length: 4\r\n\r\n")
    _draining.end_reading(ours)
    theirs.sendall(b"body")
    assert ours.recv(100).endswith(b"\r\n\r\nbody")


def test_a_connection_that_is_closed_is_no_matter() -> None:
    ours, theirs = socket.socketpair()
    theirs.close()
    ours.close()
    _draining.end_reading(ours)


def test_a_connection_whose_thread_has_not_begun_at_the_stop_has_time_for_its_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_draining, "LINGER_SECONDS", END_SECONDS)
    stopping, accepted, may_begin = Stopping(), threading.Event(), threading.Event()

    class Handler(_http_handler.StrictHandler, BaseHTTPRequestHandler):
        idle = _draining.IdleConnections()
        pause_seconds = END_SECONDS

        def setup(self) -> None:
            accepted.set()
            may_begin.wait(END_SECONDS)
            super().setup()

        def do_GET(self) -> None:
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    serving = threading.Thread(
        target=_http_handler.serve_until_stopped,
        args=([server], stopping, Handler.idle, {}, END_SECONDS),
    )
    serving.start()
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=END_SECONDS) as client:
        assert accepted.wait(END_SECONDS)
        stopping.set()
        wait_until(lambda: server.socket.fileno() == -1)
        may_begin.set()
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert b" 204 " in client.recv(1000)
    serving.join(END_SECONDS)
    assert not serving.is_alive()
    stopping.close()


@pytest.mark.parametrize(("pause_seconds", "reads"), [(2.0, True), (0.2, False)])
def test_a_response_is_sent_for_as_long_as_its_client_reads_on(pause_seconds: float, reads: bool) -> None:
    long = b"a" * (4 << 20)
    pause = pause_seconds

    class Handler(_http_handler.StrictHandler, BaseHTTPRequestHandler):
        idle = _draining.IdleConnections()
        pause_seconds = pause

        def handle(self) -> None:
            self.wfile.write(long)

    ours, theirs = socket.socketpair()
    with ours, theirs:
        handling = threading.Thread(target=Handler, args=(ours, "", None))
        handling.start()
        received = 0
        while reads and received < len(long):
            received += len(theirs.recv(1 << 20, socket.MSG_WAITALL))
            time.sleep(pause_seconds / 3)
        handling.join(END_SECONDS)
        assert not handling.is_alive()
        assert received == (len(long) if reads else 0)
