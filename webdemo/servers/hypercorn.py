"""Hypercorn: asyncio for I/O, and a pool of threads that run the app; HTTP/2 over TLS."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import WeakSet

from webdemo.servers import LINGER_SECONDS, MOST_BYTES, Adapter, Job, option
from webdemo.servers._draining import stopped
from webdemo.servers._fields import Malformed, unify
from webdemo.servers._framing import NO_TUNNEL
from webdemo.servers._room import Listener, Room
from webdemo.servers._wsgi_fixes import with_an_end

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_ACCEPTED_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Options:
    max_request_body_size: int = option(
        1 << 24, "Largest request body, in bytes; it is held in memory.", most=MOST_BYTES
    )
    keepalive: int = option(
        5, "Seconds an idle connection is kept open, and in which a request's header must arrive.", least=1
    )


def serve(job: Job) -> None:
    from hypercorn.asyncio import serve as serve_asyncio
    from hypercorn.config import Config, Sockets

    # For any connection at all, the limit of descriptors is looked at.
    room = Room(lambda: any(connection.fileno() >= 0 for connection in _CountingListener.accepted))
    listening: list[socket.socket] = [_CountingListener(sock, room) for sock in job.sockets]

    class OurSockets(Config):
        def create_sockets(self) -> Sockets:
            secure, insecure = (listening, []) if self.ssl_enabled else ([], listening)
            return Sockets(secure, insecure, quic_sockets=[])

    config = OurSockets()
    # asyncio accepts up to `backlog` connections at once, and logs as many failures without descriptors.
    config.backlog = _ACCEPTED_AT_ONCE
    config.graceful_timeout = job.grace_seconds
    config.keep_alive_timeout = job.options.keepalive
    config.loglevel = "WARNING"
    if job.certificate is not None:
        config.certfile = str(job.certificate.chain)
        config.keyfile = str(job.certificate.key)

    async def until_stopped() -> None:
        """Hypercorn's shutdown trigger, awaited once it accepts; then it closes idle connections at once."""
        others = asyncio.all_tasks()  # each connection will add a task
        job.ready()
        await stopped(job.stopping)
        loop = asyncio.get_running_loop()
        for sock in listening:
            loop.remove_reader(sock.fileno())
        lingers_until = loop.time() + LINGER_SECONDS
        while asyncio.all_tasks() - others and loop.time() < lingers_until:
            await asyncio.sleep(0.01)

    asyncio.run(serve_asyncio(asgi(job), config, shutdown_trigger=until_stopped, mode="asgi"))


class BodyEnded(Exception):
    """The client disconnected, or the body is malformed: there is no client to respond to."""


class _CountingListener(Listener):
    """A listening socket that knows the connections it has accepted."""

    accepted: ClassVar = WeakSet[socket.socket]()  # this process's connections, until they are collected

    def accept(self) -> tuple[socket.socket, Any]:
        connection, address = super().accept()
        self.accepted.add(connection)
        return connection, address


def asgi(job: Job) -> Any:
    """The app for Hypercorn: ASGI outside, unified header fields, whole request bodies; WSGI inside."""
    from hypercorn.middleware import AsyncioWSGIMiddleware

    wsgi = AsyncioWSGIMiddleware(partial(corrected, job), job.options.max_request_body_size)

    async def app(scope: Any, receive: Callable[[], Awaitable[Any]], send: Any) -> None:
        async def receive_part() -> Any:
            part = await receive()
            # Hypercorn would pass a body that is cut off on as complete.
            if part["type"] == "http.disconnect":
                raise BodyEnded
            return part

        if scope["type"] == "http":
            given = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
            try:
                if scope["method"] == "CONNECT":
                    raise Malformed(NO_TUNNEL)
                fields = unify(scope["http_version"], given)
            except Malformed as exc:
                close = [] if scope["http_version"] == "2" else [(b"connection", b"close")]
                await send({"type": "http.response.start", "status": 400, "headers": close})
                await send({"type": "http.response.body", "body": f"{exc}\n".encode(), "more_body": False})
                return
            scope["headers"] = [(n.encode("latin-1"), v.encode("latin-1")) for n, v in fields]
        with contextlib.suppress(BodyEnded):
            await wsgi(scope, receive_part, send)

    return app


def corrected(job: Job, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Call the app with the environ and the responses that other servers have."""
    environ.setdefault("SERVER_SOFTWARE", f"hypercorn/{adapter.version()}")
    environ.setdefault("REMOTE_ADDR", "")
    environ["SERVER_PORT"] = str(environ["SERVER_PORT"])
    environ["wsgi.input_terminated"] = True
    if "CONTENT_LENGTH" in environ:  # Hypercorn may pass an incomplete body
        environ["wsgi.input"] = with_an_end(environ["wsgi.input"], environ)
    written: list[bytes] = []

    def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[..., Any]:
        if job.stopping.is_set() and environ["SERVER_PROTOCOL"] != "HTTP/2":
            headers = [*headers, ("Connection", "close")]
        start_response(status, headers, exc_info)
        return written.append

    return chunks(job.app(environ, start), written)


def chunks(body: Iterable[bytes], written: list[bytes]) -> Iterator[bytes]:
    """The data passed to write(), then the body, or one empty chunk if there is neither.

    Hypercorn sends status and headers with the first chunk, so there must be one.
    """
    try:
        none = True
        for chunk in body:
            yield from written
            written.clear()
            yield chunk
            none = False
        yield from written
        if none and not written:
            yield b""
    finally:
        close = getattr(body, "close", None)
        if close is not None:
            close()


adapter = Adapter(
    name="hypercorn",
    fields=True,
    framing=(
        "accepts a bare LF as a line's end in the head",
        "accepts a header that is continued on the next line",
        "accepts control characters in a header's value",
        "accepts white space behind a chunk's size",
        "accepts a bare CR in a chunk extension",
        "accepts control characters in a chunk extension",
        "accepts a bare LF in a trailer",
    ),
    bounds=(
        "waits without end for a body whose client pauses",
        "bounds its connections by the limit of open files alone",
        "keeps the descriptor of a client that left without a request for `keepalive` seconds",
    ),
    serve=serve,
    summary="asyncio and a pool of threads; HTTP/1.1 and HTTP/2",
    distribution="hypercorn",
    modules=("hypercorn.asyncio", "hypercorn.config", "hypercorn.middleware", "concurrent.futures.thread"),
    extra="servers",
    options=Options,
    tls=True,
)
