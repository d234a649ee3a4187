"""Forwarding headers: the client's address, scheme and host, from trusted proxies only.

Runs in the server processes. One family of headers is read, the one that the proxy writes:
X-Forwarded-* or Forwarded (RFC 7239). Reading both would let a client spoof the one that its proxy passes
on untouched. A client's own entries are to the left of those that proxies add, so lists are read from the
right, up to the first hop with an untrusted address. Headers that are not read are removed, so that no
app trusts them by mistake.

Most proxies send X-Forwarded-Proto and -Host with a single value: a trusted proxy must set them, or remove
the client's. X-Forwarded-Port is not read, because few proxies set it and none removes a client's; the
port is part of X-Forwarded-Host.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from typing import TYPE_CHECKING

from webdemo.errors import UsageError
from webdemo.syntax import is_token, match_plain_host, parse_address
from webdemo.web.visitor import FORWARDED_BY, HIDING_PROXY, TRUSTED_PROXY, UNTRUSTED_PROXY, forwarded_by

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

EVERY_PEER = "*"
UNIX = "unix"

_X_FORWARDED = tuple(f"HTTP_X_FORWARDED_{name}" for name in ("FOR", "PROTO", "HOST"))
_FORWARDED = ("HTTP_FORWARDED",)
# Not read here, but by some frameworks and apps.
_OTHERS = (
    *(f"HTTP_X_FORWARDED_{name}" for name in ("PORT", "PREFIX", "SCHEME", "PROTOCOL", "SSL", "SERVER", "BY")),
    "HTTP_X_REAL_IP",
)
_SCHEMES = ("http", "https")

_SPACE = " \t"
_ENDS_OF_WORDS = f'{_SPACE};,"'
_LONGEST_FORWARDED = 8000
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Hop:
    """What one proxy reported about its client; "" for what it did not report."""

    client: str = ""
    scheme: str = ""
    host: str = ""


class Networks:
    """A set of peers: addresses, networks, `unix` for peers on a Unix socket, `*` for all.

    Raises UsageError for any other text; its message starts with `what`.
    """

    def __init__(self, texts: Iterable[str], what: str) -> None:
        words = " ".join(texts).replace(",", " ").split()
        self._all = EVERY_PEER in words
        self._unix = UNIX in words
        try:
            self._networks = tuple(
                ipaddress.ip_network(w, strict=False) for w in words if w not in (EVERY_PEER, UNIX)
            )
        except ValueError as exc:
            raise UsageError(
                f"{what} is an address or a network: {exc}.",
                remedy="For example 127.0.0.1,10.0.0.0/8 (or unix for a Unix socket, * for all).",
            ) from exc
        self.includes = lru_cache(maxsize=1024)(self._includes)

    def _includes(self, address: str) -> bool:
        if self._all:
            return True
        try:
            parsed = parse_address(address)
        except ValueError:
            return self._unix  # only a Unix peer has no address; servers use different names for it
        return any(parsed in network for network in self._networks)


class ForwardedHeaders:
    """WSGI middleware that sets REMOTE_ADDR, REMOTE_PORT, wsgi.url_scheme and HTTP_HOST to the client's.

    It also sets FORWARDED_BY of webdemo.web.visitor. Raises UsageError for an invalid proxy.
    """

    def __init__(self, app: WSGIApplication, proxies: Iterable[str], *, rfc7239: bool = False) -> None:
        self._app = app
        self._trusted = Networks(proxies, "A trusted proxy")
        self._hops: Callable[[WSGIEnvironment], Iterator[Hop]]
        self._hops = read_forwarded if rfc7239 else read_x_forwarded
        self._unread = (*_OTHERS, *(_X_FORWARDED if rfc7239 else _FORWARDED))

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        unread = [environ.pop(key, None) for key in self._unread]
        if self._trusted.includes(environ.get("REMOTE_ADDR") or ""):
            is_named = self._apply(environ)
            # Without any sign of a client behind it, the peer is the client.
            is_hidden = not is_named and (_any_given(unread) or forwarded_by(environ))
            environ[FORWARDED_BY] = HIDING_PROXY if is_hidden else TRUSTED_PROXY
        else:
            unread += [environ.pop(key, None) for key in (*_X_FORWARDED, *_FORWARDED)]
            if _any_given(unread):
                environ[FORWARDED_BY] = UNTRUSTED_PROXY
        return self._app(environ, start_response)

    def _apply(self, environ: WSGIEnvironment) -> bool:
        """Set what the hops report; return whether REMOTE_ADDR is the client's now.

        If a proxy does not name its client (`for=unknown`, RFC 7239 section 6), it stays the proxy's.
        """
        is_named = False
        for hop in self._hops(environ):
            if hop.scheme in _SCHEMES:
                environ["wsgi.url_scheme"] = hop.scheme
            if match_plain_host(hop.host):
                environ["HTTP_HOST"] = hop.host
            client, port = _node(hop.client)
            if client is None:
                return False
            is_named = True
            environ["REMOTE_ADDR"] = client
            environ.pop("REMOTE_HOST", None)
            environ.pop("REMOTE_PORT", None)
            if port:
                environ["REMOTE_PORT"] = port
            if not self._trusted.includes(client):
                break
        return is_named


def _any_given(texts: Iterable[str | None]) -> bool:
    return any(text is not None for text in texts)


def read_x_forwarded(environ: WSGIEnvironment) -> Iterator[Hop]:
    """The hops of X-Forwarded-For, -Proto and -Host, nearest first.

    Lists are aligned at the nearest hop: the values of a shorter one come from the nearest proxies.
    """
    lists = [
        [item.strip() for item in reversed(environ.get(key, "").split(",")) if item.strip()]
        for key in _X_FORWARDED
    ]
    for index in count():
        client, scheme, host = (items[index] if index < len(items) else "" for items in lists)
        if not (client or scheme or host):
            return
        yield Hop(client, scheme.lower(), host)


def read_forwarded(environ: WSGIEnvironment) -> Iterator[Hop]:
    """The hops of Forwarded (RFC 7239 section 4), nearest first; a syntax error ends it with an empty hop.

    It is parsed from its end, so that a quote left open by the client, to the left of what its proxy added,
    has no effect; at most _LONGEST_FORWARDED characters are read.
    """
    text = environ.get("HTTP_FORWARDED", "")[-_LONGEST_FORWARDED:]
    end = len(text)
    while end >= 0:
        element = _last_element(text, end)
        if element is None:
            yield Hop()
            return
        pairs, end = element
        yield Hop(pairs.get("for", ""), pairs.get("proto", "").lower(), pairs.get("host", ""))


def _last_element(text: str, end: int) -> tuple[dict[str, str], int] | None:
    """The pairs of the element that ends at `end`, and the index of the comma before it, or -1.

    Accepts unquoted values that RFC 7239 requires to be quoted: [::1]:80 is common. None: a syntax error.
    """
    pairs: dict[str, str] = {}
    end = _before_spaces(text, end)
    if text[end - 1 : end] == ";":
        end -= 1
    while True:
        end = _before_spaces(text, end)
        if text[end - 1 : end] == '"':
            quote = _opening_quote(text, end - 1)
            value = _QUOTED_PAIR.sub(r"\1", text[quote + 1 : end - 1])
            start = _before_word(text, quote)
            name, equals, rest = text[start : max(quote, start)].partition("=")
        else:
            start, rest = _before_word(text, end), ""
            name, equals, value = text[start:end].partition("=")
        if not equals or rest or not is_token(name):
            return None
        pairs.setdefault(name.lower(), value)  # parsed from the right: of repeated names the last counts
        end = _before_spaces(text, start) - 1
        if end < 0 or text[end] == ",":
            return pairs, end
        if text[end] != ";":
            return None


def _opening_quote(text: str, closing: int) -> int:
    """The index of the opening quote of the string closed at `closing` (RFC 9110 5.6.4); -1 if none."""
    if _is_escaped(text, closing):
        return -1
    place = closing
    while (place := text.rfind('"', 0, place)) >= 0 and _is_escaped(text, place):
        pass
    return place


def _is_escaped(text: str, place: int) -> bool:
    start = place
    while start and text[start - 1] == "\\":
        start -= 1
    return (place - start) % 2 == 1


def _before_spaces(text: str, end: int) -> int:
    while end > 0 and text[end - 1] in _SPACE:
        end -= 1
    return end


def _before_word(text: str, end: int) -> int:
    while end > 0 and text[end - 1] not in _ENDS_OF_WORDS:
        end -= 1
    return end


def _node(text: str) -> tuple[str | None, str]:
    """Address and port of `192.0.2.1`, `192.0.2.1:47011`, `2001:db8::1` or `[2001:db8::1]:4711`.

    The address is None if it is not an IP address; the port is "" if it is missing or invalid.
    """
    port = ""
    if text.startswith("["):
        text, _, port = text[1:].partition("]")
        port = port.removeprefix(":")
    elif text.count(":") == 1:
        text, _, port = text.partition(":")
    try:
        if "%" in text:
            raise ValueError("a zone, which may hold any text")
        address = str(parse_address(text))
    except ValueError:
        return None, ""
    is_port = port.isascii() and port.isdecimal() and len(port) <= 5 and int(port) < 65536
    return address, port if is_port else ""
