"""The bind text: where to listen, and with which server.

    [SERVER[+https|+unix|+fd]://][HOST]:PORT[?option=value&...]

The rule: an ambiguous or invalid text is refused with the correct form, and every Bind that exists is
valid. Nothing here opens a socket or resolves a name.
"""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass
from urllib.parse import quote, quote_from_bytes

from webdemo.net.bindtext import (
    HIGHEST_PORT,
    SCHEMES,
    authority,
    is_ipv6,
    read_address,
    read_fd,
    read_options,
    read_path,
    read_port,
    read_scheme,
    refuse,
    refuse_high_port,
    refuse_zone,
    shown,
)
from webdemo.syntax import parse_address

ALL_ADDRESSES = "*"
DEFAULT_MODE = 0o600
LONGEST_PORT_LIST = 1000
LONGEST_SOCKET_PATH = 107
"""In bytes: sun_path of sockaddr_un has 108 on Linux, including the terminating NUL."""

_SERVER = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*\Z")
_OPTION = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*\Z")
_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\Z")
_MODE = re.compile(r"0?[0-7]{3}\Z")
_CONTROL = re.compile(r"[\0-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Bind:
    """Where to listen, and with which server. Exactly one of port, path and fd is given.

    Raises BindTextError for a value that is invalid on every machine.
    """

    server: str | None = None
    """The server's name, or None for the default server."""
    host: str | None = None
    """A name or an address (IPv6 without brackets); None: loopback; "*": every IPv4 and IPv6 address."""
    port: int | None = None
    """0 to 65535; 0 asks for any free port."""
    path: str | None = None
    """The absolute path of a Unix socket."""
    fd: int | None = None
    """An inherited descriptor of a listening socket."""
    tls: bool = False
    options: tuple[tuple[str, str], ...] = ()
    """Names and values as written, which the server's adapter interprets."""

    def __post_init__(self) -> None:
        if sum(place is not None for place in (self.port, self.path, self.fd)) != 1:
            refuse(
                "A bind needs a port, a Unix socket's path or a descriptor, and only one of them.", ":8000"
            )
        if self.server is not None:
            _check_server(self.server)
        if self.port is not None:
            _check_port(self.port)
            if self.host is not None and self.host != ALL_ADDRESSES:
                _check_host(self.host)
        elif self.host is not None or self.tls:
            refuse("A Unix socket or a descriptor has neither a host nor TLS.", "unix:///run/site.sock")
        if self.path is not None:
            _check_path(self.path)
        if self.fd is not None and self.fd < 0:
            refuse(f"A descriptor is not negative: {self.fd}.", "fd://3")
        _check_options(self.options)
        if self.path is not None:
            _ = self.mode

    @classmethod
    def parse(cls, text: str) -> Bind:
        """Parse a bind text. Raises BindTextError, with the correct form as its remedy."""
        for character in text:
            if character.isspace() or not character.isprintable():
                refuse(
                    f"A bind holds no spaces or control characters: “{shown(text)}”.",
                    ":8000 (a space in a path is written %20)",
                )
        scheme, separator, rest = text.partition("://")
        if not separator:
            scheme, rest = "", text
        server, transport = read_scheme(scheme, text) if separator else (None, "http")
        rest, _, query = rest.partition("?")
        options = read_options(query)
        if transport == "unix":
            return cls(server=server, path=read_path(rest), options=options)
        if transport == "fd":
            return cls(server=server, fd=read_fd(rest, text), options=options)
        prefix = f"{scheme}://" if separator else ""
        host, port = read_address(rest, prefix)
        return cls(server=server, host=host, port=port, tls=transport == "https", options=options)

    def __str__(self) -> str:
        """The bind text that parses to this Bind."""
        if self.path is not None:
            transport, place = "unix", quote_from_bytes(os.fsencode(self.path))
        elif self.fd is not None:
            transport, place = "fd", str(self.fd)
        else:
            host = self.host or ""
            transport = "https" if self.tls else ""
            place = authority(host, self.port)
        scheme = "+".join(part for part in (self.server, transport) if part)
        prefix = f"{scheme}://" if scheme else ""
        query = "&".join(f"{name}={quote(value, safe='/:,')}" for name, value in self.options)
        return f"{prefix}{place}?{query}" if query else f"{prefix}{place}"

    @property
    def mode(self) -> int:
        """The permissions of the Unix socket: the option `mode` (octal), by default 0600."""
        for name, value in self.options:
            if name == "mode":
                if not _MODE.match(value):
                    refuse(
                        f"A mode is three octal digits, not “{shown(value)}”.",
                        "unix:///run/site.sock?mode=660",
                    )
                return int(value, 8)
        return DEFAULT_MODE

    @property
    def server_options(self) -> tuple[tuple[str, str], ...]:
        """The options for the server: all but `mode` of a Unix socket, which is the listener's."""
        if self.path is None:
            return self.options
        return tuple((name, value) for name, value in self.options if name != "mode")


def parse_ports(text: str) -> list[int]:
    """Parse a list of ports, in the order written: `8000`, `8000-8003`, `8000,8005` or a combination.

    Raises BindTextError, also for more than 1000 ports and for duplicates (0, any free port, may repeat).
    """
    ports: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first and dash:
            refuse(f"A port is not negative: “{shown(part)}”.", "8000 or 8000-8003", what="Write")
        low = read_port(first)
        high = read_port(last) if dash else low
        if dash and low == 0:
            refuse("A range starts at port 1 or above: 0 asks for any free port.", "0,0 for two free ports")
        if high < low:
            refuse(f"The range {low}-{high} runs backwards.", f"{high}-{low}")
        if len(ports) + high - low >= LONGEST_PORT_LIST:
            refuse(f"“{shown(text)}” asks for more than {LONGEST_PORT_LIST} ports.", "a shorter range")
        ports.extend(range(low, high + 1))
    for port in set(ports):
        if port and ports.count(port) > 1:
            refuse(f"Port {port} is listed twice in “{shown(text)}”.", "each port once")
    return ports


def _check_server(name: str) -> None:
    if name in SCHEMES:
        refuse(
            f"“{name}” is not the name of a server.",
            "waitress+unix:///run/site.sock or unix:///run/site.sock",
        )
    if not _SERVER.match(name):
        refuse(f"“{shown(name)}” is not the name of a server.", "waitress://:8000")


def _check_port(port: int) -> None:
    if port < 0:
        refuse(f"A port is not negative: {port}.", "one from 0 to 65535, such as 8000", what="Choose")
    if port > HIGHEST_PORT:
        refuse_high_port(str(port))


def _check_host(host: str) -> None:
    if "%" in host:
        refuse_zone(host)
    if ":" in host:
        if not is_ipv6(host):
            refuse(f"“{shown(host)}” is not an IPv6 address.", "[::1]:8000")
        if (address := parse_address(host)).version == 4:
            refuse(f"{host} is an IPv4-mapped IPv6 address.", f"{address}:8000")
        return
    if not host.isascii():
        refuse(
            f"The host “{shown(host)}” is not ASCII.", "its form in ASCII (an international name as xn--...)"
        )
    labels = host.removesuffix(".").split(".")
    if labels[-1].isdigit():
        try:
            ipaddress.IPv4Address(host)
        except ValueError:
            refuse(f"“{shown(host)}” is not an IPv4 address.", "four numbers from 0 to 255: 127.0.0.1:8000")
    elif len(host) > 253 or not all(_LABEL.match(label) for label in labels):
        refuse(f"“{shown(host)}” is not the name of a host.", "localhost:8000")


def _check_path(path: str) -> None:
    if not path.startswith("/"):
        refuse(f"The path “{shown(path)}” of the Unix socket is not absolute.", "unix:///run/site.sock")
    if _CONTROL.search(path):
        refuse(f"The path “{shown(path)}” holds control characters.", "unix:///run/site.sock")
    if path.endswith("/"):
        refuse(f"The path “{shown(path)}” names a folder, not a socket.", f"unix://{shown(path)}site.sock")
    length = len(os.fsencode(path))
    if length > LONGEST_SOCKET_PATH:
        refuse(
            f"The path of the Unix socket is {length} bytes long; the limit is {LONGEST_SOCKET_PATH}.",
            "a shorter one, such as unix:///run/site.sock",
            what="Choose",
        )


def _check_options(options: tuple[tuple[str, str], ...]) -> None:
    seen = set()
    for name, value in options:
        if not _OPTION.match(name):
            refuse(f"“{shown(name)}” is not the name of an option.", "threads=8")
        if name in seen:
            refuse(f"The option {name} is given twice.", f"{name} once")
        if not value.strip():
            refuse(f"The option {name} has no value.", f"{name}=VALUE, or leave it out")
        if _CONTROL.search(value):
            refuse(f"The value of {name} holds control characters.", f"{name}=VALUE in plain text")
        seen.add(name)
