"""gevent: a greenlet for each connection, on one event loop; the standard library is patched."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from webdemo.servers import LINGER_SECONDS, Adapter, Job, option
from webdemo.servers._alike import UNIX, answer
from webdemo.servers._draining import IdleConnections
from webdemo.servers._fields import unify_message
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

        def read_request(self, raw_requestline: str) -> bool:
            valid: bool = super().read_request(raw_requestline)
            unify_message(self.headers)  # gevent answers a ValueError with 400
            return valid

        def finalize_headers(self) -> None:
            super().finalize_headers()
            if self.command == "HEAD":
                self.response_use_chunked = False  # no last chunk follows
            if job.stopping.is_set():
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
    serve=serve,
    summary="a greenlet for each connection on one event loop; for many slow clients",
    distribution="gevent",
    extra="servers",
    options=Options,
    tls=True,
    before_import=patch,
)
