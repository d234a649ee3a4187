"""Strict message framing by RFC 9112, for servers whose own parsers are lenient.

A proxy and a server that disagree about where a request ends allow request smuggling. So nothing
malformed is interpreted: the response is 400, and the connection is closed.
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from webdemo.syntax import FIELD_VALUE, TOKEN, is_host, is_length

if TYPE_CHECKING:
    from http.server import BaseHTTPRequestHandler as _Handler

    from _typeshed import WriteableBuffer
    from _typeshed.wsgi import StartResponse
else:
    _Handler = object

_LONGEST_LINE = 65536  # as in http.server
_MOST_FIELDS = 100
_LONGEST_CHUNK_LINE = 4096
_LONGEST_TRAILER = 65536

# RFC 9112 sections 3, 5 and 5.2: no bare CR or LF, no other control characters, no obsolete line folding. A
# target may contain bytes beyond ASCII, which some clients send.
_TOKEN, _VALUE = TOKEN.encode(), FIELD_VALUE.encode()
_REQUEST_LINE = re.compile(_TOKEN + rb" [\x21-\x7e\x80-\xff]++ HTTP/[0-9]\.[0-9]\r\n")
_FIELD = re.compile(_TOKEN + rb":" + _VALUE + rb"\r\n")
_FIELDS = re.compile(rb"(?:" + _FIELD.pattern + rb")*+\r\n")
_HOSTS = re.compile("\nhost:([^\r]*)")
_LENGTHS = re.compile("\ncontent-length:([^\r]*)")
_CODINGS = re.compile("\ntransfer-encoding:([^\r]*)")

# RFC 9112 sections 7.1 and 7.1.1.
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:[ \t]*+;" + _VALUE + rb")?\r\n")


class Malformed(OSError, ValueError):
    """The request is malformed. An OSError, because an app's read of the body may raise it."""

    status = 400


class TooLarge(Malformed):
    status = 431


class Incomplete(Malformed):
    """The client disconnected or timed out within the request header: there is nobody to respond to."""


def read_fields(request_line: bytes, connection: Any) -> bytes:
    """Read the header fields after a request line, up to and including the empty line. Raises Malformed."""
    if not request_line.endswith(b"\n"):
        raise Incomplete("Its request line is incomplete.")
    check_line(request_line)
    readline = connection.readline
    lines = []
    for _ in range(_MOST_FIELDS + 1):
        line = readline(_LONGEST_LINE + 1)
        lines.append(line)
        if not line.endswith(b"\n") and len(line) <= _LONGEST_LINE:
            raise Incomplete("Its head is incomplete.")
        if len(line) <= 2:  # the empty line
            break
        if len(line) > _LONGEST_LINE:
            raise TooLarge("A header field is too large.")
    else:
        raise TooLarge("It has too many header fields.")
    fields = b"".join(lines)
    check_fields(request_line, fields)
    if b" \r" in fields or b"\t\r" in fields:
        # Trailing white space is not part of a value (RFC 9112 section 5.1), but some parsers keep it.
        return b"\r\n".join(line.rstrip(b" \t") for line in fields.split(b"\r\n"))
    return fields


def check_head(head: bytes) -> None:
    """Raise Malformed unless this is a request line, header fields and an empty line."""
    end = head.find(b"\n") + 1
    check_line(head[:end])
    check_fields(head[:end], head[end:])


def check_line(request_line: bytes) -> None:
    """Raise Malformed unless this is a request line with its CRLF (RFC 9112 section 3)."""
    if not _REQUEST_LINE.fullmatch(request_line):
        raise Malformed("Its request line is malformed.")


def check_fields(request_line: bytes, fields: bytes) -> None:
    """Raise Malformed unless these are header fields and an empty line (RFC 9112 section 5)."""
    if not _FIELDS.fullmatch(fields):
        raise Malformed("Its header is malformed.")
    text = "\n" + fields.decode("latin-1").lower()
    check_body_length(
        request_line[-10:-2].decode("latin-1"),
        hosts=_HOSTS.findall(text),
        lengths=_LENGTHS.findall(text) if "\ncontent-length:" in text else (),
        codings=_CODINGS.findall(text) if "\ntransfer-encoding:" in text else (),
    )


def check_body_length(
    version: str, *, hosts: Sequence[str], lengths: Sequence[str], codings: Sequence[str]
) -> None:
    """Check Host, Transfer-Encoding, Content-Length (RFC 9112 sections 3.2, 6.1, 6.3). Raises Malformed."""
    if len(hosts) != 1:
        if hosts or version != "HTTP/1.0":
            raise Malformed("A request has one Host.")
    elif not is_host(hosts[0].strip(" \t")):
        raise Malformed("Its Host is malformed.")
    if codings:
        if lengths:
            raise Malformed("It has both a Transfer-Encoding and a Content-Length.")
        if version == "HTTP/1.0":
            raise Malformed("HTTP/1.0 has no Transfer-Encoding.")
        if len(codings) != 1 or codings[0].strip(" \t").lower() != "chunked":
            raise Malformed("The only Transfer-Encoding here is chunked.")
    elif lengths and (len(lengths) != 1 or not is_length(lengths[0].strip(" \t"))):
        raise Malformed("Its Content-Length is malformed.")  # RFC 9110 8.6 lets us refuse equal ones too


def refuse(exc: Malformed, start_response: StartResponse) -> Iterable[bytes]:
    """Respond with 400 like a WSGI app. Re-raises the error if the response has already started."""
    body = f"{exc}\n".encode()
    headers = [("Content-Type", "text/plain"), ("Content-Length", str(len(body))), ("Connection", "close")]
    start_response("400 Bad Request", headers, sys.exc_info())
    return [body]


class StrictHandler(_Handler):
    """A mixin for handlers of http.server: only well-formed request headers reach its parser."""

    raw_requestline: bytes

    def parse_request(self) -> bool:
        try:
            fields = read_fields(self.raw_requestline, self.rfile)
        except Incomplete:
            self.close_connection = True
            return False
        except Malformed as exc:
            self.requestline = self.command = ""
            self.request_version = "HTTP/1.1"
            self.send_error(exc.status, explain=str(exc))
            return False
        return parse_alone(self, fields, super().parse_request)


def parse_alone(handler: Any, fields: bytes, parse: Callable[[], bool]) -> bool:
    """Call `parse` with the handler's `rfile` replaced by the fields; returns its result."""
    connection, handler.rfile = handler.rfile, io.BytesIO(fields)
    try:
        return parse()
    finally:
        handler.rfile = connection


class Chunks:
    """An incremental decoder of one chunked body (RFC 9112 section 7.1); it discards the trailer."""

    def __init__(self) -> None:
        self.is_over = False
        self._left = 0  # bytes of the chunk's data still to come
        self._line = b""
        self._take = self._take_size
        self._trailer_length = 0
        self._broken: Malformed | None = None

    def decode(self, data: bytes) -> tuple[bytes, int]:
        """The decoded content, and the number of bytes consumed. Raises Malformed, from then on always."""
        if self._broken:
            raise self._broken
        content, used = [], 0
        while used < len(data) and not self.is_over:
            if self._left:
                part = data[used : used + self._left]
                content.append(part)
                used += len(part)
                self._left -= len(part)
                continue
            end = data.find(b"\n", used) + 1 or len(data)
            self._line += data[used:end]
            used = end
            try:
                if len(self._line) > _LONGEST_CHUNK_LINE:
                    raise Malformed("A line of its chunked body is too long.")
                if self._line.endswith(b"\n"):
                    self._take(self._line)
                    self._line = b""
            except Malformed as exc:
                self._broken = exc
                raise
        return b"".join(content), used

    def _take_size(self, line: bytes) -> None:
        chunk = _CHUNK_LINE.fullmatch(line)
        if not chunk:
            raise Malformed("A chunk of its body has no valid size.")
        self._left = int(chunk[1], 16)
        self._take = self._take_end if self._left else self._take_trailer

    def _take_end(self, line: bytes) -> None:
        if line != b"\r\n":
            raise Malformed("A chunk of its body does not end where it should.")
        self._take = self._take_size

    def _take_trailer(self, line: bytes) -> None:
        self._trailer_length += len(line)
        if line == b"\r\n":
            self.is_over = True
        elif not _FIELD.fullmatch(line) or self._trailer_length > _LONGEST_TRAILER:
            raise Malformed("The trailer of its body is malformed.")


class ChunkedBody(io.RawIOBase):
    """The content of a chunked body. Reads raise Malformed, or ConnectionAbortedError if it is cut off."""

    def __init__(
        self, connection: io.BufferedReader[Any], when_malformed: Callable[[], None] = lambda: None
    ) -> None:
        self._connection = connection
        self._when_malformed = when_malformed
        self._chunks = Chunks()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer)
        while len(view) and not self._chunks.is_over:
            waiting = self._connection.peek(1)
            if not waiting:
                raise ConnectionAbortedError("The client left in the middle of its request's body.")
            try:
                content, used = self._chunks.decode(waiting[: len(view)])
            except Malformed:
                self._when_malformed()
                raise
            self._connection.read(used)
            if content:
                view[: len(content)] = content
                return len(content)
        return 0
