"""Twin mode: the same request, byte for byte except Host, sent to every server at once.

Runs in the dashboard's process. The rule: requests go only to the addresses of the supervised servers, and
end within ANSWER_SECONDS.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import quote

from webdemo.client import wire
from webdemo.client.endpoint import Endpoint
from webdemo.client.wire import Request
from webdemo.dashboard.overview import Card
from webdemo.errors import UsageError
from webdemo.servers import one_line

METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
ANSWER_SECONDS = 10.0
MOST_BODY_BYTES = 64 * 1024  # of a response; the rest is not read
_MOST_BYTES = 2 * MOST_BODY_BYTES  # with the headers
LONGEST_PATH = 4000
LONGEST_HEADERS = 8000
LONGEST_BODY = 64 * 1024

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# Sent unchanged in a path and query, including characters that RFC 3986 section 3.3 does not allow, because
# servers differ there; all others are percent-encoded.
_PATH_CHARACTERS = "/?:@!$&'()*+,;=%-._~[]|\"<>^`{}\\"
_OURS = ("content-length", "connection")


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


def read_request(method: str, path: str, headers: str, body: str) -> Request:
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
    return Request(method, quote(path, safe=_PATH_CHARACTERS), pairs, data)


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


def send_to_all(request: Request, cards: Iterable[Card]) -> list[Answer]:
    """Send it to every service that runs the app and is up; results are in the order of the cards."""
    asked = [(card, card.ports[0].url) for card in cards if card.runs_app and card.state == "up"]
    if not asked:
        return []
    together = threading.Barrier(len(asked))
    with ThreadPoolExecutor(len(asked)) as pool:
        return list(pool.map(lambda one: _ask(request, one[0], one[1], together), asked))


def _ask(request: Request, card: Card, url: str, together: threading.Barrier) -> Answer:
    endpoint = Endpoint.of_url(url)
    data = request.encode(endpoint.authority)
    together.wait(ANSWER_SECONDS)
    began = time.perf_counter()
    try:
        exchange = wire.exchange(
            endpoint, [data], [request.method], seconds=ANSWER_SECONDS, most_bytes=_MOST_BYTES
        )
    except OSError as exc:
        milliseconds = (time.perf_counter() - began) * 1000
        return Answer(card, url, problem=_no_connection(exc), milliseconds=milliseconds)
    milliseconds = (time.perf_counter() - began) * 1000
    response = exchange.responses[0] if exchange.responses else None
    is_cut = response is not None and len(response.body) > MOST_BODY_BYTES
    if response is None or not (response.is_whole or is_cut):
        return Answer(card, url, problem=_no_response(exchange), milliseconds=milliseconds)
    return Answer(
        card,
        url,
        response.status,
        response.reason,
        response.headers,
        response.body[:MOST_BODY_BYTES],
        is_cut=is_cut,
        milliseconds=milliseconds,
    )


def _no_connection(exc: OSError) -> str:
    if isinstance(exc, TimeoutError):
        return _too_late()
    if isinstance(exc, ConnectionRefusedError):
        return "The connection was refused."
    return f"There was no connection: {one_line(str(exc).strip()) or type(exc).__name__}."


def _no_response(exchange: wire.Exchange) -> str:
    if exchange.rest and not wire.is_response(exchange.rest):
        return f"Its answer cannot be read: {one_line(exchange.rest[:80].decode('latin-1').strip())}."
    if not exchange.is_over:
        return _too_late()
    if exchange.raw:
        return "Its answer ended before its announced end."
    return "It closed the connection without an answer."


def _too_late() -> str:
    return f"It did not answer to the end within {ANSWER_SECONDS:.0f} s."
