"""Parsers for the parts of a bind text.

The rule: an ambiguous or invalid part is refused with the correct form. This module checks only the
syntax; Bind checks the values. All `read_*` functions raise BindTextError.
"""

from __future__ import annotations

import ipaddress
import os
import re
from typing import NoReturn
from urllib.parse import unquote, unquote_to_bytes

from webdemo.errors import BindTextError
from webdemo.text import terminal_line

HIGHEST_PORT = 65535
# Schemes without a server's name, which mean the default server.
SCHEMES = ("http", "https", "unix", "fd")
_SUFFIXES = ("https", "unix", "fd")
_DIGITS = re.compile(r"[0-9]+\Z")


def read_scheme(scheme: str, text: str) -> tuple[str | None, str]:
    """The server's name (None: the default) and the transport: http, https, unix or fd."""
    name, plus, suffix = scheme.partition("+")
    if not plus:
        return (None, name) if name in SCHEMES else (name, "http")
    if suffix not in _SUFFIXES:
        refuse(
            f"“+{shown(suffix)}” is not known.", f"one of {name}+https://, {name}+unix:// and {name}+fd://"
        )
    return name, suffix


def read_options(query: str) -> tuple[tuple[str, str], ...]:
    options: list[tuple[str, str]] = []
    for item in query.split("&") if query else ():
        name, equals, value = item.partition("=")
        if not name or not equals:
            refuse(f"“{shown(item)}” is not an option.", f"{name or 'threads'}=VALUE")
        options.append((name, unquote(value)))
    return tuple(options)


def read_path(rest: str) -> str:
    if not rest:
        refuse("The path of the Unix socket is missing.", "unix:///run/site.sock")
    return os.fsdecode(unquote_to_bytes(rest))


def read_fd(rest: str, text: str) -> int:
    if not _DIGITS.match(rest) or len(rest) > 9:
        refuse(f"“{shown(text)}” names no descriptor.", "its number: fd://3")
    return int(rest)


def read_address(rest: str, prefix: str) -> tuple[str | None, int]:
    """The host and the port of HOST:PORT, :PORT or PORT."""
    rest = rest.removesuffix("/")  # as in a URL copied from a browser
    if "," in rest:
        refuse(
            f"A bind is one address: “{shown(prefix + rest)}”.",
            "each its own -b; in WEBDEMO_BIND, separate them by spaces",
            what="Give",
        )
    if rest.startswith("unix:"):
        refuse(f"“{shown(prefix + rest)}” lacks two slashes.", f"unix:///{shown(rest[5:].lstrip('/'))}")
    if "/" in rest:
        address = rest.partition("/")[0]
        refuse(f"A bind has no path after its port: “{shown(prefix + rest)}”.", f"{prefix}{shown(address)}")
    if "@" in rest:
        refuse(f"A bind has no user: “{shown(prefix + rest)}”.", prefix + shown(rest.rpartition("@")[2]))
    if _DIGITS.match(rest):
        return None, read_port(rest, host=prefix)
    if rest.startswith("["):
        literal, bracket, after = rest[1:].partition("]")
        if not bracket or (after and not after.startswith(":")):
            refuse(
                f"The brackets of “{shown(prefix + rest)}” do not close before the port.",
                f"{prefix}[::1]:8000",
            )
        host, port = literal, after[1:]
        if "." in host and ":" not in host:
            refuse(
                f"Brackets are for IPv6 addresses, not for “{shown(host)}”.", f"{prefix}{shown(host)}:8000"
            )
        if ":" not in host:
            refuse(f"“{shown(host)}” is not an IPv6 address.", f"{prefix}[::1]:8000")
    else:
        host, _, port = rest.rpartition(":")
        if ":" not in rest:
            host, port = rest, ""
        if ":" in host:
            _refuse_unbracketed(rest, host, port, prefix)
    written = prefix + (f"[{shown(host)}]" if ":" in host else shown(host))
    if not port:
        refuse(f"The port is missing in “{shown(prefix + rest)}”.", f"{written}:8000")
    return host or None, read_port(port, host=written)


def _refuse_unbracketed(rest: str, host: str, port: str, prefix: str) -> NoReturn:
    if is_ipv6(host) and _DIGITS.match(port) and int(port[:6]) <= HIGHEST_PORT:
        doubt = f" It could also mean the host {rest}." if is_ipv6(rest) else ""
        refuse(f"“{shown(rest)}” has an IPv6 address without brackets.{doubt}", f"{prefix}[{host}]:{port}")
    if is_ipv6(rest):
        refuse(f"“{shown(rest)}” is an IPv6 address without brackets and port.", f"{prefix}[{rest}]:8000")
    if "%" in rest:
        refuse_zone(host if "%" in host else rest)
    refuse(f"“{shown(rest)}” has more than one colon.", f"{prefix}HOST:PORT, an IPv6 address in brackets")


def read_port(text: str, *, host: str = "") -> int:
    """Parse a port number, 0 to 65535. `host` is the text before it, for the message of BindTextError."""
    if text[:1] == "-" and _DIGITS.match(text[1:]):
        refuse(f"A port is not negative: {shown(text)}.", "one from 0 to 65535, such as 8000", what="Choose")
    if not _DIGITS.match(text):
        refuse(
            f"“{shown(text)}” is not a port number.",
            f"digits 0 to 9: {host}:8000" if host else "digits: 8000",
        )
    significant = text.lstrip("0")
    if len(significant) > 5 or int(significant or "0") > HIGHEST_PORT:
        refuse_high_port(shown(significant))
    return int(significant or "0")


def refuse(problem: str, form: str, *, what: str = "Write") -> NoReturn:
    """Raise BindTextError with the correct form as its remedy."""
    raise BindTextError(problem, remedy=f"{what} {form}.")


def authority(host: str, port: int | None) -> str:
    """Host and port as in a URL (RFC 3986 section 3.2): 127.0.0.1:8000, [::1]:8000; None: the host alone."""
    name = f"[{host}]" if ":" in host else host
    return name if port is None else f"{name}:{port}"


def refuse_zone(host: str) -> NoReturn:
    refuse(f"A zone such as “{shown(host)}” cannot be part of a URL.", "an address without %", what="Use")


def shown(text: str) -> str:
    return terminal_line(text, limit=120)


def refuse_high_port(port: str) -> NoReturn:
    refuse(
        f"Port {port} does not exist: the highest is 65535.",
        "one from 0 to 65535, such as 8000",
        what="Choose",
    )


def is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return "%" not in text
