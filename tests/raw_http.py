"""HTTP over a socket that the test controls: keep-alive, slow, half sent, several at once.

Every wait has a deadline. A response that ends before its announced end raises `Cut`.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

SECONDS = 60.0
LONGEST_IDLE_SECONDS = 0.25  # half of what every server allows when it stops


class Cut(Exception):
    """The connection ended before the response did."""


class ClosedIdle(Cut, ConnectionError):
    """The connection ended before a response, after this client had left it idle for LONGEST_IDLE_SECONDS.

    The machine may have been too busy for the client. A server may close idle connections (RFC 9112, 9.5).
    """


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes
    version: int  # 10 or 11

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def is_last(self) -> bool:
        """Whether the server closes the connection after it."""
        return self.version == 10 or "close" in self.headers.get("Connection", "").lower()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Connection:
    """One connection to a URL of the start table: http://..., https://... (unverified) or unix:/path."""

    def __init__(self, url: str, *, seconds: float = SECONDS) -> None:
        parts = urlsplit(url)
        self.host = parts.netloc or "localhost"
        if parts.scheme == "unix":
            self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            place: Any = parts.path
        else:
            host = parts.hostname or ""
            self.socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
            place = (host, parts.port)
        self._idle_since = self._sent_at = time.monotonic()
        try:
            self.socket.settimeout(seconds)
            self.socket.connect(place)
            if parts.scheme != "unix":
                self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if parts.scheme == "https":
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE  # the certificate is made by the server under test
                self.socket = context.wrap_socket(self.socket)
        except BaseException:
            self.socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def send_head(self, method: str, target: str, headers: Sequence[tuple[str, str]] = ()) -> None:
        lines = [f"{method} {target} HTTP/1.1", f"Host: {self.host}", *(f"{n}: {v}" for n, v in headers)]
        with self._until_response():
            try:
                self.send("\r\n".join([*lines, "", ""]).encode("latin-1"))
            finally:
                self._sent_at = time.monotonic()

    def send_chunks(self, chunks: Iterable[bytes]) -> None:
        """Send a complete body with Transfer-Encoding: chunked."""
        for chunk in chunks:
            self.send(b"%x\r\n%s\r\n" % (len(chunk), chunk))
        self.send(b"0\r\n\r\n")

    def answer(self, method: str = "GET") -> Answer:
        """Read one response to its end. Raises Cut, ConnectionError or TimeoutError."""
        response = http.client.HTTPResponse(self.socket, method=method)
        try:
            with self._until_response():
                response.begin()
            body = response.read()
            self._idle_since = time.monotonic()
        except (http.client.IncompleteRead, http.client.RemoteDisconnected) as exc:
            raise Cut(repr(exc)) from exc
        finally:
            response.close()
        return Answer(response.status, response.headers, body, response.version)

    @contextlib.contextmanager
    def _until_response(self) -> Iterator[None]:
        try:
            yield
        except ConnectionError as exc:
            if self._sent_at - self._idle_since > LONGEST_IDLE_SECONDS:
                raise ClosedIdle(repr(exc)) from exc
            raise

    def request(
        self,
        target: str = "/",
        *,
        method: str = "GET",
        headers: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
    ) -> Answer:
        if body:
            headers = [*headers, ("Content-Length", str(len(body)))]
        self.send_head(method, target, headers)
        if body:
            with self._until_response():
                self.send(body)
        return self.answer(method)

    def ended(self, seconds: float = SECONDS) -> bool:
        """Whether the server closes within this time; what it still sends is discarded."""
        self.socket.settimeout(seconds)
        try:
            while self.socket.recv(65536):
                pass
        except TimeoutError:
            return False
        except ConnectionError:
            pass
        return True


def get(
    url: str,
    target: str = "/",
    *,
    method: str = "GET",
    headers: Sequence[tuple[str, str]] = (),
    body: bytes = b"",
) -> Answer:
    """Send one request on a new connection."""
    with Connection(url) as connection:
        return connection.request(
            target, method=method, headers=[*headers, ("Connection", "close")], body=body
        )


class Load:
    """Clients that request / continuously until they are stopped, and count the outcomes.

    Half of them keep their connections alive, the others open a new one for each request. A connection that
    was closed while it was idle is no loss.
    """

    def __init__(self, urls: Sequence[str], *, clients: int = 4) -> None:
        self.outcomes: Counter[str] = Counter()  # "answered", "refused", "lost", "idle"
        self.details: list[str] = []  # of requests that were not answered
        self.answered_by: Counter[str] = Counter()  # by response body
        self._lock = threading.Lock()
        self._stop = threading.Event()
        count = max(clients, 2 * len(urls))
        self._finished = [0] * count  # requests of each client
        self._threads = [
            threading.Thread(target=self._ask, args=(urls[i % len(urls)], i // len(urls) % 2 == 0, i))
            for i in range(count)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(SECONDS + 5)
            assert not thread.is_alive()

    def wait_for(self, answers: int, seconds: float = SECONDS) -> None:
        """Wait until `answers` more responses have arrived."""
        goal = self.outcomes["answered"] + answers
        deadline = time.monotonic() + seconds
        while self.outcomes["answered"] < goal:
            assert time.monotonic() < deadline, f"{self.outcomes} {self.details}"
            time.sleep(0.01)

    def wait_for_each(self, seconds: float = SECONDS) -> None:
        """Wait until what each client had in flight is over, and another request as well."""
        goals = [finished + 2 for finished in self._finished]
        deadline = time.monotonic() + seconds
        while any(finished < goal for finished, goal in zip(self._finished, goals, strict=True)):
            assert time.monotonic() < deadline, f"{self._finished}, not {goals}: {self.details}"
            time.sleep(0.01)

    def _ask(self, url: str, keep_alive: bool, number: int) -> None:
        connection: Connection | None = None
        headers = [] if keep_alive else [("Connection", "close")]
        while not self._stop.is_set():
            reused = connection is not None
            try:
                connection = connection or Connection(url)
            except OSError as exc:
                self._count("refused", f"{url} {exc!r}")
                time.sleep(0.01)
                continue
            try:
                answer = connection.request("/", headers=headers)
                outcome = "answered" if answer.status == 200 else "lost"
                self._count(outcome, f"{url} {answer.status} {answer.body[:100]!r}", answer.text)
                closing = answer.is_last
            except (OSError, Cut) as exc:
                outcome = "idle" if isinstance(exc, ClosedIdle) else "lost"
                self._count(outcome, f"{url} {'kept alive' if reused else 'new'} {exc!r}")
                closing = True
            self._finished[number] += 1
            if closing or not keep_alive:
                connection.close()
                connection = None
            time.sleep(0.002)  # leaves processor time to the servers
        if connection is not None:
            connection.close()

    def _count(self, outcome: str, detail: str, body: str = "") -> None:
        with self._lock:
            self.outcomes[outcome] += 1
            if outcome == "answered":
                self.answered_by[body] += 1
            elif outcome != "idle":
                self.details.append(detail)
