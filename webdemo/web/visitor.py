"""Who asks: somebody at this machine, or somebody else.

What listens on the machine, and what can be reached from it, is nobody else's business. So a page shows
or does such things only for a client on the loopback interface that also used a loopback name: with the
address alone, a page of a stranger whose name was pointed at 127.0.0.1 (DNS rebinding) would be let in,
and so would whoever comes through a proxy on this machine.

A page can be asked for by any other page in the same browser, which cannot read the answer. So what a
request sets in motion is asked for with POST, and only from the site's own pages or without a browser.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Any

# A proxy that passes strangers on tells so with one of these.
_PASSED_ON = ("HTTP_FORWARDED", "HTTP_VIA", "HTTP_X_REAL_IP", "HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_HOST")
# RFC 3986 section 3.2.2, without percent-encoding, which no browser sends in a Host header.
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?")


def is_at_this_machine(environ: Mapping[str, Any]) -> bool:
    """Whether the client is on this machine and called it by a loopback name or address."""
    name, _ = split_host(environ.get("HTTP_HOST", ""))
    return (
        name is not None
        and (name.lower() == "localhost" or is_loopback(name))
        and is_loopback(environ.get("REMOTE_ADDR") or "")
        and not any(key in environ for key in _PASSED_ON)
    )


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
        return ipaddress.ip_address(text).is_loopback
    except ValueError:
        return False


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
