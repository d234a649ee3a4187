"""Waitress: one event loop for I/O, and a pool of threads that run the app."""

from __future__ import annotations

import logging
import socket
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from webdemo.portable import AF_UNIX
from webdemo.servers import LEAST_SECONDS, MOST_BYTES, MOST_THREADS, Adapter, Job, option
from webdemo.servers._wsgi_fixes import UNIX, answer

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


@dataclass(frozen=True, slots=True)
class Options:
    threads: int = option(4, "Threads that run the app.", least=1, most=MOST_THREADS)
    connection_limit: int = option(
        1000, "Connections open at once; further ones wait, and idle ones are closed.", least=1
    )
    channel_timeout: int = option(120, "Seconds after which an idle connection is closed.", least=1)
    header_timeout: float = option(
        20.0, "Seconds in which a request's header must arrive, once it has begun.", least=LEAST_SECONDS
    )
    max_request_body_size: int = option(1 << 30, "Largest request body, in bytes.", most=MOST_BYTES)


def serve(job: Job) -> None:
    import waitress

    from webdemo.servers._waitress_loop import EventLoop

    # It would warn whenever there are more requests than threads, even for a moment.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["SERVER_PORT"].startswith("/"):
            environ.update(UNIX)
            del environ["REMOTE_PORT"]
        return answer(job.app, environ, start_response)

    loop = EventLoop(job)
    servers = [
        waitress.create_server(
            app,
            map=loop.connections,
            sockets=sockets,
            server_name="localhost",
            threads=job.options.threads,
            connection_limit=sys.maxsize,  # the loop enforces the limit, and closes idle connections
            channel_timeout=job.options.channel_timeout,
            cleanup_interval=1,  # seconds between checks for idle connections; the default is 30
            max_request_body_size=job.options.max_request_body_size,
            asyncore_use_poll=True,
            clear_untrusted_proxy_headers=False,  # the run layer decides which proxies to trust
        )
        for sockets in by_kind([loop.listener(sock) for sock in job.sockets])
    ]
    loop.run()
    for server in servers:
        server.task_dispatcher.shutdown()


def by_kind(sockets: list[socket.socket]) -> list[list[socket.socket]]:
    """The sockets as lists of TCP and of Unix sockets: a Waitress server cannot have both."""
    unix = [sock for sock in sockets if sock.family == AF_UNIX]
    internet = [sock for sock in sockets if sock.family != AF_UNIX]
    return [kind for kind in (internet, unix) if kind]


adapter = Adapter(
    name="waitress",
    serve=serve,
    summary="one event loop and a pool of threads; buffers requests and answers",
    distribution="waitress",
    modules=("waitress.server", "webdemo.servers._waitress_loop"),
    options=Options,
    spread=True,
    bounds=True,
    framing=True,
    fields=True,
)
