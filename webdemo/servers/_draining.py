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
from typing import TYPE_CHECKING

from webdemo.servers import LINGER_SECONDS, Stopping
from webdemo.servers._fields import BadFields, unify_message

if TYPE_CHECKING:
    import socketserver
    from http.server import BaseHTTPRequestHandler as _Handler
else:
    _Handler = object

_LONGEST_HEAD = 65536


class IdleConnections:
    """The connections on which no request has begun."""

    def __init__(self) -> None:
        self._sockets: set[socket.socket] = set()  # its methods are atomic, so no lock is needed
        self._hung_up = False

    def add(self, connection: socket.socket) -> None:
        self._sockets.add(connection)
        if self._hung_up:
            end_reading(connection)

    def discard(self, connection: socket.socket) -> None:
        self._sockets.discard(connection)

    def hang_up(self) -> None:
        """End the wait for a request, now and from now on; what has already arrived is still answered."""
        self._hung_up = True
        for connection in list(self._sockets):
            end_reading(connection)


def end_reading(connection: socket.socket) -> None:
    """Let whoever waits for a request on this connection find its end.

    Not if a whole head has arrived, and waits for a thread to read it: its body may yet be on the way.
    """
    with contextlib.suppress(OSError, ValueError):  # closed already
        poll = select.poll()
        poll.register(connection, select.POLLIN)
        if poll.poll(0) and b"\r\n\r\n" in _arrived(connection):
            return
        connection.shutdown(socket.SHUT_RD)


def _arrived(connection: socket.socket) -> bytes:
    """What waits to be read; nothing if another thread has read it by now. Does not wait for more."""
    with socket.socket(fileno=os.dup(connection.fileno())) as same:  # without its time-out
        try:
            return same.recv(_LONGEST_HEAD, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return b""


class DrainingHandler(_Handler):
    """Mixed into a server's request handler: says whether a request has begun, and unifies its fields."""

    idle: IdleConnections  # set by a subclass

    def setup(self) -> None:
        self.idle.add(self.request)
        super().setup()

    def parse_request(self) -> bool:
        self.idle.discard(self.request)
        if not super().parse_request():
            return False
        try:
            unify_message(self.headers)
        except BadFields as exc:
            self.close_connection = True
            self.send_error(400, explain=str(exc))
            return False
        return True

    def finish(self) -> None:
        self.idle.discard(self.request)
        # The client may have left before the last bytes reached it.
        with contextlib.suppress(ConnectionError):
            super().finish()


def serve_until_stopped(
    servers: list[socketserver.TCPServer], stopping: Stopping, idle: IdleConnections
) -> None:
    """Accept on every server from this one thread until told to stop, then drain."""
    with selectors.DefaultSelector() as selector:
        selector.register(stopping, selectors.EVENT_READ)
        for server in servers:
            server.timeout = 0  # handle_request is called when there is something to handle
            selector.register(server, selectors.EVENT_READ, server)
        while not stopping.is_set():
            for key, _ in selector.select():
                if key.data is not None:
                    key.data.handle_request()
    # Of a connection that was accepted just now nobody knows yet that it is idle.
    hang_up = threading.Timer(LINGER_SECONDS, idle.hang_up)
    hang_up.start()
    for server in servers:
        server.server_close()  # returns when every thread has answered
    hang_up.cancel()
