"""What the servers that give each connection a thread of its own need in order to drain.

A thread that answers is waited for. A thread that waits for a request which may never come is
woken, after a moment in which a request already under way may still arrive.
"""

from __future__ import annotations

import contextlib
import os
import select
import selectors
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

from webdemo.servers import LINGER_SECONDS, Stopping
from webdemo.servers._fields import BadFields, unify_message
from webdemo.servers._room import Room

if TYPE_CHECKING:
    import socketserver
    from http.server import BaseHTTPRequestHandler as _Handler
else:
    _Handler = object

LOOK_FOR_OLD_SECONDS = 1.0
_LONGEST_HEAD = 65536


class IdleConnections:
    """The connections whose next request has not begun, and those whose header has not come to its end."""

    def __init__(self) -> None:
        # A lock is not needed: each method of a dict or a set that is used here is atomic.
        self._since: dict[socket.socket, float] = {}
        self._begun: set[socket.socket] = set()
        self._hung_up = False

    def add(self, connection: socket.socket) -> None:
        self._since[connection] = time.monotonic()
        if self._hung_up:
            end_reading(connection)

    def begin(self, connection: socket.socket) -> None:
        """Its request has begun: it is no longer idle, but the header must come to its end."""
        self._begun.add(connection)

    def discard(self, connection: socket.socket) -> None:
        """It waits for no header."""
        self._since.pop(connection, None)
        self._begun.discard(connection)

    def hang_up(self) -> None:
        """End the wait for a request, now and from now on; what has already arrived is still answered."""
        self._hung_up = True
        for connection in self._since.copy():
            if connection not in self._begun:
                end_reading(connection)

    def close_idle(self) -> None:
        """Make room: close those that were given the time to begin a request."""
        self.close_older_than(LINGER_SECONDS)

    def close_older_than(self, seconds: float) -> None:
        """End the wait for a header that has lasted this long, even if a part of it has come."""
        latest = time.monotonic() - seconds
        for connection, since in self._since.copy().items():
            if since > latest:
                break  # a dict keeps the order in which its keys came
            end_reading(connection)


def end_reading(connection: socket.socket) -> None:
    """Let whoever waits for a request on this connection find its end.

    Not if a whole head has arrived, and waits for a thread to read it: its body may yet be on the way.
    """
    with contextlib.suppress(OSError, ValueError):  # closed already
        if not (is_readable(connection) and b"\r\n\r\n" in _arrived(connection)):
            stop_reading(connection)


def stop_reading(connection: socket.socket) -> None:
    """Let whoever reads from this connection find its end; what is written is still sent."""
    with contextlib.suppress(OSError):  # closed already
        # Not a TLS connection's own method: it would write in the clear from now on.
        socket.socket.shutdown(connection, socket.SHUT_RD)


def is_readable(connection: socket.socket) -> bool:
    """Whether a read would not block."""
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(0))


def _arrived(connection: socket.socket) -> bytes:
    """What waits to be read; nothing if another thread has read it by now. Does not wait for more."""
    with socket.socket(fileno=os.dup(connection.fileno())) as same:  # without its time-out
        try:
            return same.recv(_LONGEST_HEAD, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return b""


class DrainingHandler(_Handler):
    """Mixed into a server's request handler: tracks where in a request it is, and unifies the fields."""

    idle: IdleConnections  # set by a subclass
    room: Room  # set by a subclass

    def __init__(self, request: socket.socket, address: Any, server: Any) -> None:
        # All I/O of a handler is with its client: that one leaves, or speaks no TLS, is no news.
        try:
            with contextlib.suppress(OSError):
                super().__init__(request, address, server)
        finally:
            self.room.open.discard(self.request)

    def setup(self) -> None:
        super().setup()
        self.idle.add(self.request)

    def parse_request(self) -> bool:
        self.idle.begin(self.request)
        try:
            if not super().parse_request():
                return False
        finally:
            self.idle.discard(self.request)
        try:
            unify_message(self.headers)
        except BadFields as exc:
            self.close_connection = True
            self.send_error(400, explain=str(exc))
            return False
        return True

    def finish(self) -> None:
        self.idle.discard(self.request)
        super().finish()


def serve_until_stopped(
    servers: list[socketserver.TCPServer],
    stopping: Stopping,
    idle: IdleConnections,
    room: Room,
    header_timeout: float,
) -> None:
    """Accept on every server from this one thread until told to stop, then drain."""
    with selectors.DefaultSelector() as selector:
        selector.register(stopping, selectors.EVENT_READ)
        for server in servers:
            server.timeout = 0  # handle_request is called when there is something to handle
            selector.register(server, selectors.EVENT_READ, server)
        look_at = time.monotonic() + LOOK_FOR_OLD_SECONDS
        while not stopping.is_set():
            for key, _ in selector.select(LOOK_FOR_OLD_SECONDS if len(room.open) else None):
                if key.data is not None:
                    key.data.handle_request()
            if time.monotonic() > look_at:
                idle.close_older_than(header_timeout)
                look_at = time.monotonic() + LOOK_FOR_OLD_SECONDS
    # Of a connection that was accepted just now nobody knows yet that it is idle.
    hang_up = threading.Timer(LINGER_SECONDS, idle.hang_up)
    hang_up.start()
    for server in servers:
        server.server_close()  # returns when every thread has answered
    hang_up.cancel()
