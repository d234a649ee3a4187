"""Who asks: somebody at this machine, or a stranger. This is the only place that decides it.

What listens on the machine, and what can be reached from it, is nobody else's business. So a page shows
or does such things only for a client on the loopback interface that also used a loopback name: with the
address alone, a page of a stranger whose name was pointed at 127.0.0.1 (DNS rebinding) would be let in,
and so would whoever comes through a proxy on this machine. When in doubt, it is a stranger.

A proxy on this machine that speaks HTTP/1.1, writes a loopback Host and adds no header cannot be told from a
visitor at this machine. Whoever runs one names it as a trusted proxy: what it passes on is a stranger's.

A page can be asked for by any other page in the same browser, which cannot read the answer. So what a
request sets in motion is asked for with POST, and only from the site's own pages or without a browser.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Any

# Under this environ key stands whether a proxy passed the request on, where its headers were read or removed:
VOUCHED_FOR = "by a trusted proxy, so that REMOTE_ADDR is what it told"
BY_ANYBODY = "by somebody whom nobody vouches for"
PASSED_ON = "webdemo.passed_on"

# Headers that proxies, load balancers and tunnels add, and that browsers do not send. HTTP_PROXY alone is
# more often an environment variable, which servers such as wsgiref put into the environ.
_ADDED_BY_PROXIES = re.compile(
    r"HTTP_(?:.*(?:FORWARD|ADDR|IP(?:V[46])?(?:_|$)|_PROX(?:Y|IED)|CLOUDFRONT|REQUEST_START)"
    r"|PROXY_"
    r"|(?:.*_)?(?:VIA|CDN|CF|HOPS|ORIGINAL|ORIGINATING|REAL|REMOTE|SURROGATE"
    r"|AMZN?|ARR|AZURE|ENVOY|FASTLY|FLY|NGINX|TAILSCALE|VARNISH)(?:_|$)"
    r"|X_(?:HOST|PORT|SCHEME|SSL|HTTPS|URL)(?:_|$)|FRONT_END_HTTPS)"
)
# What browsers and today's programs speak; nginx before 1.29.7 speaks HTTP/1.0 to what is behind it.
_PROTOCOLS = ("HTTP/1.1", "HTTP/2", "HTTP/2.0", "HTTP/3")
# RFC 3986 section 3.2.2, without percent-encoding, which no browser sends in a Host header.
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?")


def is_at_this_machine(environ: Mapping[str, Any]) -> bool:
    """Whether the client is on this machine, called it by a loopback name or address, and came straight."""
    return (
        is_loopback(environ.get("REMOTE_ADDR") or "")
        and _is_loopback_host(environ.get("HTTP_HOST", ""))
        and environ.get("SERVER_PROTOCOL") in _PROTOCOLS
        # A target with a host of its own is what is sent to a proxy (RFC 9112 section 3.2.2).
        and all(environ.get(key, "/").startswith("/") for key in ("RAW_URI", "REQUEST_URI"))
        and not passed_on(environ)
    )


def passed_on(environ: Mapping[str, Any]) -> str | None:
    """VOUCHED_FOR or BY_ANYBODY, if there is any sign of a proxy; a missing sign is no proof."""
    told: str | None = environ.get(PASSED_ON)
    return told or (BY_ANYBODY if any(map(_ADDED_BY_PROXIES.match, environ)) else None)


def is_from_this_site(environ: Mapping[str, Any]) -> bool:
    """Whether a page of this very origin asks, or a client that is no browser.

    Browsers send Origin with every POST (Fetch, "append a request Origin header"). Ports count: a page
    of another port on this machine is another origin.
    """
    origin: str | None = environ.get("HTTP_ORIGIN")
    host: str = environ.get("HTTP_HOST", "")
    if origin is not None:
        return host != "" and origin.partition("://")[2] == host
    site: str = environ.get("HTTP_SEC_FETCH_SITE", "same-origin")
    return site == "same-origin"


def is_loopback(text: str) -> bool:
    """Whether the text is an address of the loopback interface (RFC 1122 3.2.1.3, RFC 4291 2.5.3)."""
    try:
        return plain_address(text).is_loopback
    except ValueError:
        return False


def plain_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The address; of an IPv4-mapped IPv6 one (RFC 4291 section 2.5.5.2) the IPv4 one. Raises ValueError."""
    address = ipaddress.ip_address(text)
    return getattr(address, "ipv4_mapped", None) or address


def _is_loopback_host(text: str) -> bool:
    name, _ = split_host(text)
    if name is None:
        return False
    # Not ::ffff:127.0.0.1: nobody types it.
    return name.lower() == "localhost" or name == "::1" or (name.startswith("127.") and is_loopback(name))


def split_host(text: str) -> tuple[str | None, int | None]:
    """Host and port of a Host header; (None, None) for anything that is not one (RFC 9110 section 7.2)."""
    match = _HOST.fullmatch(text)
    if match is None:
        return None, None
    host, port = match.groups()
    if host.startswith("[") and not is_address(host[1:-1]):
        return None, None
    if port is not None and int(port) > 65535:
        return None, None
    return host.strip("[]"), int(port) if port else None


def is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
