"""Twin mode: the same request, byte for byte except Host, sent to every server at once.

Runs in the dashboard's process. The rule: requests go only to the addresses of the supervised servers, and
end within ANSWER_SECONDS.
"""

from __future__ import annotations

import http.client
import re
import socket
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import quote

from webdemo.client.endpoint import Place, place_of
from webdemo.dashboard.overview import Card
from webdemo.errors import UsageError
from webdemo.servers import one_line

METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
SAFE_METHODS = METHODS[:3]  # RFC 9110 section 9.2.1
ANSWER_SECONDS = 10.0
MOST_BODY_BYTES = 64 * 1024  # of a response; the rest is not read
LONGEST_PATH = 4000
LONGEST_HEADERS = 8000
LONGEST_BODY = 64 * 1024

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# Sent unchanged in a path and query, including characters that RFC 3986 section 3.3 does not allow, because
# servers differ there; all others are percent-encoded.
_PATH_CHARACTERS = "/?:@!$&'()*+,;=%-._~[]|\"<>^`{}\\"
_OURS = ("content-length", "connection")


@dataclass(frozen=True, slots=True)
class TwinRequest:
    method: str
    path: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    @property
    def is_safe(self) -> bool:
        return self.method in SAFE_METHODS

    def encode(self, authority: str) -> bytes:
        """The bytes of the request; `authority` becomes Host unless the request has its own."""
        names = [name.lower() for name, _ in self.headers]
        lines = [f"{self.method} {self.path} HTTP/1.1"]
        if "host" not in names:
            lines.append(f"Host: {authority}")
        lines += [f"{name}: {value}" for name, value in self.headers]
        body = self.body
        if "transfer-encoding" in names:
            body = (b"%x\r\n%s\r\n" % (len(body), body) if body else b"") + b"0\r\n\r\n"
        elif body or not self.is_safe:
            lines.append(f"Content-Length: {len(body)}")
        lines.append("Connection: close")
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


@dataclass(frozen=True, slots=True)
class Answer:
    """The response of one server, or the `problem` why there is none."""

    card: Card
    url: str
    status: int | None = None
    reason: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    is_cut: bool = False  # the body was longer than MOST_BODY_BYTES
    milliseconds: float = 0.0
    problem: str | None = None


def read_request(method: str, path: str, headers: str, body: str) -> TwinRequest:
    """Build a request from form fields; headers are lines of `Name: value`. Raises UsageError."""
    if method not in METHODS:
        raise UsageError(f"The method {method!r} is not sent.", remedy=f"Choose one of {', '.join(METHODS)}.")
    if not path.startswith("/") or len(path) > LONGEST_PATH:
        raise UsageError(
            "A path begins with /, and names no server: the request goes to those of this run.",
            remedy=f"For example /inspect?colour=blue; at most {LONGEST_PATH} characters.",
        )
    data = body.encode()
    if len(data) > LONGEST_BODY or len(headers) > LONGEST_HEADERS:
        raise UsageError(
            "The request is too large.",
            remedy=f"Send at most {LONGEST_HEADERS} characters of headers and {LONGEST_BODY} bytes of body.",
        )
    pairs = tuple(_read_header(line) for line in headers.splitlines() if line.strip())
    return TwinRequest(method, quote(path, safe=_PATH_CHARACTERS), pairs, data)


def _read_header(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    name, value = name.strip(), value.strip()
    if not colon or not _TOKEN.fullmatch(name) or not value.isprintable() or not _is_latin(value):
        raise UsageError(f"{line!r} is no header.", remedy="Write one on each line, for example Accept: */*")
    if name.lower() in _OURS:
        raise UsageError(f"{name} is sent as the body needs it.", remedy="Leave it out.")
    if name.lower() == "transfer-encoding" and value.lower() != "chunked":
        raise UsageError(f"The transfer coding {value} is not sent.", remedy="Transfer-Encoding: chunked")
    return name, value


def _is_latin(text: str) -> bool:
    return all(ord(character) < 256 for character in text)


def send_to_all(request: TwinRequest, cards: Iterable[Card]) -> list[Answer]:
    """Send it to every service that runs the app and is up; results are in the order of the cards."""
    asked = [(card, card.ports[0].url) for card in cards if card.runs_app and card.state == "up"]
    if not asked:
        return []
    exchanges = [_Exchange(card, url) for card, url in asked]
    together = threading.Barrier(len(exchanges))

    def cut_off() -> None:
        for exchange in exchanges:
            exchange.cut_off()

    timer = threading.Timer(ANSWER_SECONDS, cut_off)
    timer.start()
    try:
        with ThreadPoolExecutor(len(exchanges)) as pool:
            return list(pool.map(lambda exchange: exchange.run(request, together), exchanges))
    finally:
        timer.cancel()


class _Exchange:
    """One request to one server; another thread may cut it off."""

    def __init__(self, card: Card, url: str) -> None:
        self._card = card
        self._url = url
        self._place: Place = place_of(url)
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._is_cut_off = False

    def run(self, request: TwinRequest, together: threading.Barrier) -> Answer:
        together.wait(ANSWER_SECONDS)
        began = time.perf_counter()
        try:
            with self._place.connect(ANSWER_SECONDS, self._remember) as sock:
                return self._ask(sock, request, began)
        except (OSError, http.client.HTTPException, ValueError) as exc:
            return self._failed(exc, began)
        finally:
            with self._lock:
                self._socket = None

    def _remember(self, sock: socket.socket) -> None:
        with self._lock:
            self._socket = sock

    def cut_off(self) -> None:
        with self._lock:
            self._is_cut_off = True
            if self._socket is not None:
                with suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)

    def _ask(self, sock: socket.socket, request: TwinRequest, began: float) -> Answer:
        sock.sendall(request.encode(self._place.authority))
        with http.client.HTTPResponse(sock, method=request.method) as response:
            response.begin()
            body = response.read(MOST_BODY_BYTES + 1)
            is_cut = len(body) > MOST_BODY_BYTES
            if self._is_cut_off:
                raise TimeoutError
            if response.length and not is_cut:
                raise http.client.IncompleteRead(body, response.length)
            return Answer(
                self._card,
                self._url,
                response.status,
                response.reason,
                tuple(response.getheaders()),
                body[:MOST_BODY_BYTES],
                is_cut=is_cut,
                milliseconds=(time.perf_counter() - began) * 1000,
            )

    def _failed(self, exc: Exception, began: float) -> Answer:
        if self._is_cut_off or isinstance(exc, TimeoutError):
            problem = f"It did not answer to the end within {ANSWER_SECONDS:.0f} s."
        elif isinstance(exc, ConnectionRefusedError):
            problem = "The connection was refused."
        elif isinstance(exc, http.client.RemoteDisconnected | ConnectionError):
            problem = "It closed the connection without an answer."
        elif isinstance(exc, http.client.IncompleteRead):
            problem = "Its answer ended before its announced end."
        else:
            problem = f"Its answer cannot be read: {one_line(str(exc).strip()) or type(exc).__name__}."
        milliseconds = (time.perf_counter() - began) * 1000
        return Answer(self._card, self._url, problem=problem, milliseconds=milliseconds)
