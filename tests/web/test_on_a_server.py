"""Streams and HEAD on a real server and socket, where the client can disconnect and a body can fail."""

from __future__ import annotations

import gc
import logging
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
from cheroot import wsgi
from werkzeug.serving import make_server

from webdemo import App, Request, redirect


class Endless:
    """A body without end that records when and how often it is closed."""

    def __init__(self) -> None:
        self.closed = threading.Semaphore(0)

    def __iter__(self) -> Endless:
        return self

    def __next__(self) -> bytes:
        return b"x" * 65536

    def close(self) -> None:
        self.closed.release()


def make_app(endless: Endless) -> App:
    app = App()
    app.get("/")(lambda request: "hello")
    app.get("/endless")(lambda request: endless)

    app.get("/to")(lambda request: redirect(request.args["target"]))
    app.get("/header")(lambda request: ("x", 200, {"X-Name": request.args["value"]}))

    @app.get("/broken")
    def broken(request: Request) -> Iterator[str]:
        yield "first"
        raise RuntimeError("broken in the middle")

    return app


@contextmanager
def on_werkzeug(app: App) -> Iterator[int]:
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join(20)
        server.server_close()


@contextmanager
def on_cheroot(app: App) -> Iterator[int]:
    server = wsgi.Server(("127.0.0.1", 0), app, numthreads=2)
    server.prepare()
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield server.bind_addr[1]
    finally:
        server.stop()
        thread.join(20)
        collect_writers()


def collect_writers() -> None:
    """Collect Cheroot's writers here: one whose client has gone cannot flush its rest, and complains."""
    hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
    try:
        gc.collect()
    finally:
        sys.unraisablehook = hook


Serving = Callable[[App], AbstractContextManager[int]]
servers = pytest.mark.parametrize("serving", [on_werkzeug, on_cheroot])


def ask(port: int, text: str) -> bytes:
    """Everything that the server sends until it closes the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        client.sendall(f"{text} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        return b"".join(iter(lambda: client.recv(65536), b""))


@servers
def test_head_has_the_headers_of_get_and_no_body(serving: Serving) -> None:
    with serving(make_app(Endless())) as port:
        got, headed = ask(port, "GET /"), ask(port, "HEAD /")
    head, _, body = got.partition(b"\r\n\r\n")
    assert body == b"hello"
    assert b"content-length: 5" in head.lower()
    assert headed.endswith(b"\r\n\r\n")
    assert b"content-length: 5" in headed.lower()


@servers
@pytest.mark.parametrize("hooks", [0, 2])
def test_body_that_breaks_is_logged_once_and_the_connection_is_broken_off(
    serving: Serving, hooks: int, caplog: pytest.LogCaptureFixture
) -> None:
    app = make_app(Endless())
    for _ in range(hooks):
        app.after(lambda request, response: response)
    with caplog.at_level(logging.ERROR, "webdemo"), serving(app) as port:
        answer = ask(port, "GET /broken")
    assert b"first" in answer
    assert not answer.endswith(b"0\r\n\r\n")  # without its last chunk a body is truncated
    assert [record.name for record in caplog.records if "broke off" in record.message] == ["webdemo"]


@servers
def test_body_is_closed_once_when_the_client_leaves(serving: Serving) -> None:
    endless = Endless()
    with serving(make_app(endless)) as port:
        with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
            client.sendall(b"GET /endless HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert client.recv(12) == b"HTTP/1.1 200"
        assert endless.closed.acquire(timeout=60)
    assert not endless.closed.acquire(blocking=False)


@servers
@pytest.mark.attack(
    "Response headers", "A redirect target or a header holds CR, LF, NUL or other text", "encoded, or 500"
)
@pytest.mark.parametrize("hostile", ["%0D%0AX-B:%201", "%0A", "%00", "%E2%98%83"])
def test_header_from_user_input_is_never_sent_in_part(
    serving: Serving, hostile: str, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(make_app(Endless())) as port:
        redirected, refused = (
            ask(port, f"GET /to?target=/{hostile}"),
            ask(port, f"GET /header?value=a{hostile}"),
        )
    head = redirected.partition(b"\r\n\r\n")[0]
    assert head.startswith(b"HTTP/1.1 302")
    assert f"location: /{hostile}".lower().encode() in head.lower()
    assert refused.startswith(b"HTTP/1.1 500")
    assert b"x-name" not in refused.lower()
    assert b"x-b" not in redirected.lower().partition(b"location")[0]
    assert "the header X-Name holds" in caplog.text
