"""Granian: HTTP in Rust, a pool of Python threads for the app. It opens its own port.

Its public API takes an address, and a worker process that it forks opens the socket, with SO_REUSEPORT. The
supervisor opens the port itself before each start, without that option, so that a port in use is refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from webdemo.servers import MOST_THREADS, Adapter, Job, option

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


@dataclass(frozen=True, slots=True)
class Options:
    threads: int = option(4, "Threads that run the app.", least=1, most=MOST_THREADS)


def serve(job: Job) -> None:
    import multiprocessing

    import granian
    from granian.constants import Interfaces

    [listener] = job.sockets
    address, port = listener.getsockname()[:2]
    listener.close()
    # The app is loaded already, so the worker has to be a fork, which is not Python 3.14's default.
    multiprocessing.set_start_method("fork", force=True)
    server = granian.Granian(
        "",
        address,
        port,
        interface=Interfaces.WSGI,
        blocking_threads=job.options.threads,
        log_enabled=False,  # it would configure the app's logging
    )
    job.ready()
    server.serve(target_loader=lambda _: _closing_lists(job.app))  # handles SIGTERM


def _closing_lists(app: WSGIApplication) -> WSGIApplication:
    """The app, with lists closed as PEP 3333 requires, which Granian does not do."""

    def closing_lists(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        body = app(environ, start_response)
        if isinstance(body, list) and (close := getattr(body, "close", None)):
            body = [b"".join(body)]
            close()
        return body

    return closing_lists


adapter = Adapter(
    name="granian",
    serve=serve,
    summary="HTTP in Rust, a pool of threads for the app; opens its own port",
    distribution="granian",
    extra="servers",
    options=Options,
    modules=("granian",),
    unix=False,
    several_sockets=False,
    opens_own_sockets=True,
    drain=False,
    fields=(  # the environ, which is all that its public API gives, no longer tells them apart
        "passes on header fields with an underscore in their name, which a proxy in front may not remove",
        "accepts a second Host, Authorization or Content-Type",
    ),
)
