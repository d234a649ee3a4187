"""An app that exits, or raises what is no Exception, fails one request, on every server."""

from __future__ import annotations

import socket
import struct
import threading

import pytest

from tests import running as runs
from tests.raw_http import Cut, get
from tests.servers.kinds import bind

APP = """
import sys, threading

slow_came, may_go_on = threading.Event(), threading.Event()

class Closing:
    def __init__(self, chunks):
        self.chunks = chunks
    def __iter__(self):
        return iter(self.chunks)
    def close(self):
        sys.exit("closed")

def stream(parts):
    yield from parts
    raise KeyboardInterrupt("in the stream")

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/exit":
        sys.exit(2)
    if path == "/interrupt":
        raise KeyboardInterrupt("in the view")
    if path == "/other":
        raise BaseException("of another kind")
    if path == "/refused":
        raise ConnectionRefusedError("the database")
    if path == "/reset":
        raise ConnectionResetError("the database")
    if path == "/next":
        next(iter([]))
    if path == "/read":
        print("reading", flush=True)
        environ["wsgi.input"].read()
    if path == "/line-break":
        start_response("200 OK", [("X-From-The-Client", "a\\r\\nX-Injected: yes")])
        return [b"ok"]
    start_response("200 OK", [("Content-Type", "text/plain")])
    if path == "/stream":
        return stream([])
    if path == "/broken-stream":
        return stream([b"x" * 100_000])
    if path == "/closed":
        return Closing([b"whole"])
    if path == "/slow":
        slow_came.set()
        may_go_on.wait(60)
    if path == "/go-on":
        slow_came.wait(60)
        may_go_on.set()
    return [b"ok"]
"""


def test_an_exit_in_a_view_is_a_500_with_a_traceback_and_costs_no_other_request(
    kind: str, running: runs.Start
) -> None:
    webdemo = running("-b", bind(kind), app=APP)
    processes = {process.pid for process in webdemo.processes()}
    slow: list[int] = []
    if kind != "gunicorn-sync":  # it answers one request at a time
        thread = threading.Thread(target=lambda: slow.append(get(webdemo.url, "/slow").status))
        thread.start()
    for path, raised in (
        ("/exit", "SystemExit: 2"),
        ("/interrupt", "KeyboardInterrupt: in the view"),
        ("/other", "BaseException: of another kind"),
        ("/refused", "ConnectionRefusedError: the database"),
        ("/reset", "ConnectionResetError: the database"),
        ("/next", "StopIteration"),
        ("/stream", "KeyboardInterrupt: in the stream"),
    ):
        if (kind, path) == ("cheroot", "/stream"):
            with pytest.raises(Cut):  # Cheroot sends the head first, whatever a stream raises
                get(webdemo.url, path)
        else:
            assert get(webdemo.url, path).status == 500, path
        webdemo.wait_for(f"{raised}$")
    for path in ("/broken-stream", "/closed"):
        _request_to_the_end(webdemo.url.rstrip("/") + path)
    webdemo.wait_for("KeyboardInterrupt: in the stream$", times=2)
    webdemo.wait_for("SystemExit: closed$")
    if kind != "gunicorn-sync":
        assert get(webdemo.url, "/go-on").status == 200
        thread.join(60)
        assert slow == [200]
    assert get(webdemo.url, "/").status == 200
    assert {process.pid for process in webdemo.processes()} == processes


@pytest.mark.attack(
    "Response headers",
    "a client's text with a line break reaches a header of the app's response",
    "the response is 500 on every server, and has none of it",
)
def test_a_line_break_in_a_header_is_a_500(kind: str, running: runs.Start) -> None:
    webdemo = running("-b", bind(kind), app=APP)
    response = get(webdemo.url, "/line-break")
    assert response.status == 500
    assert "X-Injected" not in response.headers
    assert get(webdemo.url).status == 200


def test_a_client_that_leaves_amid_its_body_is_no_error_of_the_app(kind: str, running: runs.Start) -> None:
    webdemo = running("-b", bind(kind), app=APP)
    host, port = webdemo.url.removeprefix("http://").rstrip("/").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as client:
        client.sendall(b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # reset
        if kind not in ("waitress", "hypercorn"):  # which read the body first
            webdemo.wait_for("reading")
    assert get(webdemo.url).status == 200
    assert webdemo.terminate() == 0
    assert "AppRaised" not in webdemo.log()


def _request_to_the_end(url: str) -> None:
    """Send a request and read until the server closes the connection."""
    host, _, rest = url.removeprefix("http://").partition(":")
    port, _, path = rest.partition("/")
    with socket.create_connection((host, int(port)), timeout=60) as client:
        client.sendall(f"GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        while client.recv(65536):
            pass
