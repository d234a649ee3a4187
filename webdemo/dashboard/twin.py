"""Twin mode: the same request, byte for byte except Host, sent to every server at once.

Runs in the dashboard's process. The rule: requests go only to the addresses of the supervised servers, and
end within RESPONSE_SECONDS.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import quote

from webdemo.client.endpoint import Endpoint
from webdemo.client.wire import Request
from webdemo.compare.behaviour.observation import Observation, observe
from webdemo.dashboard.overview import Card
from webdemo.errors import UsageError
from webdemo.syntax import is_token

METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
RESPONSE_SECONDS = 10.0
MOST_BODY_BYTES = 64 * 1024  # of a response; the rest is not read
LONGEST_PATH = 4000
LONGEST_HEADERS = 8000
LONGEST_BODY = 64 * 1024

# Sent unchanged in a path and query, including characters that RFC 3986 section 3.3 does not allow, because
# servers differ there; all others are percent-encoded.
_PATH_CHARACTERS = "/?:@!$&'()*+,;=%-._~[]|\"<>^`{}\\"
_MADE_HERE = ("content-length", "connection")


@dataclass(frozen=True, slots=True)
class ServerResponse:
    card: Card
    observed: Observation


def read_request(method: str, path: str, headers: str, body: str) -> Request:
    """Build a request from form fields; headers are lines of `Name: value`. Raises UsageError."""
    if method not in METHODS:
        raise UsageError(f"The method {method!r} is not allowed.", remedy=f"Use one of {', '.join(METHODS)}.")
    if not path.startswith("/") or len(path) > LONGEST_PATH:
        raise UsageError(
            "A path must begin with /: the request goes only to the servers of this run.",
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
    if not colon or not is_token(name) or not value.isprintable() or not _is_latin(value):
        raise UsageError(f"{line!r} is not a header.", remedy="Write one on each line, such as Accept: */*")
    if name.lower() in _MADE_HERE:
        raise UsageError(f"{name} is set automatically.", remedy="Leave it out.")
    if name.lower() == "transfer-encoding" and value.lower() != "chunked":
        raise UsageError(f"Transfer coding {value} is not supported.", remedy="Transfer-Encoding: chunked")
    return name, value


def _is_latin(text: str) -> bool:
    return all(ord(character) < 256 for character in text)


def send_to_all(request: Request, cards: Iterable[Card]) -> list[ServerResponse]:
    """Send it to every service that runs the app and is up; results are in the order of the cards."""
    up = [card for card in cards if card.runs_app and card.state == "up"]

    def send(card: Card) -> ServerResponse:
        endpoint = Endpoint.of_url(card.ports[0].url)
        observed = observe(
            endpoint,
            request,
            endpoint.authority,
            seconds=RESPONSE_SECONDS,
            most_body_bytes=MOST_BODY_BYTES,
        )
        return ServerResponse(card, observed)

    with ThreadPoolExecutor(max(1, len(up))) as pool:
        return list(pool.map(send, up))
