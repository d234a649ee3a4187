"""Serves 503 while the app is not loaded yet; with --health it reports live but not ready.

Runs in threads of the main process.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from webdemo import servers
from webdemo.middleware import stack
from webdemo.supervisor.loop import Loop
from webdemo.supervisor.service import RunningService


class StandIn:
    """A wsgiref server per service, in threads of the supervisor, on duplicates of the services' sockets."""

    def __init__(self, loop: Loop, *, health: bool) -> None:
        self._loop = loop
        self._app = stack.health(stack.not_loaded, lambda: False) if health else stack.not_loaded
        self._stopping: list[servers.Stopping] = []

    def serve(self, services: Iterable[RunningService]) -> None:
        """Serve until `end`. TLS ports are left out: the supervisor does not handle private keys."""
        if self._stopping:
            return
        from webdemo.servers import wsgiref  # few runs need it

        for running in services:
            if not running.service.tls and running.service.runs_app:
                stopping = servers.Stopping()
                job = servers.Job(
                    app=self._app,
                    sockets=[sock.dup() for sock in running.sockets()],
                    options=wsgiref.adapter.options(),
                    workers=1,
                    certificate=None,
                    ready=lambda: None,
                    stopping=stopping,
                    grace_seconds=1.0,
                )
                self._loop.in_thread(partial(wsgiref.serve, job))
                self._stopping.append(stopping)

    def end(self) -> None:
        for stopping in self._stopping:
            stopping.set()
        self._stopping.clear()
