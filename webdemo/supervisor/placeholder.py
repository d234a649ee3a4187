"""Serves 503 where no server can accept connections; with --health it reports live but not ready.

Runs in threads of the main process.
"""

from __future__ import annotations

from collections.abc import Mapping

from webdemo import servers
from webdemo.middleware import stack
from webdemo.stats.board import Board
from webdemo.supervisor.listeners import Listener
from webdemo.supervisor.loop import Loop


class Placeholder:
    """A wsgiref server per port, in a thread of the supervisor, on duplicates of the port's sockets."""

    def __init__(
        self, loop: Loop, listeners: Mapping[str, Listener], features: stack.Features, board: Board
    ) -> None:
        self._loop = loop
        self._listeners = listeners
        self._board = board
        self.features = features
        self._running: dict[str, servers.Stopping] = {}

    def serve(self, ports: frozenset[str]) -> None:
        """Serve on these ports, and on no others."""
        for port in self._running.keys() - ports:
            self._running.pop(port).set()
        for port in sorted(ports - self._running.keys()):
            self._running[port] = self._start(port)

    def _start(self, port: str) -> servers.Stopping:
        from webdemo.servers import wsgiref  # few runs need it

        stopping = servers.Stopping()
        job = servers.Job(
            app=stack.placeholder(self.features, self._board),
            sockets=[sock.dup() for sock in self._listeners[port].sockets],
            options=wsgiref.adapter.options(),
            workers=1,
            certificate=None,
            ready=lambda: None,
            stopping=stopping,
            grace_seconds=1.0,
        )

        def serve() -> None:
            try:
                wsgiref.serve(job)
            finally:
                self._loop.post(stopping.close)

        self._loop.in_thread(serve)
        return stopping
