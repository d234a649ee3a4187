"""Fixes for deviations from WSGI, so that an app sees the same on every server.

A request body that ends: some servers pass the bare connection, on which reading past the body blocks.
The same environ for Unix sockets, for which every server invents its own. No body in the response to
HEAD, which a client would take for the next response. No line break in a header.
"""

from __future__ import annotations

import io
import re
from itertools import chain
from typing import TYPE_CHECKING, Any

from webdemo.servers._fields import Malformed
from webdemo.servers._framing import refuse

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed import WriteableBuffer
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

# The environ of a request over a Unix socket, as Gunicorn sets it; without REMOTE_PORT.
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
            # End of file would make the app take a part of the body for the whole.
            raise ConnectionAbortedError("The client left in the middle of its request's body.")
        view[: len(data)] = data
        self._left -= len(data)
        return len(data)


_has_line_break = re.compile(r"[\r\n]").search


def checked(start_response: StartResponse) -> StartResponse:
    """It raises ValueError for a status or header with a line break (RFC 9110 section 5.5).

    Behind the break, text that an app took from a request would be a header, or the body. For servers that
    send what they are given.
    """

    def start(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Any:
        if any(map(_has_line_break, chain((status,), *headers))):
            raise ValueError("The app's response has a line break in its status or in a header.")
        return start_response(status, headers, *exc_info)

    return start


def with_an_end(connection: Any, environ: WSGIEnvironment) -> io.BufferedIOBase:
    """The request body: CONTENT_LENGTH bytes of the connection, none without it (RFC 9112 section 6.3).

    Reads raise ConnectionAbortedError if the client disconnects before its end.
    """
    length = environ.get("CONTENT_LENGTH") or ""
    known = int(length) if length.isascii() and length.isdecimal() else 0
    return io.BufferedReader(_Remaining(connection, known)) if known else io.BytesIO()


def answer(app: WSGIApplication, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Call the app. For HEAD, the body is closed and replaced by an empty one.

    If the app does not catch that the request body is malformed, the response is 400.
    """
    if environ["REQUEST_METHOD"] != "HEAD":
        try:
            return app(environ, start_response)
        except Malformed as exc:
            return refuse(exc, start_response)
    body = app(environ, start_response)
    environ["REQUEST_METHOD"] = "HEAD"  # servers read it again, and the app may have set it to GET
    try:
        next(iter(body), None)  # a generator calls start_response on its first iteration
    finally:
        close = getattr(body, "close", None)
        if close is not None:
            close()
    return iter((b"",))  # for an empty iterable some servers would send Content-Length: 0
