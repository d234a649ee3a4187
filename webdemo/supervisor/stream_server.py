"""Serves short messages on a listening socket, in the loop of the main process, without a thread per client.

The rule: a client that connects and then neither writes nor reads delays no other. Nothing here blocks, no
message is longer than _LONGEST_MESSAGE, and of too many connections the least recently active one is closed.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable

from webdemo.supervisor.loop import Loop

_LONGEST_MESSAGE = 65536
_MOST_CONNECTIONS = 64
_ACCEPTED_AT_ONCE = 16  # then clients that have sent a message get their turn


class StreamServer:
    """Calls `take` with each message: what a client has sent up to `end`, without it."""

    def __init__(
        self,
        loop: Loop,
        sock: socket.socket,
        end: bytes,
        take: Callable[[Connection, bytes], None],
        *,
        most_seconds: float | None = None,
    ) -> None:
        """`most_seconds`: how long a connection may last."""
        self.loop = loop
        self.end = end
        self._socket = sock
        self._take = take
        self._most_seconds = most_seconds
        self._connections: dict[Connection, None] = {}  # least recently active first
        sock.setblocking(False)
        loop.on_readable(sock, self._accept)

    def close(self) -> None:
        for connection in list(self._connections):
            connection.hang_up()
        self.loop.forget(self._socket)
        self._socket.close()

    def taken(self, connection: Connection, message: bytes) -> None:
        self._connections[connection] = self._connections.pop(connection)  # most recently active
        self._take(connection, message)

    def gone(self, connection: Connection) -> None:
        del self._connections[connection]

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionAbortedError):
            for _ in range(_ACCEPTED_AT_ONCE):
                self._connected(self._socket.accept()[0])

    def _connected(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        if len(self._connections) >= _MOST_CONNECTIONS:
            idle = (connection for connection in self._connections if not connection.waits)
            next(idle, next(iter(self._connections))).hang_up()
        connection = Connection(self, sock)
        self._connections[connection] = None
        if self._most_seconds is not None:
            self.loop.after(self._most_seconds, connection.hang_up)


class Connection:
    """Messages from one client; none is read while output is waiting to be sent."""

    def __init__(self, server: StreamServer, sock: socket.socket) -> None:
        self.waits = 0  # number of responses still owed to the client
        self._server = server
        self._loop = server.loop
        self._end = server.end
        self._socket = sock
        self._received = b""
        self._unsent = b""
        self._is_closed = False
        self._is_last = False
        self._loop.on_readable(sock, self._read)

    def send(self, data: bytes, *, is_last: bool = False) -> None:
        """Send it when the client reads; after the last data nothing more is read."""
        if not self._is_closed:
            was_sending = bool(self._unsent)
            self._unsent += data
            self._is_last = is_last
            if not was_sending:
                self._write()
                if self._unsent and not self._is_closed:  # backpressure: read no more until it is sent
                    self._loop.forget(self._socket)
                    self._loop.on_writable(self._socket, self._go_on)

    def hang_up(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._loop.forget(self._socket)
            self._socket.close()
            self._server.gone(self)

    def _write(self) -> None:
        try:
            self._unsent = self._unsent[self._socket.send(self._unsent) :]
            if self._is_last and not self._unsent:
                self._socket.shutdown(socket.SHUT_WR)  # a close would reset what is on its way
        except BlockingIOError:
            return
        except OSError:
            self.hang_up()

    def _go_on(self) -> None:
        self._write()
        if not self._unsent and not self._is_closed:
            self._loop.forget(self._socket)
            self._loop.on_readable(self._socket, self._read)
            self._take_next()

    def _read(self) -> None:
        if self._end in self._received:  # a complete message is waiting already
            return
        try:
            data = self._socket.recv(_LONGEST_MESSAGE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if self._is_last:
            self._received = b""
        self._received += data
        if not data or (len(self._received) > _LONGEST_MESSAGE and self._end not in self._received):
            self.hang_up()
        self._take_next()

    def _take_next(self) -> None:
        """Take one message; the next one gets its turn in a later round of the loop."""
        if self._is_closed or self._unsent or self._is_last:
            return
        message, end, rest = self._received.partition(self._end)
        if end:
            self._received = rest
            if self._end in rest:
                self._loop.after(0, self._take_next)
            self._server.taken(self, message)
