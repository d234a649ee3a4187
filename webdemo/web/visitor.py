"""Whether a request comes from this machine, and which address is its client's. Only this module decides it.

What listens on the machine, and what can be reached from it, is private. Pages that show or change it
require a client on the loopback interface that also used a loopback name in Host: the address alone
would admit foreign pages by DNS rebinding, and all clients of a proxy on this machine. In doubt, a
client counts as remote.

A proxy on this machine that speaks HTTP/1.1, writes a loopback Host and adds no header cannot be told
from a local client. Its operator must declare it a trusted proxy: what it forwards counts as remote.

Any page in the same browser can send requests here, though it cannot read the responses (CSRF). So
actions require POST, from the site's own pages or from a client that is not a browser.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from webdemo.syntax import is_address, is_loopback, match_plain_host

# The environ key FORWARDED_BY: a proxy forwarded the request, and its headers have been read or removed.
TRUSTED_PROXY = "a trusted proxy, which set REMOTE_ADDR"
HIDING_PROXY = "a trusted proxy, which does not name the client"
UNTRUSTED_PROXY = "an untrusted proxy"
FORWARDED_BY = "webdemo.forwarded_by"

# Headers that proxies, load balancers and tunnels add and browsers do not send. Not HTTP_PROXY alone: it is
# usually an environment variable, which servers such as wsgiref copy into the environ.
_ADDED_BY_PROXIES = re.compile(
    r"HTTP_(?:.*(?:FORWARD|ADDR|IP(?:V[46])?(?:_|$)|_PROX(?:Y|IED)|CLOUDFRONT|REQUEST_START)"
    r"|PROXY_"
    r"|(?:.*_)?(?:VIA|CDN|CF|HOPS|ORIGINAL|ORIGINATING|REAL|REMOTE|SURROGATE"
    r"|AMZN?|ARR|AZURE|ENVOY|FASTLY|FLY|NGINX|TAILSCALE|VARNISH)(?:_|$)"
    r"|X_(?:HOST|PORT|SCHEME|SSL|HTTPS|URL)(?:_|$)|FRONT_END_HTTPS)"
)
# What browsers and current clients speak; nginx before 1.29.7 speaks HTTP/1.0 to its upstreams.
_PROTOCOLS = ("HTTP/1.1", "HTTP/2", "HTTP/2.0", "HTTP/3")


def is_at_this_machine(environ: Mapping[str, Any]) -> bool:
    """Whether the client is on this machine, used a loopback name or address, and came through no proxy."""
    return (
        is_loopback(environ.get("REMOTE_ADDR") or "")
        and _is_loopback_host(environ.get("HTTP_HOST", ""))
        and environ.get("SERVER_PROTOCOL") in _PROTOCOLS
        # The absolute form of a target is for requests to a proxy (RFC 9112 section 3.2.2).
        and all(environ.get(key, "/").startswith("/") for key in ("RAW_URI", "REQUEST_URI"))
        and not forwarded_by(environ)
    )


def forwarded_by(environ: Mapping[str, Any]) -> str | None:
    """The proxy's kind (see FORWARDED_BY) if anything suggests one; None is no proof of the contrary."""
    known: str | None = environ.get(FORWARDED_BY)
    return known or (UNTRUSTED_PROXY if any(map(_ADDED_BY_PROXIES.match, environ)) else None)


def client_address(environ: Mapping[str, Any]) -> str | None:
    """REMOTE_ADDR ("" on a Unix socket); None if it may be a proxy's: the client is in no network."""
    is_clients = forwarded_by(environ) in (None, TRUSTED_PROXY)
    return environ.get("REMOTE_ADDR") or "" if is_clients else None


def is_from_this_site(environ: Mapping[str, Any], *, or_user: bool = False) -> bool:
    """Whether the request comes from a page of this origin, or from a client that is not a browser.

    `or_user`: or from the user, without a page (Sec-Fetch-Site: none), such as a form that is sent again.
    Links in other programs do so too, but only with GET.

    Sec-Fetch-Site decides where it is sent: to HTTPS and loopback addresses. To others browsers send Origin
    with every POST (Fetch, "append a request Origin header"), which must name the request's host. The port is
    part of an origin: a page on another port of this machine is another origin.
    """
    site, origin = environ.get("HTTP_SEC_FETCH_SITE"), environ.get("HTTP_ORIGIN")
    if site is not None:
        return site == "same-origin" or (or_user and site == "none")
    host = environ.get("HTTP_HOST")
    return origin is None or bool(host and origin.partition("://")[2] == host)


def _is_loopback_host(text: str) -> bool:
    name, _ = split_host(text)
    if name is None:
        return False
    # Not ::ffff:127.0.0.1, which no user types.
    return name.lower() == "localhost" or name == "::1" or (name.startswith("127.") and is_loopback(name))


def split_host(text: str) -> tuple[str | None, int | None]:
    """Host and port of a Host header (RFC 9110 section 7.2); (None, None) if it is invalid."""
    match = match_plain_host(text)
    if match is None:
        return None, None
    host, port = match.groups()
    if host.startswith("[") and not is_address(host[1:-1]):
        return None, None
    if port is not None and int(port) > 65535:
        return None, None
    return host.strip("[]"), int(port) if port else None
