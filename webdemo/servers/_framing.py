"""Strict message framing by RFC 9112, for servers whose own parsers are lenient.

A proxy and a server that disagree about where a request ends allow request smuggling. So nothing
malformed is interpreted: the response is 400, and the connection is closed.
"""

from __future__ import annotations

import functools
import io
import re
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from webdemo.servers._fields import Malformed, unify
from webdemo.standard_streams import write_log
from webdemo.syntax import FIELD_VALUE, HOST, LENGTH, TOKEN

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from _typeshed.wsgi import StartResponse

_LONGEST_LINE = 65536  # as in http.server
_MOST_FIELDS = 100
LONGEST_CHUNK_LINE = 4096
NO_TUNNEL = "CONNECT is for proxies, and this server is none."
_LONGEST_TRAILER = 65536

# RFC 9112 sections 3, 5 and 5.2: no bare CR or LF, no other control characters, no obsolete line folding. A
# target may contain bytes beyond ASCII, which some clients send. No CONNECT (RFC 9110 section 9.3.6): after a
# 200, a proxy in front could pass on whatever the client sends.
_TOKEN, _VALUE, _HOST, _LENGTH = (part.encode() for part in (TOKEN, FIELD_VALUE, HOST, LENGTH))
_LINE = rb"(?!CONNECT )" + _TOKEN + rb" [\x21-\x7e\x80-\xff]++ HTTP/([0-9]\.[0-9])"
_REQUEST_LINE = re.compile(_LINE)
_FIELD = re.compile(rb"(" + _TOKEN + rb"):(" + _VALUE + rb")")

# Most heads need no correction: one Host, no Transfer-Encoding, no underscore in a name, no white space after
# a value. One match shows it, which takes a third of the time of the steps below.
_PLAIN_FIELDS = (
    rb"(?:(?!(?i:host|transfer-encoding|content-length(?!:[ \t]*+%b\r)):)%b:%b(?<![ \t])\r\n)*+"
    % (_LENGTH, _TOKEN.replace(b"_", b""), _VALUE)
)
_PLAIN_HEAD = re.compile(
    rb"%b\r\n%b(?i:host):[ \t]*+%b\r\n%b\r\n" % (_LINE, _PLAIN_FIELDS, _HOST, _PLAIN_FIELDS)
)
_NAMES = re.compile(rb"\n([^:\r]++)")

# RFC 9112 sections 7.1 and 7.1.1.
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:[ \t]*+;" + _VALUE + rb")?\r\n")


class TooLarge(Malformed):
    status = 431


class Incomplete(Malformed):
    """The client disconnected or timed out within the request header: there is no client to respond to."""


def read_fields(request_line: bytes, connection: Any) -> bytes:
    """Read the header fields and the empty line after a request line. Raises Malformed.

    They are returned as `strict_head` returns them.
    """
    if not request_line.endswith(b"\n"):
        raise Incomplete("Its request line is incomplete.")
    if not _REQUEST_LINE.fullmatch(request_line.removesuffix(b"\r\n")):  # there may be nothing after it
        raise _malformed(request_line)
    readline = connection.readline
    lines = [request_line]
    for _ in range(_MOST_FIELDS + 1):
        line = readline(_LONGEST_LINE + 1)
        lines.append(line)
        if len(line) <= 2 or not line.endswith(b"\n"):
            break
    if len(line) > _LONGEST_LINE:
        raise TooLarge("A header field is too large.")
    if not line.endswith(b"\n"):
        raise Incomplete("Its head is incomplete.")
    if len(line) > 2:
        raise TooLarge("It has too many header fields.")
    return strict_head(b"".join(lines))[len(request_line) :]


def _malformed(request_line: bytes) -> Malformed:
    """What to raise; if it is the PROXY protocol, the log names the setting of the proxy."""
    if request_line.startswith((b"PROXY ", b"\0")):
        _tell_of_proxy_protocol()
    if request_line.startswith(b"CONNECT "):
        return Malformed(NO_TUNNEL)
    return Malformed("Its request line or header is malformed.")


@functools.cache
def _tell_of_proxy_protocol() -> None:
    write_log(
        "A connection begins with the PROXY protocol, which is not understood here. Turn it off there: "
        "send-proxy in HAProxy, proxy_protocol in nginx."
    )


def strict_head(head: bytes) -> bytes:
    """The head, from the request line to the empty line, with its fields unified. Raises Malformed."""
    if _PLAIN_HEAD.fullmatch(head):
        names = _NAMES.findall(head.lower())
        if len(set(names)) == len(names) <= _MOST_FIELDS:
            return head
    request_line, *lines = head.split(b"\r\n")
    if len(lines) > _MOST_FIELDS + 2:
        raise TooLarge("It has too many header fields.")
    version = _REQUEST_LINE.fullmatch(request_line)
    matches = [_FIELD.fullmatch(line) for line in lines[:-2]]
    if not version or not all(matches) or lines[-2:] != [b"", b""]:
        raise _malformed(request_line)
    found = [[part.decode("latin-1").strip(" \t") for part in match.groups()] for match in matches if match]
    fields = unify(version[1].decode(), [(name, value) for name, value in found])
    text = "".join([f"{name}: {value}\r\n" for name, value in fields])
    return b"%b\r\n%b\r\n" % (request_line, text.encode("latin-1"))


def refuse(exc: Malformed, start_response: StartResponse) -> Iterable[bytes]:
    """Respond with 400 like a WSGI app. Re-raises the error if the response has already started."""
    body = f"{exc}\n".encode()
    headers = [("Content-Type", "text/plain"), ("Content-Length", str(len(body))), ("Connection", "close")]
    start_response("400 Bad Request", headers, sys.exc_info())
    return [body]


def parse_alone(handler: Any, fields: bytes, parse: Callable[[], bool]) -> bool:
    """Call `parse` with the handler's `rfile` replaced by the fields; returns its result."""
    connection, handler.rfile = handler.rfile, io.BytesIO(fields)
    try:
        return parse()
    finally:
        handler.rfile = connection


def chunk_size(line: bytes) -> int:
    """The size in the line that begins a chunk. Raises Malformed."""
    chunk = _CHUNK_LINE.fullmatch(line)
    if not chunk:
        raise Malformed("A chunk of its body has no valid size.")
    return int(chunk[1], 16)


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
                if len(self._line) > LONGEST_CHUNK_LINE:
                    raise Malformed("A line of its chunked body is too long.")
                if self._line.endswith(b"\n"):
                    self._take(self._line)
                    self._line = b""
            except Malformed as exc:
                self._broken = exc
                raise
        return b"".join(content), used

    def _take_size(self, line: bytes) -> None:
        self._left = chunk_size(line)
        self._take = self._take_end if self._left else self._take_trailer

    def _take_end(self, line: bytes) -> None:
        if line != b"\r\n":
            raise Malformed("A chunk of its body does not end where it should.")
        self._take = self._take_size

    def _take_trailer(self, line: bytes) -> None:
        self._trailer_length += len(line)
        if line == b"\r\n":
            self.is_over = True
        elif not _FIELD.fullmatch(line.removesuffix(b"\r\n")) or self._trailer_length > _LONGEST_TRAILER:
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
