"""One HTTP request and its response, with h11.

The rule: the response is read to its end or to a limit, and its body is discarded. The connection stays
open, so that the process at its other end can be found.
"""

from __future__ import annotations

import socket
from collections.abc import Callable

import h11

from webdemo.trace.clock import Clock
from webdemo.trace.facts import AnswerFacts, RequestFacts, TransferFacts
from webdemo.trace.url import Url

MOST_BODY_BYTES = 16 * 1024 * 1024
LARGEST_HEAD_BYTES = 128 * 1024
_AT_ONCE = 65536
_USER_AGENT = "webdemo-trace"


class NoAnswer(Exception):
    """The connection ended, or the data was not HTTP; `first` holds up to 200 bytes that came first."""

    def __init__(self, first: bytes) -> None:
        super().__init__()
        self.first = first


def is_other(first: bytes) -> bool:
    """Whether data that begins like this is not HTTP; text is judged when its first line is complete."""
    is_http = first[:5] == b"HTTP/"[: len(first)]
    return not is_http and (b"\n" in first or len(first) == 200 or first[0] < 32)


class Exchange:
    """Call send, wait_for_answer and read_body once each, in this order.

    Each raises TimeoutError after the clock's deadline, and OSError if the connection fails.
    """

    def __init__(self, sock: socket.socket, url: Url, method: str, clock: Clock) -> None:
        self._sock = sock
        self._url = url
        self._method = method
        self._clock = clock
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=LARGEST_HEAD_BYTES)
        self._body_began_ms = 0.0
        self.body_bytes = 0

    def send(self) -> RequestFacts:
        headers = [("Host", self._url.host_header), ("User-Agent", _USER_AGENT), ("Accept", "*/*")]
        target = self._url.facts.request_target
        data = self._http.send(h11.Request(method=self._method, target=target, headers=headers))
        assert data is not None, "a request has a head"
        self._http.send(h11.EndOfMessage())
        self._sock.settimeout(self._clock.remaining())
        self._sock.sendall(data)
        return RequestFacts(self._method, target, tuple(headers), len(data))

    def wait_for_answer(self, at_first_byte: Callable[[], object]) -> AnswerFacts:
        """Read the response's head, calling `at_first_byte` when data arrives. Raises NoAnswer."""
        first = b""
        interim = []
        while True:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as exc:
                raise NoAnswer(first) from exc
            if isinstance(event, h11.InformationalResponse):
                interim.append(event.status_code)
                if event.status_code == 101:  # no protocol switch was requested
                    raise NoAnswer(first)
            elif isinstance(event, h11.Response):
                break
            elif event is h11.NEED_DATA:
                data = self._receive()
                if not first:
                    at_first_byte()
                first = (first + data)[:200]
                if is_other(first):  # h11 would wait for the end of the head
                    raise NoAnswer(first)
                self._http.receive_data(data)
            else:
                raise NoAnswer(first)
        return AnswerFacts(
            status=event.status_code,
            reason=event.reason.decode("latin-1"),
            http_version=event.http_version.decode("latin-1"),
            headers=tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in event.headers),
            interim=tuple(interim),
        )

    def read_body(self) -> TransferFacts:
        """Read the body to its end, or up to MOST_BODY_BYTES. `body_bytes` counts meanwhile.

        Raises NoAnswer if the connection ends before the body does.
        """
        self._body_began_ms = self._clock.milliseconds()
        is_whole = True
        while True:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as exc:
                raise NoAnswer(b"") from exc
            if isinstance(event, h11.Data):
                self.body_bytes += len(event.data)
                if self.body_bytes > MOST_BODY_BYTES:
                    is_whole = False
                    break
            elif event is h11.NEED_DATA:
                self._http.receive_data(self._receive())
            else:
                break
        return self.transferred(is_whole=is_whole)

    def transferred(self, *, is_whole: bool) -> TransferFacts:
        """The facts about the body received so far."""
        milliseconds = self._clock.milliseconds() - self._body_began_ms
        rate = self.body_bytes / milliseconds * 1000 if milliseconds > 0 and self.body_bytes else None
        return TransferFacts(self.body_bytes, rate, is_whole)

    def _receive(self) -> bytes:
        self._sock.settimeout(self._clock.remaining())
        try:
            return self._sock.recv(_AT_ONCE)
        except ConnectionResetError:
            return b""
