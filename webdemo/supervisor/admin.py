"""The admin address: /livez, /readyz, /metrics and /status, answered by the main process itself.

The rule: no response waits for a server, so that busy servers, or a flood of requests, delay none of them. It
is for those who run webdemo: everybody who can connect may read.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable

from webdemo.middleware.stack import LIVE, READY, release_line
from webdemo.stats.exposition import CONTENT_TYPE, About, exposition
from webdemo.supervisor.commands import Commands, Run
from webdemo.supervisor.loop import Loop
from webdemo.supervisor.stream_server import Connection, StreamServer
from webdemo.worker.codec import plain

METRICS = "/metrics"
STATUS = "/status"
_TEXT = "text/plain; charset=utf-8"
_MOST_SECONDS = 10.0
_LONGEST_TARGET = 1000

Answer = tuple[str, str, bytes]  # status line, content type, body


class Admin:
    """Serves the admin address on these sockets; runs in the loop."""

    def __init__(self, loop: Loop, sockets: list[socket.socket], run: Run) -> None:
        self._run = run
        self._paths: dict[str, Callable[[], Answer]] = {
            LIVE: self._live,
            READY: self._ready,
            METRICS: self._metrics,
            STATUS: self._status,
        }
        self._servers = [
            StreamServer(loop, sock, b"\r\n\r\n", self._take, most_seconds=_MOST_SECONDS) for sock in sockets
        ]

    def close(self) -> None:
        for server in self._servers:
            server.close()

    def _take(self, connection: Connection, head: bytes) -> None:
        """Answer one request; RFC 9112 section 9.6: the connection is closed after it."""
        method, _, rest = head.partition(b"\r\n")[0].decode("latin-1").partition(" ")
        status, content_type, body = self._answer(method, rest.partition(" ")[0])
        fields = (
            f"HTTP/1.1 {status}",
            f"Content-Type: {content_type}",
            f"Content-Length: {len(body)}",
            "Cache-Control: no-store",
            "Connection: close",
        )
        lines = "".join(f"{field}\r\n" for field in fields).encode()
        connection.send(lines + b"\r\n" + (b"" if method == "HEAD" else body), is_last=True)

    def _answer(self, method: str, target: str) -> Answer:
        if method not in ("GET", "HEAD"):
            return "405 Method Not Allowed", _TEXT, b"Only GET and HEAD are answered here.\n"
        path = target[:_LONGEST_TARGET].partition("?")[0]
        if path not in self._paths:
            return "404 Not Found", _TEXT, f"Here are {', '.join(self._paths)}.\n".encode()
        return self._paths[path]()

    def _live(self) -> Answer:
        if self._run.executor.hang_watch.is_stalled:
            seconds = f"{self._run.plan.hang_seconds:g}"
            text = f"requests wait, and no server has completed one for {seconds} s\n"
            return "503 Service Unavailable", _TEXT, text.encode()
        return "200 OK", _TEXT, b"ok\n"

    def _ready(self) -> Answer:
        named = release_line(self._about().release)
        reason = self._run.reconciler.not_ready_because()
        if reason is not None:
            return "503 Service Unavailable", _TEXT, f"not ready: {reason}\n".encode() + named
        return "200 OK", _TEXT, b"ok\n" + named

    def _about(self) -> About:
        """Of the release that is served."""
        return self._run.executor.plan_of(self._run.reconciler.settled.release).features.about

    def _metrics(self) -> Answer:
        counted = self._run.executor.counters.read()
        return "200 OK", CONTENT_TYPE, exposition(counted, self._about()).encode()

    def _status(self) -> Answer:
        status = plain(Commands(self._run).status())
        return "200 OK", "application/json", json.dumps(status).encode() + b"\n"
