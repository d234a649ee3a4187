"""Hypercorn: asyncio reads and writes, a pool of threads runs the app; HTTP/2 over TLS."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from webdemo.net import BACKLOG
from webdemo.servers import LINGER_SECONDS, Adapter, Job, option
from webdemo.servers._alike import with_an_end

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_ACCEPTED_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Options:
    max_request_body_size: int = option(1 << 24, "Largest request body, in bytes; it is held in memory.")
    keepalive: int = option(5, "Seconds an idle connection is kept open.")


def serve(job: Job) -> None:
    from hypercorn.asyncio import serve as serve_asyncio
    from hypercorn.config import Config

    config = Config()
    listening = [sock.detach() for sock in job.sockets]
    config.bind = [f"fd://{fd}" for fd in listening]
    # asyncio accepts so many at once; without a free descriptor it fails as often, each time aloud.
    # Several processes accept one at a time, so that each of them gets some.
    config.backlog = _ACCEPTED_AT_ONCE if job.siblings is None else 1
    config.graceful_timeout = job.grace_seconds
    config.keep_alive_timeout = job.options.keepalive
    config.wsgi_max_body_size = job.options.max_request_body_size
    config.loglevel = "WARNING"
    if job.certificate is not None:
        config.certfile = str(job.certificate.chain)
        config.keyfile = str(job.certificate.key)

    software = f"hypercorn/{adapter.version()}"

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ.setdefault("SERVER_SOFTWARE", software)  # every other server tells it
        environ.setdefault("REMOTE_ADDR", "")
        environ["SERVER_PORT"] = str(environ["SERVER_PORT"])
        environ["wsgi.input_terminated"] = True
        if "CONTENT_LENGTH" in environ:  # what Hypercorn has of the body may be a part of it
            environ["wsgi.input"] = with_an_end(environ["wsgi.input"], environ)
        written: list[bytes] = []

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[..., Any]:
            if job.stopping.is_set() and environ["SERVER_PROTOCOL"] != "HTTP/2":
                headers = [*headers, ("Connection", "close")]
            start_response(status, headers, exc_info)
            return written.append

        return chunks(job.app(environ, start), written)

    async def until_stopped() -> None:
        """Hypercorn awaits this once it accepts; when it returns, idle connections are closed at once."""
        for fd in listening:
            with socket.socket(fileno=os.dup(fd)) as listener:
                listener.listen(BACKLOG)  # the queue is what it was
        others = asyncio.all_tasks()  # each connection will have a task
        job.ready()
        loop = asyncio.get_running_loop()
        stopped = asyncio.Event()
        loop.add_reader(job.stopping.fileno(), stopped.set)
        await stopped.wait()
        for fd in [job.stopping.fileno(), *listening]:
            loop.remove_reader(fd)
        lingers_until = loop.time() + LINGER_SECONDS
        while asyncio.all_tasks() - others and loop.time() < lingers_until:
            await asyncio.sleep(0.01)

    asyncio.run(serve_asyncio(app, config, shutdown_trigger=until_stopped, mode="wsgi"))


def chunks(body: Iterable[bytes], written: list[bytes]) -> Iterator[bytes]:
    """What was passed to write(), then the body, and one empty chunk if there is nothing else.

    Hypercorn sends the status and the headers with the first chunk.
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
    serve=serve,
    summary="asyncio and a pool of threads; HTTP/1.1 and HTTP/2",
    distribution="hypercorn",
    extra="servers",
    options=Options,
    tls=True,
)
