"""gevent: a greenlet for each connection, on one event loop; the standard library is patched."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from webdemo.servers import LINGER_SECONDS, Adapter, Job, option
from webdemo.servers._alike import UNIX, answer
from webdemo.servers._draining import IdleConnections
from webdemo.servers._fields import unify_message
from webdemo.servers._framing import parse_alone, read_fields
from webdemo.servers._turns import LOOK_AGAIN_SECONDS, Turns

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


@dataclass(frozen=True, slots=True)
class Options:
    connections: int = option(1000, "Connections open at once; further ones wait.")


def patch() -> None:
    """Make blocking calls of the app give way to other requests."""
    from gevent import monkey

    monkey.patch_all()


def serve(job: Job) -> None:
    import gevent
    from gevent.pool import Pool
    from gevent.pywsgi import WSGIHandler, WSGIServer
    from gevent.select import select
    from gevent.socket import wait_read

    idle = IdleConnections()
    siblings = None if job.siblings is None else job.siblings()

    class Handler(WSGIHandler):  # type: ignore[misc]
        def handle(self) -> None:
            connection = self.socket  # gevent deletes the attribute
            try:
                super().handle()
            finally:
                idle.discard(connection)
                if siblings is not None:
                    siblings.report(len(pool) - 1)

        def read_requestline(self) -> str:
            idle.add(self.socket)
            line: str = super().read_requestline()
            idle.discard(self.socket)
            return line

        def read_request(self, line: str) -> bool:
            fields = read_fields(line.encode("latin-1"), self.rfile)  # a ValueError is answered with 400
            valid = parse_alone(self, fields, partial(super().read_request, line))
            unify_message(self.headers)
            return valid

        def finalize_headers(self) -> None:
            super().finalize_headers()
            if self.command == "HEAD":
                self.response_use_chunked = False  # no last chunk follows
            # Where an app ignores that a chunked body is malformed, gevent would go on amid it.
            if job.stopping.is_set() or self.wsgi_input.chunked_input:
                self.close_connection = True
                self.response_headers.append((b"Connection", b"close"))

    tls = {}
    if job.certificate is not None:
        tls = {"certfile": str(job.certificate.chain), "keyfile": str(job.certificate.key)}

    turns = None if siblings is None else Turns(siblings)

    class Server(WSGIServer):  # type: ignore[misc]
        if turns is not None:
            max_accept = 1  # for each time that it is told of some

        def do_read(self) -> Any:
            """Accept a connection, or leave it to a sibling for a moment."""
            if turns is None or siblings is None:
                return super().do_read()
            if turns.is_ours():
                connection = super().do_read()  # None: a sibling was faster
                siblings.report(len(pool) + (connection is not None))
                return connection
            self.stop_accepting()
            gevent.spawn_later(LOOK_AGAIN_SECONDS, self.accept_again)
            return None

        def accept_again(self) -> None:
            if self.started:
                if turns is not None and not select([self.socket], [], [], 0)[0]:
                    turns.nobody_waits()
                self.start_accepting()

    pool = Pool(job.options.connections)

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ.setdefault("REMOTE_ADDR", "")
        return answer(job.app, environ, start_response)

    servers = [
        Server(
            sock,
            app,
            environ=dict(UNIX) if sock.family == socket.AF_UNIX else None,
            spawn=pool,
            log=None,
            handler_class=Handler,
            **tls,
        )
        for sock in job.sockets
    ]
    for server in servers:
        server.start()
    job.ready()
    wait_read(job.stopping.fileno())
    for server in servers:
        server.close()
    # Of a connection that was accepted just now nobody knows yet that it is idle.
    hang_up = gevent.spawn_later(LINGER_SECONDS, idle.hang_up)
    pool.join(timeout=job.grace_seconds)
    hang_up.kill()


adapter = Adapter(
    name="gevent",
    lapses=(
        "accepts a bare LF in a chunk extension",
        "accepts control characters in a chunk extension",
        "accepts a trailer without a colon",
        "accepts a bare LF in a trailer",
        "accepts control characters in a trailer",
    ),
    serve=serve,
    summary="a greenlet for each connection on one event loop; for many slow clients",
    distribution="gevent",
    extra="servers",
    options=Options,
    tls=True,
    before_import=patch,
)
