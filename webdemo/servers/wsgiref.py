"""The standard library's WSGI server, with a thread for each connection. HTTP/1.0."""

from __future__ import annotations

import socket
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any

from webdemo.servers import Adapter, ConnectionOptions, Job

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIEnvironment

    from webdemo.servers._draining import IdleConnections

_LONGEST_LINE = 65536


def serve(job: Job) -> None:
    from wsgiref.simple_server import WSGIServer

    from webdemo.servers._draining import IdleConnections
    from webdemo.servers._http_handler import Threads, serve_until_stopped
    from webdemo.servers._room import Listener, Room
    from webdemo.servers._wsgi_fixes import answer, checked

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return answer(job.app, environ, checked(start_response))

    idle = IdleConnections()
    threads: Threads = {}
    room = Room(threads.__len__, idle.close_idle, most=job.options.connections)
    handler = strict_handler(job, idle)

    class Server(ThreadingMixIn, WSGIServer):
        def __init__(self, listener: socket.socket) -> None:
            address = listener.getsockname()
            super().__init__(("localhost", 0), handler, bind_and_activate=False)
            self.socket.close()
            self.socket = Listener(listener, room)
            self.server_address = address
            is_unix = isinstance(address, str)
            self.server_name = "localhost" if is_unix else address[0]
            self.server_port = 80 if is_unix else address[1]
            self.setup_environ()
            self.set_app(app)

    servers = [Server(sock) for sock in job.sockets]
    job.ready()
    serve_until_stopped(servers, job.stopping, idle, threads, job.options.header_timeout)


def strict_handler(job: Job, connections: IdleConnections) -> Any:
    """wsgiref's handler; only well-formed requests reach the app, with the environ of other servers."""
    from wsgiref.handlers import SimpleHandler
    from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

    from webdemo.servers._http_handler import StrictHandler
    from webdemo.servers._wsgi_fixes import with_an_end

    class Answer(SimpleHandler):
        os_environ = {}  # noqa: RUF012  # do not expose environment variables in the WSGI environ
        server_software = WSGIRequestHandler.server_version

    class Handler(StrictHandler, WSGIRequestHandler):
        server: WSGIServer
        idle = connections
        pause_seconds = job.options.body_timeout

        def setup(self) -> None:
            address: Any = self.client_address
            self.client_address = address if isinstance(address, tuple) else ("", 0)  # "" on a Unix socket
            super().setup()

        def get_environ(self) -> dict[str, Any]:
            environ = super().get_environ()
            environ["wsgi.input_terminated"] = True
            if self.client_address[1]:
                environ["REMOTE_PORT"] = str(self.client_address[1])
            if "Content-Type" not in self.headers:
                del environ["CONTENT_TYPE"]  # wsgiref's default, not the client's
            return environ

        def handle(self) -> None:
            self.raw_requestline = self.rfile.readline(_LONGEST_LINE + 1)
            if len(self.raw_requestline) > _LONGEST_LINE:
                self.requestline = self.request_version = self.command = ""
                self.send_error(414)
            elif self.parse_request():
                if "Transfer-Encoding" in self.headers:
                    self.send_error(411, explain="This server reads no chunked body: send a Content-Length.")
                else:
                    environ = self.get_environ()
                    body = with_an_end(self.rfile, environ)
                    Answer(body, self.wfile, self.get_stderr(), environ).run(self.server.get_app())  # type: ignore[arg-type]  # a BinaryIO in all but name

        def address_string(self) -> str:
            return str(self.client_address[0])

    return Handler


adapter = Adapter(
    name="wsgiref",
    serve=serve,
    modules=(
        "wsgiref.simple_server",
        "webdemo.servers._http_handler",
        "webdemo.servers._room",
    ),
    io_modules=("wsgiref.handlers", "wsgiref.simple_server"),  # wsgiref.util reads the app's files
    summary="a thread for each connection; HTTP/1.0, no chunked bodies; for trying things out",
    options=ConnectionOptions,
    spread=True,  # each connection has one request
    bounds=True,
    framing=True,
    fields=True,
)
