"""gevent: a greenlet for each connection, on one event loop; the standard library is monkey-patched."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from webdemo.portable import AF_UNIX
from webdemo.servers import LINGER_SECONDS, Adapter, ConnectionOptions, Job
from webdemo.servers._draining import LOOK_FOR_OLD_SECONDS, IdleConnections
from webdemo.servers._fields import Malformed
from webdemo.servers._framing import parse_alone, read_fields
from webdemo.servers._room import PAUSE_SECONDS, Room
from webdemo.servers._wsgi_fixes import UNIX, answer

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


def patch() -> None:
    """Monkey-patch the standard library, so that blocking calls of the app yield to other greenlets."""
    from gevent import monkey

    monkey.patch_all()


def serve(job: Job) -> None:
    import gevent
    from gevent.pool import Pool
    from gevent.socket import wait_read

    def close_idle() -> None:
        gevent.spawn(idle.close_idle)  # not in the event loop, which calls this and must not block

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ.setdefault("REMOTE_ADDR", "")
        return answer(job.app, environ, start_response)

    def close_old() -> None:
        while True:
            gevent.sleep(LOOK_FOR_OLD_SECONDS)
            idle.close_older_than(job.options.header_timeout)

    idle = IdleConnections()
    pool = Pool()
    server_class = bounded_server(job, Room(pool.__len__, close_idle, most=job.options.connections))
    handler_class = strict_handler(job, idle)
    tls = {}
    if job.certificate is not None:
        tls = {"certfile": str(job.certificate.chain), "keyfile": str(job.certificate.key)}
    servers = [
        server_class(
            sock,
            app,
            environ=dict(UNIX) if sock.family == AF_UNIX else None,
            spawn=pool,
            log=None,
            handler_class=handler_class,
            **tls,
        )
        for sock in job.sockets
    ]
    for server in servers:
        server.start()
    closing = gevent.spawn(close_old)
    job.ready()
    wait_read(job.stopping.fileno())
    closing.kill()
    for server in servers:
        server.close()
    # Delayed, because a connection accepted just now may not be registered as idle yet.
    hang_up = gevent.spawn_later(LINGER_SECONDS, idle.hang_up)
    pool.join(timeout=job.grace_seconds)
    hang_up.kill()


def strict_handler(job: Job, idle: IdleConnections) -> Any:
    """gevent's handler, which passes on well-formed requests only, and tracks the idle connections."""
    from gevent.pywsgi import WSGIHandler

    class Handler(WSGIHandler):  # type: ignore[misc]
        def handle(self) -> None:
            connection = self.socket  # gevent deletes the attribute
            connection.settimeout(job.options.body_timeout)
            try:
                with contextlib.suppress(OSError):  # a client's disconnect is not worth a log line
                    super().handle()
            finally:
                idle.discard(connection)

        def read_requestline(self) -> str:
            idle.add(self.socket)
            line: str = super().read_requestline()
            idle.begin(self.socket)
            return line

        def read_request(self, raw_requestline: str) -> bool:
            connection = self.socket
            try:
                # gevent answers Malformed, a ValueError, with 400.
                fields = read_fields(raw_requestline.encode("latin-1"), self.rfile)
                return parse_alone(self, fields, partial(super().read_request, raw_requestline))
            except Malformed:
                raise
            except OSError:  # the client has disconnected
                return False
            finally:
                idle.discard(connection)

        def finalize_headers(self) -> None:
            super().finalize_headers()
            if self.command == "HEAD":
                self.response_use_chunked = False  # the last chunk would be a body
            # If an app ignores a malformed chunked body, gevent would take its rest for the next request.
            if job.stopping.is_set() or self.wsgi_input.chunked_input:
                self.close_connection = True
                self.response_headers.append((b"Connection", b"close"))

    return Handler


def bounded_server(job: Job, room: Room) -> Any:
    """gevent's server, which accepts only while there is room.

    It overrides `do_read`: gevent's own limit, the size of its pool, closes no idle connection to make room,
    and does not keep descriptors for the app.
    """
    import gevent
    from gevent.pywsgi import WSGIServer

    class Server(WSGIServer):  # type: ignore[misc]
        def do_read(self) -> Any:
            if room.is_left():
                try:
                    accepted = super().do_read()  # None if another process was faster
                    if accepted is not None:
                        room.accepted(accepted[0])
                    return accepted
                except OSError as exc:
                    if not room.failed(exc):
                        raise
            self.stop_accepting()
            gevent.spawn_later(PAUSE_SECONDS, self.accept_again)
            return None

        def accept_again(self) -> None:
            if self.started:
                self.start_accepting()

        def wrap_socket_and_handle(self, client_socket: Any, address: Any) -> None:
            client_socket.settimeout(job.options.header_timeout)
            with contextlib.suppress(OSError):  # a failed handshake is not worth a log line
                super().wrap_socket_and_handle(client_socket, address)

    return Server


adapter = Adapter(
    name="gevent",
    bounds=True,
    fields=True,
    framing=(
        "accepts a bare LF in a chunk extension",
        "accepts control characters in a chunk extension",
        "accepts a trailer without a colon",
        "accepts a bare LF in a trailer",
        "accepts control characters in a trailer",
    ),
    serve=serve,
    summary="a greenlet for each connection on one event loop; for many slow clients",
    distribution="gevent",
    io_modules=("gevent.pywsgi",),  # the rest does the I/O of the app as well
    extra="servers",
    options=ConnectionOptions,
    tls=True,
    before_import=patch,
)
