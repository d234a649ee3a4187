"""Adapters for servers that register a `paste.server_runner`: `paste.NAME`.

A runner is called with the app, an empty global configuration, `host` and `port`, and opens its own
socket. So the supervisor cannot own the port, and draining is up to the server.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from webdemo.servers import Adapter, Job, not_loadable

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint  # slower to import than most servers


def bridge(name: str, entry: EntryPoint) -> Adapter:
    def serve(job: Job) -> None:
        try:
            runner = entry.load()
        except ImportError as exc:
            raise not_loadable(name, entry.value, str(exc)) from exc
        [listener] = job.sockets
        host, port = listener.getsockname()[:2]
        listener.close()
        # Python's default for SIGINT, so that the server stops as it does under its own command.
        signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
        signal.signal(signal.SIGINT, signal.default_int_handler)
        job.ready()
        try:
            runner(job.app, {}, host=host, port=str(port))
        except KeyboardInterrupt:
            return

    return Adapter(
        name=name,
        serve=serve,
        summary=f"{entry.value}, through its paste.server_runner entry point",
        distribution=entry.dist.name if entry.dist else entry.module,
        io_modules=(entry.module.partition(".")[0],),
        unix=False,
        several_sockets=False,
        opens_own_sockets=True,
        drain=False,
    )
