"""Cheroot, CherryPy's server: a pool of threads for each listening socket."""

from __future__ import annotations

import io
import math
import socket
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, BinaryIO

from webdemo.portable import AF_UNIX, is_readable
from webdemo.servers import (
    LEAST_SECONDS,
    LINGER_SECONDS,
    MOST_THREADS,
    Adapter,
    ConnectionOptions,
    Job,
    _framing,
    option,
)
from webdemo.servers._draining import LOOK_FOR_OLD_SECONDS, IdleConnections
from webdemo.servers._fields import Malformed
from webdemo.servers._room import Listener, Room
from webdemo.servers._wsgi_fixes import UNIX, answer, checked

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_LARGEST_HEADER = 65536


@dataclass(frozen=True, slots=True)
class Options(ConnectionOptions):
    threads: int = option(10, "Threads for each listening socket.", least=1, most=MOST_THREADS)
    body_timeout: float = option(
        10.0,
        "Seconds for which a client may pause while it sends a body or reads a response.",
        least=LEAST_SECONDS,
    )


def serve(job: Job) -> None:
    idle = IdleConnections()
    open_connections: set[Any] = set()

    def close_idle() -> None:
        idle.close_idle()
        latest = time.time() - LINGER_SECONDS
        for connection in open_connections.copy():
            if connection.last_used is not None and connection.last_used < latest:
                connection.last_used = 0  # Cheroot closes it as expired, if it waits for a request

    room = Room(open_connections.__len__, close_idle, most=job.options.connections)
    connection_class = counted_connection(open_connections, strict_request(job, idle))
    listeners = [Listener(sock, room) for sock in job.sockets]
    servers = [server(job, connection_class, listener) for listener in listeners]
    wakers = [waker(server) for server in servers]
    stop = threading.Event()
    # All threads are started now: later the system or the app may allow none.
    threads = [
        threading.Thread(target=target)
        for server in servers
        for target in (server.serve, partial(stop_when, stop, server))
    ]
    for thread in threads:
        thread.start()
    job.ready()
    while not job.stopping.wait(LOOK_FOR_OLD_SECONDS):
        idle.close_older_than(job.options.header_timeout)
    lingers_until = time.monotonic() + LINGER_SECONDS
    while open_connections and time.monotonic() < lingers_until:
        time.sleep(0.01)  # responses in flight announce Connection: close
    for listener in listeners:
        listener.close()  # else Cheroot would connect to it, and wait a second for an answer
    stop.set()
    for end in wakers:
        end.close()
    idle.drain(threads)


def stop_when(stop: threading.Event, server: Any) -> None:
    """Stop a server once this is set; the call returns when its threads have ended."""
    stop.wait()
    server.stop()


def app_for_cheroot(job: Job, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Call the app with the environ that other servers have."""
    if not environ["SERVER_PORT"]:
        environ.update(UNIX)
        del environ["REMOTE_PORT"]
    if "HTTP_TRANSFER_ENCODING" in environ:
        environ["wsgi.input"] = io.BufferedReader(_framing.ChunkedBody(environ["wsgi.input"].rfile))
    return answer(job.app, environ, checked(start_response))


def strict_request(job: Job, idle: IdleConnections) -> Any:
    """Cheroot's parser, which passes on well-formed requests only, and tracks the idle connections."""
    from cheroot.server import HTTPRequest

    class Request(HTTPRequest):
        header_reader = staticmethod(read_fields)

        def read_request_line(self) -> bool:
            idle.add(self.conn.socket)
            try:
                valid: bool = super().read_request_line()  # type: ignore[no-untyped-call]  # Cheroot's stub
            finally:
                idle.begin(self.conn.socket)
            if job.stopping.is_set():
                self.close_connection = True
            return valid

        def read_request_headers(self) -> bool:
            line = b"%s %s %s\r\n" % (self.method, self.uri, self.request_protocol)
            try:
                fields = _framing.read_fields(line, self.rfile)
            except Malformed as exc:
                self.simple_response(f"{exc.status} {HTTPStatus(exc.status).phrase}", str(exc))
                return False
            valid = _framing.parse_alone(self, fields, super().read_request_headers)
            if self.chunked_read:
                self.close_connection = True  # the unread rest of the body would be taken for a request
            return valid

        def parse_request(self) -> None:
            try:
                super().parse_request()
            finally:
                idle.discard(self.conn.socket)

    return Request


def counted_connection(open_connections: set[Any], request_class: Any) -> Any:
    """Cheroot's connection, which is in `open_connections` from its accept to its end."""
    from cheroot.server import HTTPConnection

    class Connection(HTTPConnection):
        RequestHandlerClass = request_class

        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            open_connections.add(self)

        def close(self) -> None:
            try:
                super().close()
            finally:
                open_connections.discard(self)

    return Connection


def server(job: Job, connection_class: Any, listener: Listener) -> Any:
    """A Cheroot server on this listener, prepared to serve."""
    from cheroot import wsgi

    class Server(wsgi.Server):
        ConnectionClass = connection_class
        max_request_header_size = _LARGEST_HEADER

        def process_conn(self, conn: Any) -> None:
            """Pass a connection to a thread only when it is readable, so that idle ones occupy none."""
            waits = conn.last_used is None and not is_readable(conn.socket)
            if waits and not job.stopping.is_set():
                self.put_conn(conn)
            else:
                super().process_conn(conn)

        def bind(self, *_: int) -> socket.socket:
            self.socket = listener
            address = listener.getsockname()
            self.bind_addr = address if isinstance(address, str) else address[:2]
            return listener

    # With a TCP address, whatever the socket's family, Cheroot calls bind().
    found = Server(
        ("localhost", 0),
        partial(app_for_cheroot, job),
        numthreads=job.options.threads,
        server_name=name(listener),
        timeout=job.options.body_timeout,
    )
    found.shutdown_timeout = job.grace_seconds
    found.keep_alive_conn_limit = job.options.connections + 1
    if job.certificate is not None:
        from cheroot.ssl.builtin import BuiltinSSLAdapter

        found.ssl_adapter = BuiltinSSLAdapter(str(job.certificate.chain), str(job.certificate.key))
    found.prepare()
    # A blocking accept would wait a second for a connection that another process has taken.
    listener.setblocking(False)
    return found


def waker(server: Any) -> socket.socket:
    """A socket whose close wakes the server's loop, which looks for a stop every half second otherwise."""
    from cheroot.server import HTTPConnection

    class Waker(HTTPConnection):
        last_used = property(lambda self: math.inf, lambda self, _: None)  # it never expires

        def communicate(self) -> bool:
            time.sleep(0.001)
            return True

    ours, theirs = socket.socketpair()
    server.put_conn(Waker(server, theirs))
    return ours


def read_fields(lines: BinaryIO, fields: dict[bytes, bytes]) -> None:
    """Cheroot's header_reader: fills `fields` from well-formed lines and an empty one."""
    for line in lines:
        name, colon, value = line.partition(b":")
        if colon:
            fields[name.title()] = value.strip()


def name(listener: socket.socket) -> str:
    """The listener's host for SERVER_NAME, which Cheroot would set to its own name."""
    return "localhost" if listener.family == AF_UNIX else str(listener.getsockname()[0])


adapter = Adapter(
    name="cheroot",
    serve=serve,
    summary="a pool of threads for each listening socket",
    distribution="cheroot",
    modules=("cheroot.wsgi",),
    extra="servers",
    options=Options,
    tls=True,
    framing=True,
    fields=True,
    bounds=(
        "does not answer beside as many slow clients as it has threads, for `header_timeout` seconds",
        "does not answer beside a client that begins a TLS handshake and pauses, for `body_timeout` seconds",
    ),
)
