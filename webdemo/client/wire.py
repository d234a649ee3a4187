"""HTTP as raw bytes: what a probe sends on its own connection, and everything that comes back.

The rule: nothing is corrected. Requests may be malformed; responses are framed by RFC 9112 section 6.3, and
all bytes after them are kept. Every exchange ends by its deadline.
"""

from __future__ import annotations

import json
import re
import select
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

CONNECT_SECONDS = 5.0
QUIET_SECONDS = 0.12  # of silence, after which a complete response is taken for the last

_LENGTH = re.compile("[0-9]{1,18}")  # RFC 9110 section 8.6; more digits than any body has are no length
_STATUS_LINE = re.compile(rb"HTTP/(\d\.\d) (\d{3})(?: ([^\r\n]*))?\r?\n")
_LONGEST_ANSWER = 4 << 20
_WITHOUT_BODY = (204, 304)

Ended = Literal["closed", "reset", "open"]


class AwaitAnswer:
    """A step that waits for bytes from the server, at most a second: for 100 Continue."""

    seconds = 1.0


class HalfClose:
    """A step that shuts down the sending side of the connection."""


AWAIT_ANSWER = AwaitAnswer()
HALF_CLOSE = HalfClose()

Step = bytes | float | AwaitAnswer | HalfClose
"""Bytes to send, a pause in seconds during which responses are read, or one of the steps above."""


@dataclass(frozen=True, slots=True)
class Answer:
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
        """The JSON object of the probe app; {} if the body is anything else."""
        try:
            data = json.loads(self.body)
        except ValueError:
            return {}
        return data if isinstance(data, dict) else {}


@dataclass(frozen=True, slots=True)
class Exchange:
    """Everything that was received on one connection."""

    raw: bytes
    answers: tuple[Answer, ...]
    rest: bytes  # after the last complete response, and not a response itself
    ended: Ended
    marks: tuple[int, ...]  # bytes received by the end of each step
    wanted: int  # responses expected
    afterwards: dict[str, Any]  # what the probe app has recorded of it

    @property
    def is_answered(self) -> bool:
        """Whether all expected responses came, or the connection ended after a complete one."""
        whole = [answer for answer in self.answers if answer.is_whole]
        return len(whole) >= self.wanted or (bool(whole) and whole[-1] is self.answers[-1] and self.is_over)

    @property
    def is_over(self) -> bool:
        return self.ended != "open"


def exchange(
    port: int, steps: Sequence[Step], methods: Sequence[str], *, seconds: float, quiet_seconds: float
) -> Exchange:
    """Do the steps, then read a response for each method, and whatever follows. Raises OSError on connect."""
    deadline = time.monotonic() + seconds
    marks = []
    with socket.create_connection(("127.0.0.1", port), CONNECT_SECONDS) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        conversation = _Conversation(sock, methods)
        for step in steps:
            conversation.do(step, deadline)
            marks.append(len(conversation.raw))
        wanted = len(methods)
        while not conversation.is_over and conversation.whole_answers() < wanted:
            if not conversation.read(deadline - time.monotonic()):
                break
        quiet_until = time.monotonic() + quiet_seconds
        while not conversation.is_over and time.monotonic() < quiet_until:
            conversation.read(quiet_until - time.monotonic())
        answers, rest = parse(conversation.raw, methods, at_end=conversation.ended == "closed")
        return Exchange(conversation.raw, answers, rest, conversation.ended, tuple(marks), wanted, {})


class _Conversation:
    def __init__(self, sock: socket.socket, methods: Sequence[str]) -> None:
        self._sock = sock
        self._methods = methods
        self.raw = b""
        self.ended: Ended = "open"

    @property
    def is_over(self) -> bool:
        return self.ended != "open" or len(self.raw) > _LONGEST_ANSWER

    def do(self, step: Step, deadline: float) -> None:
        if isinstance(step, bytes):
            self._send(step, deadline)
        elif isinstance(step, HalfClose):
            if not self.is_over:
                self._sock.shutdown(socket.SHUT_WR)
        elif isinstance(step, AwaitAnswer):
            self.read(min(step.seconds, deadline - time.monotonic()))
        else:
            until = min(time.monotonic() + step, deadline)
            while not self.is_over and time.monotonic() < until:
                self.read(until - time.monotonic())

    def _send(self, data: bytes, deadline: float) -> None:
        """Send while reading: a server may respond before it has read everything."""
        self._sock.setblocking(False)
        view = memoryview(data)
        while view and not self.is_over and time.monotonic() < deadline:
            readable, writable, _ = select.select([self._sock], [self._sock], [], 0.1)
            if readable:
                self.read(0)
            if writable:
                try:
                    view = view[self._sock.send(view) :]
                except BlockingIOError:
                    continue
                except OSError:  # the server has closed the connection: read what it sent before
                    self.read(0.1)
                    return

    def read(self, seconds: float) -> bool:
        """Wait for more bytes and receive them; returns False on timeout."""
        if self.is_over or not select.select([self._sock], [], [], max(0.0, seconds))[0]:
            return False
        try:
            data = self._sock.recv(65536)
        except OSError:
            self.ended = "reset"
            return True
        self.raw += data
        if not data:
            self.ended = "closed"
        return True

    def whole_answers(self) -> int:
        answers, _ = parse(self.raw, self._methods, at_end=False)
        return sum(answer.is_whole for answer in answers)


def parse(raw: bytes, methods: Sequence[str], *, at_end: bool) -> tuple[tuple[Answer, ...], bytes]:
    """Parse responses, of which the last may be incomplete; returns them and the rest.

    `methods` are those of the requests; `at_end`: the connection was closed, so no more will come.
    """
    answers: list[Answer] = []
    interim: list[int] = []
    place = 0  # an offset and not the rest: to copy what is left for each response takes quadratic time
    while found := _STATUS_LINE.match(raw, place):
        end = raw.find(b"\r\n\r\n", place)
        if end < 0:
            break
        status = int(found[2])
        if 100 <= status < 200:
            interim.append(status)
            place = end + 4
            continue
        headers = tuple(
            (name.decode("latin-1"), value.strip().decode("latin-1"))
            for name, _, value in (line.partition(b":") for line in raw[place:end].split(b"\r\n")[1:])
        )
        method = methods[len(answers)] if len(answers) < len(methods) else "GET"
        answer = Answer(
            version=found[1].decode(),
            status=status,
            reason=(found[3] or b"").decode("latin-1"),
            headers=headers,
            body=b"",
            is_whole=False,
            interim=tuple(interim),
        )
        interim = []
        answer, place = _with_body(answer, method, raw, end + 4, at_end=at_end)
        answers.append(answer)
        if not answer.is_whole:
            break
    return tuple(answers), raw[place:]


def is_answer(data: bytes) -> bool:
    """Whether the data begins with a status line."""
    return _STATUS_LINE.match(data) is not None


def _with_body(answer: Answer, method: str, raw: bytes, start: int, *, at_end: bool) -> tuple[Answer, int]:
    """Add the body to a response by RFC 9112 section 6.3; returns it and where the body ends."""
    if method == "HEAD" or answer.status in _WITHOUT_BODY:
        return replace(answer, is_whole=True), start
    if "chunked" in (answer.header("Transfer-Encoding") or "").lower():
        body, end = _dechunk(raw, start)
        whole = end is not None
        return replace(answer, body=body, is_whole=whole, is_chunked=True), len(raw) if end is None else end
    lengths = set(answer.values("Content-Length"))
    if len(lengths) == 1 and _LENGTH.fullmatch(length := lengths.pop()):
        end = min(start + int(length), len(raw))
        return replace(answer, body=raw[start:end], is_whole=end - start == int(length)), end
    return replace(answer, body=raw[start:], is_whole=at_end), len(raw)


def _dechunk(raw: bytes, place: int) -> tuple[bytes, int | None]:
    """The decoded body from `place` on and where it ends, or None for the latter if it is incomplete."""
    chunks: list[bytes] = []
    while (line_end := raw.find(b"\r\n", place)) >= 0:
        try:
            size = int(raw[place:line_end].split(b";")[0], 16)
        except ValueError:
            break
        place = line_end + 2
        if size == 0:
            while place < len(raw) and not raw.startswith(b"\r\n", place):
                line_end = raw.find(b"\r\n", place)  # of a trailer field
                place = line_end + 2 if line_end >= 0 else len(raw)
            return b"".join(chunks), place + 2 if place < len(raw) else None
        chunks.append(raw[place : place + size])
        if size < 0 or len(raw) < place + size + 2:
            break
        place += size + 2
    return b"".join(chunks), None
