"""The bind text: where to listen, and what with.

    [SERVER[+https|+unix|+fd]://][HOST]:PORT[?option=value&...]

The rule: a text has one meaning or is refused with the right form; a Bind that exists is one that can
be tried. Nothing here opens a socket or looks a name up.
"""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass
from typing import NoReturn
from urllib.parse import quote, quote_from_bytes, unquote, unquote_to_bytes

from webdemo.errors import BindTextError

ALL_ADDRESSES = "*"
DEFAULT_MODE = 0o600
HIGHEST_PORT = 65535
LONGEST_PORT_LIST = 1000
LONGEST_SOCKET_PATH = 107
"""Bytes of a Unix socket's path: sockaddr_un holds 108 on Linux, the closing NUL included."""

# A scheme without a server's name: the default server, and how it is reached.
_SCHEMES = ("http", "https", "unix", "fd")
_SUFFIXES = ("https", "unix", "fd")
_SERVER = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*\Z")
_OPTION = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*\Z")
_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\Z")
_DIGITS = re.compile(r"[0-9]+\Z")
_MODE = re.compile(r"0?[0-7]{3}\Z")


@dataclass(frozen=True, slots=True)
class Bind:
    """Where to listen, and with which server. Exactly one of port, path and fd is given.

    Raises BindTextError when a value cannot be listened on by anyone.
    """

    server: str | None = None
    """The server's name, or None for the default one."""
    host: str | None = None
    """A name or an address (IPv6 without brackets); None is loopback, "*" every address, of both families."""
    port: int | None = None
    """0 to 65535; 0 asks for any free one."""
    path: str | None = None
    """The absolute path of a Unix socket."""
    fd: int | None = None
    """An inherited descriptor that listens already."""
    tls: bool = False
    options: tuple[tuple[str, str], ...] = ()
    """Names and texts as they were written; their meaning is the server's affair."""

    def __post_init__(self) -> None:
        if sum(place is not None for place in (self.port, self.path, self.fd)) != 1:
            _refuse(
                "A bind needs a port, a Unix socket's path or a descriptor, and only one of them.", ":8000"
            )
        if self.server is not None:
            _check_server(self.server)
        if self.port is not None:
            _check_port(self.port)
            if self.host is not None and self.host != ALL_ADDRESSES:
                _check_host(self.host)
        elif self.host is not None or self.tls:
            _refuse("A Unix socket or a descriptor has neither a host nor TLS.", "unix:///run/site.sock")
        if self.path is not None:
            _check_path(self.path)
        if self.fd is not None and self.fd < 0:
            _refuse(f"A descriptor is not negative: {self.fd}.", "fd://3")
        _check_options(self.options)
        if self.path is not None:
            _ = self.mode

    @classmethod
    def parse(cls, text: str) -> Bind:
        """Read a bind text. Raises BindTextError, with the right form as its remedy."""
        for character in text:
            if character.isspace() or not character.isprintable():
                _refuse(
                    f"A bind holds no spaces or control characters: “{_shown(text)}”.", ":8000", encode=True
                )
        scheme, separator, rest = text.partition("://")
        if not separator:
            scheme, rest = "", text
        server, way = _read_scheme(scheme, text) if separator else (None, "http")
        rest, _, query = rest.partition("?")
        options = _read_options(query)
        if way == "unix":
            return cls(server=server, path=_read_path(rest), options=options)
        if way == "fd":
            return cls(server=server, fd=_read_fd(rest, text), options=options)
        prefix = f"{scheme}://" if separator else ""
        host, port = _read_address(rest, prefix)
        return cls(server=server, host=host, port=port, tls=way == "https", options=options)

    def __str__(self) -> str:
        """The text that parses to this Bind."""
        way = (
            "unix" if self.path is not None else "fd" if self.fd is not None else "https" if self.tls else ""
        )
        scheme = "+".join(part for part in (self.server, way) if part)
        prefix = f"{scheme}://" if scheme else ""
        if self.path is not None:
            place = quote_from_bytes(os.fsencode(self.path))
        elif self.fd is not None:
            place = str(self.fd)
        else:
            host = self.host or ""
            place = f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"
        query = "&".join(f"{name}={quote(value, safe='/:,')}" for name, value in self.options)
        return f"{prefix}{place}?{query}" if query else f"{prefix}{place}"

    @property
    def mode(self) -> int:
        """The permissions of the Unix socket: the option `mode`, in octal, or 0600."""
        for name, value in self.options:
            if name == "mode":
                if not _MODE.match(value):
                    _refuse(
                        f"A mode is three octal digits, not “{_shown(value)}”.",
                        "unix:///run/site.sock?mode=660",
                    )
                return int(value, 8)
        return DEFAULT_MODE

    @property
    def server_options(self) -> tuple[tuple[str, str], ...]:
        """The options without those of the listener itself (`mode` of a Unix socket)."""
        if self.path is None:
            return self.options
        return tuple((name, value) for name, value in self.options if name != "mode")


def read_port(text: str, *, host: str = "") -> int:
    """Read a port's number, 0 to 65535. Raises BindTextError; `host` is what stands before it."""
    if text[:1] == "-" and _DIGITS.match(text[1:]):
        _refuse(
            f"A port is not negative: {_shown(text)}.", "one from 0 to 65535, such as 8000", what="Choose"
        )
    if not _DIGITS.match(text):
        _refuse(
            f"“{_shown(text)}” is not a port number.",
            f"digits 0 to 9: {host}:8000" if host else "digits: 8000",
        )
    significant = text.lstrip("0")
    if len(significant) > 5 or int(significant or "0") > HIGHEST_PORT:
        _refuse_high_port(_shown(significant))
    return int(significant or "0")


def parse_ports(text: str) -> list[int]:
    """Read ports: `8000`, `8000-8003`, `8000,8005` or a mixture, in the order written.

    Raises BindTextError; more than 1000 ports, or one port twice, are refused (0, any free port, may repeat).
    """
    ports: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first and dash:
            _refuse(f"A port is not negative: “{_shown(part)}”.", "8000 or 8000-8003", what="Write")
        low = read_port(first)
        high = read_port(last) if dash else low
        if dash and low == 0:
            _refuse("A range starts at port 1 or above: 0 asks for any free port.", "0,0 for two free ports")
        if high < low:
            _refuse(f"The range {low}-{high} runs backwards.", f"{high}-{low}")
        if len(ports) + high - low >= LONGEST_PORT_LIST:
            _refuse(f"“{_shown(text)}” asks for more than {LONGEST_PORT_LIST} ports.", "a shorter range")
        ports.extend(range(low, high + 1))
    for port in set(ports):
        if port and ports.count(port) > 1:
            _refuse(f"Port {port} is asked for twice in “{_shown(text)}”.", "each port once")
    return ports


def _refuse(problem: str, form: str, *, what: str = "Write", encode: bool = False) -> NoReturn:
    hint = " (a space in a path is written %20)" if encode else ""
    raise BindTextError(problem, remedy=f"{what} {form}{hint}.")


def _shown(text: str) -> str:
    """The text, fit for a message of one line."""
    short = text if len(text) <= 80 else f"{text[:79]}…"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in short)


def _read_scheme(scheme: str, text: str) -> tuple[str | None, str]:
    """The server's name and how it is reached: http, https, unix or fd."""
    name, plus, suffix = scheme.partition("+")
    if not plus:
        return (None, name) if name in _SCHEMES else (name, "http")
    if suffix not in _SUFFIXES:
        _refuse(
            f"“+{_shown(suffix)}” is not known.", f"one of {name}+https://, {name}+unix:// and {name}+fd://"
        )
    return name, suffix


def _read_options(query: str) -> tuple[tuple[str, str], ...]:
    options: list[tuple[str, str]] = []
    for item in query.split("&") if query else ():
        name, equals, value = item.partition("=")
        if not name or not equals:
            _refuse(f"“{_shown(item)}” is not an option.", f"{name or 'threads'}=VALUE")
        options.append((name, unquote(value)))
    return tuple(options)


def _read_path(rest: str) -> str:
    if not rest:
        _refuse("The path of the Unix socket is missing.", "unix:///run/site.sock")
    return os.fsdecode(unquote_to_bytes(rest))


def _read_fd(rest: str, text: str) -> int:
    if not _DIGITS.match(rest) or len(rest) > 9:
        _refuse(f"“{_shown(text)}” names no descriptor.", "its number: fd://3")
    return int(rest)


def _read_address(rest: str, prefix: str) -> tuple[str | None, int]:
    """The host and the port of HOST:PORT, :PORT or PORT."""
    rest = rest.removesuffix("/")  # a URL as browsers copy it
    if rest.startswith("unix:"):
        _refuse(f"“{_shown(prefix + rest)}” lacks two slashes.", f"unix:///{_shown(rest[5:].lstrip('/'))}")
    if "/" in rest:
        address = rest.partition("/")[0]
        _refuse(
            f"A bind has no path after its port: “{_shown(prefix + rest)}”.", f"{prefix}{_shown(address)}"
        )
    if "@" in rest:
        _refuse(f"A bind has no user: “{_shown(prefix + rest)}”.", prefix + _shown(rest.rpartition("@")[2]))
    if _DIGITS.match(rest):
        return None, read_port(rest, host=prefix)
    if rest.startswith("["):
        literal, bracket, after = rest[1:].partition("]")
        if not bracket or (after and not after.startswith(":")):
            _refuse(
                f"The brackets of “{_shown(prefix + rest)}” do not close before the port.",
                f"{prefix}[::1]:8000",
            )
        host, port = literal, after[1:]
        if "." in host and ":" not in host:
            _refuse(
                f"Brackets are for IPv6 addresses, not for “{_shown(host)}”.", f"{prefix}{_shown(host)}:8000"
            )
        if ":" not in host:
            _refuse(f"“{_shown(host)}” is not an IPv6 address.", f"{prefix}[::1]:8000")
    else:
        host, _, port = rest.rpartition(":")
        if ":" not in rest:
            host, port = rest, ""
        if ":" in host:
            _refuse_unbracketed(rest, host, port, prefix)
    if not port:
        shown = f"[{_shown(host)}]" if ":" in host else _shown(host)
        _refuse(f"The port is missing in “{_shown(prefix + rest)}”.", f"{prefix}{shown}:8000")
    return host or None, read_port(port, host=f"{prefix}{_shown(host)}")


def _refuse_unbracketed(rest: str, host: str, port: str, prefix: str) -> NoReturn:
    if _is_ipv6(host) and _DIGITS.match(port) and int(port[:6]) <= HIGHEST_PORT:
        doubt = f" It could also mean the host {rest}." if _is_ipv6(rest) else ""
        _refuse(f"“{_shown(rest)}” has an IPv6 address without brackets.{doubt}", f"{prefix}[{host}]:{port}")
    if _is_ipv6(rest):
        _refuse(f"“{_shown(rest)}” is an IPv6 address without brackets and port.", f"{prefix}[{rest}]:8000")
    if "%" in rest:
        _check_host(host)
    _refuse(f"“{_shown(rest)}” has more than one colon.", f"{prefix}HOST:PORT, an IPv6 address in brackets")


def _refuse_high_port(shown: str) -> NoReturn:
    _refuse(
        f"Port {shown} does not exist: the highest is 65535.",
        "one from 0 to 65535, such as 8000",
        what="Choose",
    )


def _check_server(name: str) -> None:
    if name in _SCHEMES:
        _refuse(
            f"“{name}” is not the name of a server.",
            "waitress+unix:///run/site.sock or unix:///run/site.sock",
        )
    if not _SERVER.match(name):
        _refuse(f"“{_shown(name)}” is not the name of a server.", "waitress://:8000")


def _check_port(port: int) -> None:
    if port < 0:
        _refuse(f"A port is not negative: {port}.", "one from 0 to 65535, such as 8000", what="Choose")
    if port > HIGHEST_PORT:
        _refuse_high_port(str(port))


def _check_host(host: str) -> None:
    if "%" in host:
        _refuse(
            f"A zone such as “{_shown(host)}” cannot be part of a URL.", "an address without %", what="Use"
        )
    if ":" in host:
        if not _is_ipv6(host):
            _refuse(f"“{_shown(host)}” is not an IPv6 address.", "[::1]:8000")
        mapped = ipaddress.IPv6Address(host).ipv4_mapped
        if mapped is not None:
            _refuse(f"{host} is an IPv4 address in IPv6 dress.", f"{mapped}:8000")
        return
    if not host.isascii():
        _refuse(
            f"The host “{_shown(host)}” is not ASCII.", "its form in ASCII (an international name as xn--...)"
        )
    labels = host.removesuffix(".").split(".")
    if labels[-1].isdigit():
        try:
            ipaddress.IPv4Address(host)
        except ValueError:
            _refuse(f"“{_shown(host)}” is not an IPv4 address.", "four numbers from 0 to 255: 127.0.0.1:8000")
    elif len(host) > 253 or not all(_LABEL.match(label) for label in labels):
        _refuse(f"“{_shown(host)}” is not the name of a host.", "localhost:8000")


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return "%" not in text


def _check_path(path: str) -> None:
    normal = os.path.abspath(path)  # noqa: PTH100  Path.absolute() leaves `..` standing
    if not path.startswith("/"):
        _refuse(
            f"The path “{_shown(path)}” of the Unix socket is not absolute.",
            f"unix://{quote(_shown(normal))}",
        )
    if not path.isprintable() and any(ord(character) < 32 or ord(character) == 127 for character in path):
        _refuse(f"The path “{_shown(path)}” holds control characters.", "unix:///run/site.sock")
    if path.endswith("/"):
        _refuse(f"The path “{_shown(path)}” names a folder, not a socket.", f"unix://{_shown(path)}site.sock")
    length = len(os.fsencode(path))
    if length > LONGEST_SOCKET_PATH:
        _refuse(
            f"The path of the Unix socket is {length} bytes long; the system takes {LONGEST_SOCKET_PATH}.",
            "a shorter one, such as unix:///run/site.sock",
            what="Choose",
        )


def _check_options(options: tuple[tuple[str, str], ...]) -> None:
    seen = set()
    for name, value in options:
        if not _OPTION.match(name):
            _refuse(f"“{_shown(name)}” is not the name of an option.", "threads=8")
        if name in seen:
            _refuse(f"The option {name} is given twice.", f"{name} once")
        if any(ord(character) < 32 or ord(character) == 127 for character in value):
            _refuse(f"The value of {name} holds control characters.", f"{name}=VALUE in plain text")
        seen.add(name)
