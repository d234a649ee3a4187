"""Draining for servers with a thread for each connection.

The rule: threads that process a request are waited for. Threads that wait for a request are woken after
LINGER_SECONDS, within which a request already on its way may still arrive.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from webdemo.portable import MSG_DONTWAIT, is_readable
from webdemo.servers import LINGER_SECONDS, Stopping
from webdemo.servers._sending import SentAtOnce

if TYPE_CHECKING:
    from http.server import BaseHTTPRequestHandler as _Handler
else:
    _Handler = object

LOOK_FOR_OLD_SECONDS = 1.0
_LONGEST_HEAD = 65536


class IdleConnections:
    """The connections that wait for a request, and those whose request header is incomplete."""

    def __init__(self) -> None:
        # No lock: each dict and set method used here is atomic.
        self._since: dict[socket.socket, float] = {}
        self._begun: set[socket.socket] = set()
        self._hung_up = False

    def add(self, connection: socket.socket) -> None:
        self._since[connection] = time.monotonic()
        if self._hung_up:
            end_reading(connection)

    def begin(self, connection: socket.socket) -> None:
        """A request has begun: the connection is no longer idle, but its header is incomplete."""
        self._begun.add(connection)

    def discard(self, connection: socket.socket) -> None:
        """The connection waits for no header any more."""
        self._since.pop(connection, None)
        self._begun.discard(connection)

    def hang_up(self) -> None:
        """End the wait for a request, also on connections added later; requests already sent are served."""
        self._hung_up = True
        for connection in self._since.copy():
            if connection not in self._begun:
                end_reading(connection)

    def close_idle(self) -> None:
        """Make room: end the connections that have waited for LINGER_SECONDS."""
        self.close_older_than(LINGER_SECONDS)

    def close_older_than(self, seconds: float) -> None:
        """End the wait for a header after this time, even if a part of the header has arrived."""
        latest = time.monotonic() - seconds
        for connection, since in self._since.copy().items():
            if since > latest:
                break  # dicts keep insertion order
            end_reading(connection)


def end_reading(connection: socket.socket) -> None:
    """Make a thread that waits for a request on this connection read end of file.

    Not if a complete request header is waiting to be read: its body may still be on its way.
    """
    with contextlib.suppress(OSError, ValueError):  # closed already
        if not (is_readable(connection) and b"\r\n\r\n" in _arrived(connection)):
            stop_reading(connection)


def stop_reading(connection: socket.socket) -> None:
    """Make reads from this connection return end of file; writing still works."""
    with contextlib.suppress(OSError):  # closed already
        # Not SSLSocket.shutdown, after which the connection would write in plain text.
        socket.socket.shutdown(connection, socket.SHUT_RD)


def _arrived(connection: socket.socket) -> bytes:
    """The bytes waiting to be read; b"" if another thread has read them. Does not block."""
    with socket.socket(fileno=socket.dup(connection.fileno())) as same:  # a copy without the timeout
        try:
            return same.recv(_LONGEST_HEAD, socket.MSG_PEEK | MSG_DONTWAIT)
        except BlockingIOError:
            return b""


class DrainingHandler(_Handler):
    """A mixin for request handlers that tracks the idle connections."""

    idle: IdleConnections  # set by a subclass
    pause_seconds: float  # set by a subclass: for which the client may pause while it sends or reads

    def __init__(self, request: socket.socket, address: Any, server: Any) -> None:
        try:
            super().__init__(request, address, server)
        except OSError:
            pass  # all I/O of a handler is with its client, whose disconnect is not worth a log line
        finally:
            self.idle.discard(self.request)

    def setup(self) -> None:
        super().setup()
        # With a timeout of Python's, each call would poll first, and one long response would share it.
        microseconds = int(self.pause_seconds * 1_000_000)
        if sys.platform == "win32":
            seconds = struct.pack("L", microseconds // 1000)
        else:
            seconds = struct.pack("ll", *divmod(microseconds, 1_000_000))
        for direction in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            self.request.setsockopt(socket.SOL_SOCKET, direction, seconds)
        self.wfile = SentAtOnce(self.request)
        self.idle.add(self.request)

    def parse_request(self) -> bool:
        self.idle.begin(self.request)
        try:
            return super().parse_request()
        finally:
            self.idle.discard(self.request)


Threads = dict[socket.socket, threading.Thread]
"""The open connections, each with the thread that serves it."""


def serve_until_stopped(
    servers: list[Any],
    stopping: Stopping,
    idle: IdleConnections,
    threads: Threads,
    header_timeout: float,
) -> None:
    """Accept on all servers (of socketserver.ThreadingMixIn) in this thread until stopped, then drain."""
    with selectors.DefaultSelector() as selector:
        selector.register(stopping, selectors.EVENT_READ)
        for server in servers:
            selector.register(server, selectors.EVENT_READ, server)
        look_at = time.monotonic() + LOOK_FOR_OLD_SECONDS
        while not stopping.is_set():
            for key, _ in selector.select(LOOK_FOR_OLD_SECONDS if threads else None):
                if key.data is not None:
                    accept(key.data, threads)
            if time.monotonic() > look_at:
                idle.close_older_than(header_timeout)
                look_at = time.monotonic() + LOOK_FOR_OLD_SECONDS
    # Delayed, because a connection accepted just now may not be registered as idle yet.
    hang_up = threading.Timer(LINGER_SECONDS, idle.hang_up)
    hang_up.start()
    for server in servers:
        server.server_close()
    for thread in list(threads.values()):
        thread.join()
    hang_up.cancel()


def accept(server: Any, threads: Threads) -> None:
    """Accept a connection and start its thread.

    Unlike `handle_request` of socketserver, which polls again, and looks at all threads for each connection.
    """
    try:
        connection, address = server.get_request()
    except OSError:
        return
    thread = threading.Thread(target=_serve, args=[server, connection, address, threads], daemon=True)
    threads[connection] = thread
    try:
        thread.start()
    except RuntimeError:  # no further thread can be started
        del threads[connection]
        server.handle_error(connection, address)
        server.shutdown_request(connection)


def _serve(server: Any, connection: socket.socket, address: Any, threads: Threads) -> None:
    try:
        server.process_request_thread(connection, address)
    finally:
        del threads[connection]
