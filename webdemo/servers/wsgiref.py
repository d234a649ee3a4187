"""The standard library's WSGI server, with a thread for each connection. HTTP/1.0."""

from __future__ import annotations

import socket
from socketserver import ThreadingMixIn
from typing import Any

from webdemo.servers import Adapter, Job


def serve(job: Job) -> None:
    from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

    from webdemo.servers._draining import DrainingHandler, IdleConnections, serve_until_stopped

    class Handler(DrainingHandler, WSGIRequestHandler):
        idle = IdleConnections()

        def get_environ(self) -> dict[str, Any]:
            environ = super().get_environ()
            environ["REMOTE_PORT"] = str(self.client_address[1]) if self.client_address[1:] else ""
            return environ

        def address_string(self) -> str:
            return str(self.client_address[0]) if self.client_address else "unix"

        def log_request(self, *_: Any) -> None:
            """Nothing: the run layer writes one access log for all servers."""

    class Server(ThreadingMixIn, WSGIServer):
        def __init__(self, listener: socket.socket) -> None:
            address = listener.getsockname()
            super().__init__(("localhost", 0), Handler, bind_and_activate=False)
            self.socket.close()
            self.socket = listener
            self.server_address = address
            is_unix = isinstance(address, str)
            self.server_name = "localhost" if is_unix else address[0]
            self.server_port = 80 if is_unix else address[1]
            self.setup_environ()

    servers = [Server(sock) for sock in job.sockets]
    for server in servers:
        server.set_app(job.app)
    job.ready()
    serve_until_stopped(list(servers), job.stopping, Handler.idle)


adapter = Adapter(
    name="wsgiref",
    serve=serve,
    summary="a thread for each connection; HTTP/1.0, no chunked bodies; for trying things out",
)
