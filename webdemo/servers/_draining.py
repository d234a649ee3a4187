"""Draining for servers with a thread for each connection.

The rule: threads that process a request are waited for. Threads that wait for a request are woken after
LINGER_SECONDS, within which a request already on its way may still arrive.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Collection

from webdemo.portable import MSG_DONTWAIT, is_readable
from webdemo.servers import LINGER_SECONDS, Stopping

LOOK_FOR_OLD_SECONDS = 1.0
SIGNALS = 4096  # read at once
_LONGEST_HEAD = 65536


async def stopped(stopping: Stopping) -> None:
    """Wait for the flag in the main thread's asyncio loop."""
    import asyncio  # which most servers do not need

    loop, is_set = asyncio.get_running_loop(), asyncio.Event()
    with stopping.signals() as signals:
        loop.add_reader(signals, signals.recv, SIGNALS)
        loop.add_reader(stopping.fileno(), is_set.set)
        await is_set.wait()
        loop.remove_reader(stopping.fileno())
        loop.remove_reader(signals)


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

    def drain(self, threads: Collection[threading.Thread]) -> None:
        """Wait until these threads, which serve the connections, have ended. Starts no thread.

        A connection that was accepted just now may be registered as idle only within LINGER_SECONDS.
        """
        lingers_until = time.monotonic() + LINGER_SECONDS
        for thread in threads:
            thread.join(max(0.0, lingers_until - time.monotonic()))
        self.hang_up()
        for thread in threads:
            thread.join()

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
            # Not SSLSocket.shutdown, after which the connection would write in plain text.
            socket.socket.shutdown(connection, socket.SHUT_RD)


def _arrived(connection: socket.socket) -> bytes:
    """The bytes waiting to be read; b"" if another thread has read them. Does not block."""
    with socket.socket(fileno=socket.dup(connection.fileno())) as same:  # a copy without the timeout
        try:
            return same.recv(_LONGEST_HEAD, socket.MSG_PEEK | MSG_DONTWAIT)
        except BlockingIOError:
            return b""
