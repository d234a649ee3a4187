"""HTTP/1.1 with h11: proper requests, and responses that are read step by step.

The rule: what is not a valid response raises NoResponse; nothing is read beyond the deadline.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import h11

from webdemo.client.connection import Deadline, NoResponse, receive, send
from webdemo.client.endpoint import Endpoint

LARGEST_HEAD_BYTES = 128 * 1024
_LONGEST_FIRST = 200


class ResponseHead(NamedTuple):
    status: int
    reason: str
    http_version: str
    headers: tuple[tuple[str, str], ...]  # in the order received; names in lower case, values unchanged
    interim: tuple[int, ...]  # the status codes of the 1xx responses before it

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)


class HttpConnection:
    """Requests and responses on a connected socket, whose `deadline` may be replaced for each request.

    For each request call `send`, then `read_head` and `read_body`, or `skip_response`. Each raises
    TimeoutError after the deadline, and OSError if the connection fails. The caller closes the socket.
    """

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self.deadline = deadline
        self._sock = sock
        self._first = b""
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=LARGEST_HEAD_BYTES)

    def send(self, method: str, target: str, headers: Iterable[tuple[str, str]]) -> int:
        """Send a request without a body; returns its size in bytes."""
        data = self._http.send(h11.Request(method=method, target=target, headers=list(headers)))
        assert data is not None, "a request has a head"
        self._first = b""
        self._http.send(h11.EndOfMessage())
        send(self._sock, data, self.deadline)
        return len(data)

    def read_head(self, at_first_byte: Callable[[], object] = lambda: None) -> ResponseHead:
        """Read the head of the response, calling `at_first_byte` when data arrives. Raises NoResponse."""
        interim = []
        while not isinstance(event := self._next_event(at_first_byte), h11.Response):
            if not isinstance(event, h11.InformationalResponse) or event.status_code == 101:
                raise NoResponse(self._first)  # the end, or a switch of protocols that was not requested
            interim.append(event.status_code)
        return ResponseHead(
            status=event.status_code,
            reason=event.reason.decode("latin-1"),
            http_version=event.http_version.decode("latin-1"),
            headers=tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in event.headers),
            interim=tuple(interim),
        )

    def read_body(self) -> Iterator[bytes]:
        """The body, piece by piece. Raises NoResponse if the connection ends before the body does."""
        while isinstance(event := self._next_event(), h11.Data):
            yield bytes(event.data)

    def skip_response(self) -> int:
        """Read a whole response, and return its status: faster than its parts. Raises NoResponse."""
        status = 0
        while not isinstance(event := self._next_event(), h11.EndOfMessage):
            if isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.ConnectionClosed):
                raise NoResponse(self._first)
        return status

    def _next_event(self, at_first_byte: Callable[[], object] = lambda: None) -> object:
        while True:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as exc:
                raise NoResponse(self._first) from exc
            if event is not h11.NEED_DATA:
                return event
            data = receive(self._sock, self.deadline)
            if not self._first:
                at_first_byte()
            if len(self._first) < _LONGEST_FIRST:
                self._first = (self._first + data)[:_LONGEST_FIRST]
                if _is_other_protocol(self._first):  # h11 would wait for the end of the head
                    raise NoResponse(self._first)
            self._http.receive_data(data)

    def is_ready_for_next(self) -> bool:
        """Whether the connection takes another request, now that the response has been read."""
        if self._http.states != {h11.CLIENT: h11.DONE, h11.SERVER: h11.DONE}:
            return False
        self._http.start_next_cycle()
        return True


@dataclass(slots=True)
class KeepAliveClient:
    """GETs one path on a connection that is opened when needed, and again after the server has closed it."""

    endpoint: Endpoint
    path: str
    timeout_seconds: float
    _sock: socket.socket | None = None
    _http: HttpConnection = field(init=False)

    def get(self) -> int:
        """Read the whole response and return its status. Raises OSError, which closes the connection."""
        deadline = Deadline(self.timeout_seconds)
        try:
            if self._sock is None:
                self._sock = self.endpoint.connect(self.timeout_seconds)
                self._http = HttpConnection(self._sock, deadline)
            self._http.deadline = deadline
            self._http.send("GET", self.path, [("Host", self.endpoint.authority)])
            status = self._http.skip_response()
        except BaseException:
            self.close()
            raise
        if not self._http.is_ready_for_next():
            self.close()
        return status

    def close(self) -> None:
        if self._sock is not None:
            self._sock.close()
            self._sock = None


def _is_other_protocol(first: bytes) -> bool:
    """Whether data that begins like this is not HTTP; text is judged when its first line is complete."""
    is_http = first[:5] == b"HTTP/"[: len(first)]
    return not is_http and (b"\n" in first or len(first) == _LONGEST_FIRST or first[0] < 32)
