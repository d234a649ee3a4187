"""A server for webdemo, as small as one can be: one request at a time, HTTP/1.0."""

from __future__ import annotations

import select
from dataclasses import dataclass
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from webdemo.servers import Adapter, Job, option


@dataclass(frozen=True, slots=True)
class Options:
    greeting: str = option("hello", "Sent as X-Greeting with every answer.")


def serve(job: Job) -> None:
    class Handler(WSGIRequestHandler):
        server_version = "tiny/1.2.3"

        def log_message(self, *_: object) -> None:
            """Nothing: webdemo writes the access log."""

    [sock] = job.sockets
    server = WSGIServer(("localhost", 0), Handler, bind_and_activate=False)
    server.socket.close()
    server.socket = sock
    server.timeout = 0
    host, port = sock.getsockname()[:2]
    server.server_name, server.server_port = host, port
    server.setup_environ()

    def app(environ, start_response):  # type: ignore[no-untyped-def]
        def start(status, headers, exc_info=None):  # type: ignore[no-untyped-def]
            return start_response(status, [*headers, ("X-Greeting", job.options.greeting)], exc_info)

        return job.app(environ, start)

    server.set_app(app)
    job.ready()
    while not job.stopping.is_set():
        select.select([sock.fileno(), job.stopping.fileno()], [], [])
        server.handle_request()
    server.server_close()


adapter = Adapter(
    name="tiny",
    serve=serve,
    summary="one request at a time, for a test",
    distribution="tiny-server",
    options=Options,
    unix=False,
    several_sockets=False,
    contract=1,
)
absent = Adapter(name="absent", serve=serve, summary="never there", distribution="no-such-distribution")
later = adapter._replace(name="later", contract=2)
earlier = adapter._replace(name="earlier", contract=0)
broken = "not an adapter"
