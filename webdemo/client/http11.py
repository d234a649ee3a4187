"""HTTP/1.1 with h11: proper requests, and responses that are read step by step.

The rule: what is not a valid response raises NoResponse; nothing is read beyond the deadline.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import h11

from webdemo.client.connection import Deadline, NoResponse, receive, send
from webdemo.client.endpoint import Endpoint

LARGEST_HEAD_BYTES = 128 * 1024
_LONGEST_FIRST = 200


@dataclass(frozen=True, slots=True)
class ResponseHead:
    status: int
    reason: str
    http_version: str
    headers: tuple[tuple[str, str], ...]
    """In the order received; names in lower case, values unchanged."""
    interim: tuple[int, ...]
    """The status codes of the 1xx responses before it."""

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)


class HttpConnection:
    """Requests and responses on a connected socket, whose `deadline` may be replaced for each request.

    For each request call `send`, `read_head` and `read_body`, in this order. Each raises TimeoutError after
    the deadline, and OSError if the connection fails. The caller closes the socket.
    """

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self.deadline = deadline
        self._sock = sock
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=LARGEST_HEAD_BYTES)

    def send(self, method: str, target: str, headers: Iterable[tuple[str, str]]) -> int:
        """Send a request without a body; returns its size in bytes."""
        data = self._http.send(h11.Request(method=method, target=target, headers=list(headers)))
        assert data is not None, "a request has a head"
        self._http.send(h11.EndOfMessage())
        send(self._sock, data, self.deadline)
        return len(data)

    def read_head(self, at_first_byte: Callable[[], object] = lambda: None) -> ResponseHead:
        """Read the head of the response, calling `at_first_byte` when data arrives. Raises NoResponse."""
        first = b""
        interim = []
        while True:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as exc:
                raise NoResponse(first) from exc
            if isinstance(event, h11.InformationalResponse) and event.status_code != 101:
                interim.append(event.status_code)
            elif isinstance(event, h11.Response):
                break
            elif event is h11.NEED_DATA:
                data = receive(self._sock, self.deadline)
                if not first:
                    at_first_byte()
                first = (first + data)[:_LONGEST_FIRST]
                if _is_other_protocol(first):  # h11 would wait for the end of the head
                    raise NoResponse(first)
                self._http.receive_data(data)
            else:  # the end of the connection, or a switch of protocols that was not requested
                raise NoResponse(first)
        return ResponseHead(
            status=event.status_code,
            reason=event.reason.decode("latin-1"),
            http_version=event.http_version.decode("latin-1"),
            headers=tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in event.headers),
            interim=tuple(interim),
        )

    def read_body(self) -> Iterator[bytes]:
        """The body, piece by piece. Raises NoResponse if the connection ends before the body does."""
        while True:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as exc:
                raise NoResponse(b"") from exc
            if isinstance(event, h11.Data):
                yield bytes(event.data)
            elif event is h11.NEED_DATA:
                self._http.receive_data(receive(self._sock, self.deadline))
            else:
                return

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
            status = self._http.read_head().status
            for _ in self._http.read_body():
                pass
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
