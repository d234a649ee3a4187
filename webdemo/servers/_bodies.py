"""A request body with an end, for the servers that hand out the bare connection instead.

Reading on in one of those would wait for bytes that never come. With an end, `wsgi.input.read()` means
the same on every server, and the environ can say so: `wsgi.input_terminated`.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from _typeshed.wsgi import WSGIEnvironment


class _Remaining(io.RawIOBase):
    def __init__(self, connection: io.BufferedReader, length: int) -> None:
        self._connection = connection
        self._left = length

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer)
        if not self._left or not len(view):
            return 0
        data = self._connection.read1(min(len(view), self._left))
        if not data:
            # A part of a body must not be taken for the whole.
            raise ConnectionAbortedError("The client left in the middle of its request's body.")
        view[: len(data)] = data
        self._left -= len(data)
        return len(data)


def with_an_end(connection: Any, environ: WSGIEnvironment) -> io.BufferedReader:
    """The body alone: CONTENT_LENGTH bytes of the connection, and none without it (RFC 9112 section 6.3)."""
    length = environ.get("CONTENT_LENGTH") or ""
    known = int(length) if length.isascii() and length.isdecimal() else 0
    return io.BufferedReader(_Remaining(connection, known))
