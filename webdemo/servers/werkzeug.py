"""Werkzeug's development server: a thread for each connection, one request per connection."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from webdemo.servers import Adapter, Certificate, ConnectionOptions, Job

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable
    from socket import socket

    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_READ_AT_ONCE = 1 << 20  # bytes


def serve(job: Job) -> None:
    from werkzeug.serving import WSGIRequestHandler, make_server

    from webdemo.servers._draining import IdleConnections
    from webdemo.servers._framing import ChunkedBody
    from webdemo.servers._http_handler import StrictHandler, Threads, serve_until_stopped
    from webdemo.servers._room import Listener, Room
    from webdemo.servers._wsgi_fixes import UNIX, answer, checked, with_an_end

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return answer(job.app, environ, checked(start_response))

    context = _context(job.certificate)
    connections = IdleConnections()
    threads: Threads = {}
    room = Room(threads.__len__, connections.close_idle, most=job.options.connections)

    class Handler(StrictHandler, WSGIRequestHandler):
        rfile: Any
        idle = connections
        pause_seconds = job.options.body_timeout

        def setup(self) -> None:
            if context is not None:
                # In the connection's own thread, so that a slow handshake does not block others.
                self.request.settimeout(10)
                self.request = context.wrap_socket(self.request, server_side=True)
                self.request.settimeout(self.pause_seconds)
            super().setup()

        def make_environ(self) -> WSGIEnvironment:
            self.wfile.flush()  # 100 Continue
            connection, self.rfile = self.rfile, _Rest(self.rfile)
            environ = super().make_environ()
            port = environ.pop("REMOTE_PORT")
            listener: Any = self.server.server_address
            if isinstance(listener, str):
                environ.update(UNIX)
            else:
                environ["REMOTE_PORT"] = str(port)
            if "HTTP_TRANSFER_ENCODING" in environ:
                environ["wsgi.input"] = io.BufferedReader(ChunkedBody(connection, self.rfile.end))
            else:
                environ["wsgi.input"] = with_an_end(connection, environ)
            environ["wsgi.input_terminated"] = True
            return environ

    servers = []
    for sock in job.sockets:
        server = make_server(*_address(sock), app, threaded=True, request_handler=Handler, fd=sock.fileno())
        server.socket = Listener(server.socket, room)
        server.ssl_context = context
        servers.append(server)
    job.ready()
    serve_until_stopped(servers, job.stopping, connections, threads, job.options.header_timeout)


def _context(certificate: Certificate | None) -> ssl.SSLContext | None:
    if certificate is None:
        return None
    import ssl

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate.chain, certificate.key)
    return context


class _Rest:
    """What a client sends beyond its request: Werkzeug reads it before it closes a response.

    It would block until the client disconnects, and fail on a connection reset.
    """

    def __init__(self, connection: io.BufferedReader[Any]) -> None:
        self._connection = connection
        self._is_over = False

    def end(self) -> None:
        self._is_over = True

    def read(self, size: int) -> bytes:
        if self._is_over:
            return b""
        try:
            return self._connection.read1(min(size, _READ_AT_ONCE))
        except OSError:
            return b""

    def close(self) -> None:
        self._connection.close()


def _address(sock: socket) -> tuple[str, int]:
    address = sock.getsockname()
    return (f"unix://{address}", 0) if isinstance(address, str) else address[:2]


adapter = Adapter(
    name="werkzeug",
    serve=serve,
    summary="a thread for each connection; for development",
    distribution="werkzeug",
    # importlib.metadata: Werkzeug's server looks up its own version.
    modules=(
        "werkzeug.serving",
        "importlib.metadata",
        "webdemo.servers._wsgi_fixes",
        "webdemo.servers._http_handler",
        "webdemo.servers._room",
    ),
    io_modules=("werkzeug.serving",),  # the rest is a library, which apps use
    options=ConnectionOptions,
    spread=True,  # each connection has one request
    bounds=True,
    framing=True,
    fields=True,
    tls=True,
)
