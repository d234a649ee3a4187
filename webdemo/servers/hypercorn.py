"""Hypercorn: asyncio reads and writes, a pool of threads runs the app; HTTP/2 over TLS."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

from webdemo.servers import Adapter, Job, option

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


@dataclass(frozen=True, slots=True)
class Options:
    max_request_body_size: int = option(1 << 24, "Largest request body, in bytes; it is held in memory.")
    keepalive: int = option(5, "Seconds an idle connection is kept open.")


def serve(job: Job) -> None:
    from hypercorn.asyncio import serve as serve_asyncio
    from hypercorn.config import Config

    config = Config()
    config.bind = [f"fd://{sock.detach()}" for sock in job.sockets]
    config.graceful_timeout = job.grace_seconds
    config.keep_alive_timeout = job.options.keepalive
    config.wsgi_max_body_size = job.options.max_request_body_size
    config.loglevel = "WARNING"
    if job.certificate is not None:
        config.certfile = str(job.certificate.chain)
        config.keyfile = str(job.certificate.key)

    software = f"hypercorn/{version('hypercorn')}"

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ.setdefault("SERVER_SOFTWARE", software)  # every other server tells it
        return job.app(environ, start_response)

    async def until_stopped() -> None:
        """Hypercorn awaits this once it accepts, and drains when it returns."""
        job.ready()
        stopped = asyncio.Event()
        asyncio.get_running_loop().add_reader(job.stopping.fileno(), stopped.set)
        await stopped.wait()
        asyncio.get_running_loop().remove_reader(job.stopping.fileno())

    asyncio.run(serve_asyncio(app, config, shutdown_trigger=until_stopped, mode="wsgi"))  # type: ignore[arg-type]


adapter = Adapter(
    name="hypercorn",
    serve=serve,
    summary="asyncio and a pool of threads; HTTP/1.1 and HTTP/2",
    distribution="hypercorn",
    extra="servers",
    options=Options,
    tls=True,
)
