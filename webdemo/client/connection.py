"""A deadline for everything that is done on a connection, and sending and receiving within it."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager


class NoResponse(ConnectionError):
    """The connection ended before the response did, or what came was another protocol's.

    `first` holds up to 200 bytes of what came first.
    """

    def __init__(self, first: bytes) -> None:
        super().__init__("The server closed the connection without a complete response.")
        self.first = first


class Deadline:
    """The time by which an exchange must end, and the time since it began."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._began = time.perf_counter()
        self._ends = self._began + seconds

    @property
    def left(self) -> float:
        """Seconds until the deadline; negative after it."""
        return self._ends - time.perf_counter()

    def remaining(self) -> float:
        """Seconds until the deadline, for a socket's timeout. Raises TimeoutError after it."""
        if (left := self.left) <= 0:
            raise TimeoutError
        return left

    def milliseconds(self) -> float:
        """Milliseconds since it was made or restarted."""
        return (time.perf_counter() - self._began) * 1000

    def restarted(self) -> Deadline:
        """The same deadline, with milliseconds counted from now."""
        copy = Deadline(self.seconds)
        copy._ends = self._ends
        return copy

    def at_most(self, seconds: float) -> Deadline:
        """A deadline after this many seconds, or this one if it is earlier."""
        return Deadline(min(seconds, self.left))

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Time spent within this context does not count against the deadline."""
        began = time.perf_counter()
        yield
        self._ends += time.perf_counter() - began


def send(sock: socket.socket, data: bytes, deadline: Deadline) -> None:
    """Send all of it. Raises TimeoutError after the deadline, and OSError."""
    view = memoryview(data)
    while view:
        sock.settimeout(deadline.remaining())
        view = view[sock.send(view) :]


def receive(sock: socket.socket, deadline: Deadline) -> bytes:
    """Wait for data; b"" if the peer has closed or reset the connection. Raises TimeoutError and OSError."""
    sock.settimeout(deadline.remaining())
    try:
        return sock.recv(65536)
    except ConnectionResetError:
        return b""
