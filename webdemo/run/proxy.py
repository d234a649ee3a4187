"""Behind a proxy: the client's address, scheme and host, told by those who are trusted only.

One family of headers is read, the one that the proxy writes: X-Forwarded-* or Forwarded (RFC 7239).
Reading both would let a client write the one that its proxy passes on untouched. Headers that
nobody vouches for are removed, so that the app cannot believe them by mistake.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from webdemo.errors import UsageError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

ANYBODY = "*"
UNIX = "unix"

_X_FORWARDED = tuple(f"HTTP_X_FORWARDED_{name}" for name in ("FOR", "PROTO", "HOST", "PORT"))
_FORWARDED = "HTTP_FORWARDED"
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?\Z")
_PAIR = re.compile(r'\s*([A-Za-z]+)=("(?:[^"\\]|\\.)*"|[^;,"\s]*)\s*(;|,|\Z)')


@dataclass(frozen=True, slots=True)
class Hop:
    """What one proxy said of whoever spoke to it."""

    client: str = ""
    scheme: str = ""
    host: str = ""


class Trusted:
    """The proxies that are believed: addresses, networks, `unix` for a Unix socket's peer, `*` for all."""

    def __init__(self, proxies: Iterable[str]) -> None:
        words = tuple(proxies)
        self._all = ANYBODY in words
        self._unix = UNIX in words
        try:
            self._networks = tuple(
                ipaddress.ip_network(w, strict=False) for w in words if w not in (ANYBODY, UNIX)
            )
        except ValueError as exc:
            raise UsageError(
                f"A trusted proxy is an address or a network: {exc}.",
                remedy="For example 127.0.0.1,10.0.0.0/8 (or unix for a Unix socket, * for everybody).",
            ) from exc
        self.includes = lru_cache(maxsize=1024)(self._includes)

    def _includes(self, address: str) -> bool:
        if self._all:
            return True
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return self._unix and address in ("", "localhost", UNIX)
        mapped = getattr(parsed, "ipv4_mapped", None)
        return any((mapped or parsed) in network for network in self._networks)


class ForwardedHeaders:
    """WSGI middleware; sets REMOTE_ADDR, wsgi.url_scheme and HTTP_HOST to what the client used.

    The hops are read from the last one, which the trusted peer wrote, back to the first one that
    comes from an address nobody vouches for.
    """

    def __init__(self, app: WSGIApplication, proxies: Iterable[str], *, rfc7239: bool = False) -> None:
        self._app = app
        self._trusted = Trusted(proxies)
        self._read = read_forwarded if rfc7239 else read_x_forwarded
        self._unread = _X_FORWARDED if rfc7239 else (_FORWARDED,)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        for key in self._unread:
            environ.pop(key, None)
        if self._trusted.includes(environ.get("REMOTE_ADDR") or ""):
            self._apply(environ)
        else:
            for key in (*_X_FORWARDED, _FORWARDED):
                environ.pop(key, None)
        return self._app(environ, start_response)

    def _apply(self, environ: WSGIEnvironment) -> None:
        for hop in reversed(self._read(environ)):
            client = _address(hop.client)
            if client:
                environ["REMOTE_ADDR"] = client
                environ.pop("REMOTE_PORT", None)
            if hop.scheme in ("http", "https"):
                environ["wsgi.url_scheme"] = hop.scheme
            if _HOST.match(hop.host):
                environ["HTTP_HOST"] = hop.host
            if not client or not self._trusted.includes(client):
                return


def read_x_forwarded(environ: WSGIEnvironment) -> list[Hop]:
    """The hops of X-Forwarded-For, -Proto, -Host and -Port: lists, aligned at their last items."""
    clients, schemes, hosts, ports = (
        [item.strip() for item in environ.get(key, "").split(",") if item.strip()] for key in _X_FORWARDED
    )
    hops = []
    for back in range(1, max(map(len, (clients, schemes, hosts))) + 1):
        # A list that is shorter than the others was written once, by the last proxy.
        client = clients[-back] if back <= len(clients) else ""
        scheme = (schemes[-back] if back <= len(schemes) else "").lower()
        host = hosts[-back] if back <= len(hosts) else ""
        port = ports[-back] if back <= len(ports) else ""
        if host and port.isdecimal() and not re.search(r":\d+\Z", host):
            usual = {"http": "80", "https": "443"}.get(scheme)
            host = host if port == usual else f"{host}:{port}"
        hops.append(Hop(client, scheme, host))
    return hops[::-1]


def read_forwarded(environ: WSGIEnvironment) -> list[Hop]:
    """The hops of Forwarded (RFC 7239 section 4); [] when its syntax is broken."""
    text = environ.get(_FORWARDED, "")
    hops: list[Hop] = []
    pairs: dict[str, str] = {}
    at = 0
    while at < len(text):
        match = _PAIR.match(text, at)
        if match is None:
            return []
        value = match[2]
        if value.startswith('"'):
            value = re.sub(r"\\(.)", r"\1", value[1:-1])
        pairs[match[1].lower()] = value
        at = match.end()
        if match[3] != ";":
            hops.append(Hop(pairs.get("for", ""), pairs.get("proto", "").lower(), pairs.get("host", "")))
            pairs = {}
    return hops


def _address(text: str) -> str | None:
    """The address in `192.0.2.1`, `192.0.2.1:47011`, `2001:db8::1` or `[2001:db8::1]:4711`."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None
