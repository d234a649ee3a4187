"""HTTP as raw bytes: what a probe sends on its own connection, and everything that comes back.

The rule: nothing is corrected. Requests may be malformed; responses are framed by RFC 9112 section 6.3, and
all bytes after them are kept. Every exchange ends by its deadline.
"""

from __future__ import annotations

import json
import re
import select
import socket
from collections.abc import Sequence
from typing import Any, Final, Literal, NamedTuple

from webdemo.client.connection import Deadline
from webdemo.client.endpoint import Endpoint
from webdemo.portable import AF_UNIX
from webdemo.syntax import is_length

CONNECT_SECONDS = 5.0
QUIET_SECONDS = 0.12  # of silence, after which a complete response is taken for the last
MOST_BYTES = 4 << 20
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")  # which only read (RFC 9110 section 9.2.1)

_STATUS_LINE = re.compile(rb"HTTP/(\d\.\d) (\d{3})(?: ([^\r\n]*))?\r?\n")
_WITHOUT_BODY = (204, 304)
_AWAIT_SECONDS = 1.0
_AT_ONCE = 0.001  # seconds; a socket with a timeout of 0 raises other errors

Ended = Literal["closed", "reset", "open"]


# -- requests -------------------------------------------------------------------------------------


def encode_request(
    target: str = "/",
    *headers: str,
    method: str = "GET",
    body: bytes = b"",
    version: str = "1.1",
    host: str | None = "localhost",
    close: bool = True,
    encoding: str = "utf-8",
) -> bytes:
    """Encode a request from its parts, however malformed they are; `headers` are lines, "Name: value"."""
    lines = [f"{method} {target} HTTP/{version}"]
    if host is not None:
        lines.append(f"Host: {host}")
    if close:
        lines.append("Connection: close")
    return "\r\n".join([*lines, *headers, "", ""]).encode(encoding, "replace") + body


def chunked(*parts: bytes) -> bytes:
    """A complete chunked body (RFC 9112 section 7.1)."""
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts if part) + b"0\r\n\r\n"


class Request(NamedTuple):
    """A request that can be sent to several servers, the same bytes to each."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    @property
    def is_safe(self) -> bool:
        return self.method in SAFE_METHODS

    def encode(self, host: str) -> bytes:
        """Encode it with the body's length, or in chunks if it says so, and with Connection: close.

        `host` becomes Host unless the request has its own. Text is sent as Latin-1.
        """
        names = {name.lower() for name, _ in self.headers}
        lines = [f"{name}: {value}" for name, value in self.headers]
        body = self.body
        if "transfer-encoding" in names:
            body = chunked(body)
        elif body or not self.is_safe:
            lines.append(f"Content-Length: {len(body)}")
        return encode_request(
            self.target,
            *lines,
            method=self.method,
            body=body,
            host=None if "host" in names else host,
            encoding="latin-1",
        )


AWAIT_RESPONSE: Final = "await a response"
HALF_CLOSE: Final = "half-close"
Step = bytes | float | Literal["await a response", "half-close"]
"""Bytes to send; a pause in seconds, during which responses are read; a pause that ends with the first byte
of a response, for 100 Continue; or a shutdown of the sending side, which TLS does not have."""


# -- responses ------------------------------------------------------------------------------------


class Response(NamedTuple):
    version: str  # "1.1"
    status: int
    reason: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    is_whole: bool  # complete by its framing; if it ends with the connection: the connection was closed
    is_chunked: bool = False
    interim: tuple[int, ...] = ()  # the 1xx statuses before it

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def header(self, name: str) -> str | None:
        """All values of this header, joined with ", "; None if there is none."""
        values = self.values(name)
        return ", ".join(values) if values else None

    @property
    def says_close(self) -> bool:
        """Whether it announces that the connection will be closed (RFC 9112 section 9.3)."""
        options = (self.header("Connection") or "").lower()
        return "close" in options or (self.version == "1.0" and "keep-alive" not in options)

    @property
    def json(self) -> dict[str, Any]:
        """The JSON object in the body; {} if it is anything else."""
        try:
            data = json.loads(self.body)
        except ValueError:
            return {}
        return data if isinstance(data, dict) else {}


class Exchange(NamedTuple):
    """Everything that was received on one connection."""

    raw: bytes
    responses: tuple[Response, ...]
    rest: bytes  # after the last complete response, and not a response itself
    ended: Ended
    marks: tuple[int, ...]  # bytes received by the end of each step
    expected: int  # responses
    recorded: dict[str, Any]  # what the probe app of `compare` has recorded of it

    @property
    def is_answered(self) -> bool:
        """Whether all expected responses came, or the connection ended after a complete one."""
        whole = [response for response in self.responses if response.is_whole]
        return len(whole) >= self.expected or (
            bool(whole) and whole[-1] is self.responses[-1] and self.is_over
        )

    @property
    def is_over(self) -> bool:
        """Whether the server has closed or reset the connection."""
        return self.ended != "open"


def exchange(
    endpoint: Endpoint,
    steps: Sequence[Step],
    methods: Sequence[str],
    *,
    seconds: float,
    quiet_seconds: float = 0.0,
    most_bytes: int = MOST_BYTES,
) -> Exchange:
    """Do the steps, then read a response to each method, and what follows until nothing arrives for a while.

    It ends after `seconds`, or when more than `most_bytes` have arrived: the last response is then not whole.
    Raises OSError if there is no connection, or no TLS.
    """
    deadline = Deadline(seconds)
    marks = []
    with endpoint.connect(min(seconds, CONNECT_SECONDS)) as sock:
        if endpoint.family != AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        conversation = _Conversation(sock, deadline, most_bytes)
        for step in steps:
            conversation.do(step)
            marks.append(len(conversation.raw))
        while deadline.left > 0 and not conversation.is_over:
            responses, _ = parse(conversation.raw, methods, at_end=False)
            if sum(response.is_whole for response in responses) >= len(methods):
                break
            conversation.read(deadline.left)
        conversation.read_for(Deadline(quiet_seconds))
    raw, ended = conversation.raw, conversation.ended
    responses, rest = parse(raw, methods, at_end=ended == "closed")
    return Exchange(raw, responses, rest, ended, tuple(marks), len(methods), recorded={})


class _Conversation:
    """What is sent and received on one connection."""

    def __init__(self, sock: socket.socket, deadline: Deadline, most_bytes: int) -> None:
        self._sock = sock
        self._deadline = deadline
        self._most_bytes = most_bytes
        self.raw = b""
        self.ended: Ended = "open"

    @property
    def is_over(self) -> bool:
        return self.ended != "open" or len(self.raw) > self._most_bytes

    def do(self, step: Step) -> None:
        if isinstance(step, bytes):
            self._send(step)
        elif step == AWAIT_RESPONSE:
            self.read(min(_AWAIT_SECONDS, self._deadline.left))
        elif step != HALF_CLOSE:
            self.read_for(self._deadline.at_most(step))
        elif not self.is_over:
            self._sock.shutdown(socket.SHUT_WR)

    def _send(self, data: bytes) -> None:
        """Send while reading: a server may respond before it has read everything."""
        view = memoryview(data)
        while view and not self.is_over and self._deadline.left > 0:
            readable, writable, _ = select.select([self._sock], [self._sock], [], 0.1)
            if readable:
                self.read(0)
            if writable:
                self._sock.settimeout(0.1)
                try:
                    view = view[self._sock.send(view) :]
                except TimeoutError:
                    continue
                except OSError:  # the server has closed the connection: read what it sent before
                    self.read(0.1)
                    return

    def read(self, seconds: float) -> None:
        """Receive more bytes, waiting for at most so many seconds."""
        if self.is_over:
            return
        self._sock.settimeout(max(seconds, _AT_ONCE))
        try:
            data = self._sock.recv(65536)
        except TimeoutError:
            return
        except OSError:
            self.ended = "reset"
            return
        self.raw += data
        if not data:
            self.ended = "closed"

    def read_for(self, deadline: Deadline) -> None:
        """Read until the deadline, or until the connection is over."""
        while not self.is_over and (left := deadline.left) > 0:
            self.read(left)


def parse(raw: bytes, methods: Sequence[str], *, at_end: bool) -> tuple[tuple[Response, ...], bytes]:
    """Parse responses, of which the last may be incomplete; returns them and the rest.

    `methods` are those of the requests; `at_end`: the connection was closed, so no more will come.
    """
    responses: list[Response] = []
    interim: list[int] = []
    offset = 0  # an offset and not the rest: to copy what is left for each response takes quadratic time
    while found := _STATUS_LINE.match(raw, offset):
        end = raw.find(b"\r\n\r\n", offset)
        if end < 0:
            break
        status = int(found[2])
        if 100 <= status < 200:
            interim.append(status)
            offset = end + 4
            continue
        headers = tuple(
            (name.decode("latin-1"), value.strip().decode("latin-1"))
            for name, _, value in (line.partition(b":") for line in raw[offset:end].split(b"\r\n")[1:])
        )
        method = methods[len(responses)] if len(responses) < len(methods) else "GET"
        response = Response(
            version=found[1].decode(),
            status=status,
            reason=(found[3] or b"").decode("latin-1"),
            headers=headers,
            body=b"",
            is_whole=False,
            interim=tuple(interim),
        )
        interim = []
        response, offset = _with_body(response, method, raw, end + 4, at_end=at_end)
        responses.append(response)
        if not response.is_whole:
            break
    return tuple(responses), raw[offset:]


def is_response(data: bytes) -> bool:
    """Whether the data begins with a status line."""
    return _STATUS_LINE.match(data) is not None


def _with_body(
    response: Response, method: str, raw: bytes, start: int, *, at_end: bool
) -> tuple[Response, int]:
    """Add the body to a response by RFC 9112 section 6.3; returns it and where the body ends."""
    if method == "HEAD" or response.status in _WITHOUT_BODY:
        return response._replace(is_whole=True), start
    if "chunked" in (response.header("Transfer-Encoding") or "").lower():
        body, end = _dechunk(raw, start)
        whole = end is not None
        return response._replace(body=body, is_whole=whole, is_chunked=True), len(raw) if end is None else end
    lengths = set(response.values("Content-Length"))
    if len(lengths) == 1 and is_length(length := lengths.pop()):
        end = min(start + int(length), len(raw))
        return response._replace(body=raw[start:end], is_whole=end - start == int(length)), end
    return response._replace(body=raw[start:], is_whole=at_end), len(raw)


def _dechunk(raw: bytes, offset: int) -> tuple[bytes, int | None]:
    """The decoded body from `offset` on and where it ends, or None for the latter if it is incomplete."""
    chunks: list[bytes] = []
    while (line_end := raw.find(b"\r\n", offset)) >= 0:
        try:
            size = int(raw[offset:line_end].split(b";")[0], 16)
        except ValueError:
            break
        offset = line_end + 2
        if size == 0:
            while offset < len(raw) and not raw.startswith(b"\r\n", offset):
                line_end = raw.find(b"\r\n", offset)  # of a trailer field
                offset = line_end + 2 if line_end >= 0 else len(raw)
            return b"".join(chunks), offset + 2 if offset < len(raw) else None
        chunks.append(raw[offset : offset + size])
        if size < 0 or len(raw) < offset + size + 2:
            break
        offset += size + 2
    return b"".join(chunks), None
