"""What some servers lack, so that an app finds the same on all of them.

A request body with an end: some servers hand out the bare connection, and reading on in it would wait
for bytes that never come. A Unix socket's names, which each server makes up in its own way. No body
with the answer to HEAD, which would be taken for the next answer.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from webdemo.servers._framing import Malformed, refuse

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed import WriteableBuffer
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

# The environ of a request over a Unix socket; there is no REMOTE_PORT. As Gunicorn has it.
UNIX = {"SERVER_NAME": "localhost", "SERVER_PORT": "80", "REMOTE_ADDR": ""}


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


def with_an_end(connection: Any, environ: WSGIEnvironment) -> io.BufferedIOBase:
    """The body alone: CONTENT_LENGTH bytes of the connection, and none without it (RFC 9112 section 6.3)."""
    length = environ.get("CONTENT_LENGTH") or ""
    known = int(length) if length.isascii() and length.isdecimal() else 0
    return io.BufferedReader(_Remaining(connection, known)) if known else io.BytesIO()


def answer(app: WSGIApplication, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """What the app returns; for HEAD an answer without a body: started, closed, and empty.

    An app that fails because the request's body is malformed has answered 400.
    """
    if environ["REQUEST_METHOD"] != "HEAD":
        try:
            return app(environ, start_response)
        except Malformed as exc:
            return refuse(exc, start_response)
    body = app(environ, start_response)
    environ["REQUEST_METHOD"] = "HEAD"  # servers look at it again; the app may have made it a GET for itself
    try:
        next(iter(body), None)  # a generator calls start_response when it is first asked
    finally:
        close = getattr(body, "close", None)
        if close is not None:
            close()
    return iter((b"",))  # with nothing at all some servers would announce a length of 0
