"""Send a response's head together with the first part of its body: one packet, one system call.

Werkzeug, wsgiref, Gunicorn and Waitress send them one by one. A system call that sends takes more of the
processor's time than most apps do for a short answer, and lets another thread take the GIL.
"""

from __future__ import annotations

import contextlib
import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from socket import socket

SENT_WITH_HEAD = 32 * 1024
"""A longer part of a body is sent by itself, because copying it behind the head would cost more."""

_LAST_CHUNK = b"0\r\n\r\n"


class HeadWithBody:
    """The connection of one response of Gunicorn, which sends the head first and never flushes."""

    __slots__ = ("_connection", "_head")

    def __init__(self, connection: socket) -> None:
        self._connection = connection
        self._head: bytes | None = None  # b"" when it is sent

    def sendall(self, data: bytes) -> None:
        if self._head is None:
            self._head = data
            return
        if self._head:
            if len(data) <= SENT_WITH_HEAD:
                data, self._head = self._head + data, b""
            else:
                self.flush()
        self._connection.sendall(data)

    def sendfile(self, *arguments: Any, **named: Any) -> None:
        self.flush()
        self._connection.sendfile(*arguments, **named)

    def finish(self) -> None:
        """Send the head of a response without a body, unless the client has disconnected."""
        if self._head:
            with contextlib.suppress(OSError):
                self.flush()

    def flush(self) -> None:
        if self._head:
            head, self._head = self._head, b""
            self._connection.sendall(head)


class SentAtOnce(io.BufferedIOBase):
    """The output of a handler of http.server: what it writes between two flushes is sent at once."""

    def __init__(self, connection: socket) -> None:
        self._connection = connection
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self._parts.append(data)
        if data == _LAST_CHUNK:  # Werkzeug flushes it only when the client has closed
            self.flush()
        return len(data)

    def flush(self) -> None:
        parts, self._parts = self._parts, []
        if parts:
            self._connection.sendall(parts[0] if len(parts) == 1 else b"".join(parts))
