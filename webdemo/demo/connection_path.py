"""The connection path of a request: client -> name -> address -> port -> server -> app.

The rule: only what this process knows is a fact, and each fact has a source. What a server does not reveal
is None. No name that a client may choose is resolved, except `localhost`, which every machine resolves
itself (RFC 6761 section 6.3).

Clients on other machines are shown only what their request contained, not processes or addresses behind a
proxy.
"""

from __future__ import annotations

import functools
import ipaddress
import os
import platform
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from webdemo.syntax import is_address, is_loopback, parse_address
from webdemo.web.visitor import is_at_this_machine, split_host

DEFAULT_PORTS = {"http": 80, "https": 443}
# The environ keys under which servers pass the connection's socket to the app.
_SOCKET_KEYS = ("werkzeug.socket", "gunicorn.socket")


@dataclass(frozen=True, slots=True)
class ConnectionPath:
    """The path of one request's connection. Text from the client is unchanged: escape it when showing it."""

    client_address: str | None
    client_port: int | None
    host_header: str | None
    name: str | None
    """Its host, without brackets; None if the header is missing or malformed."""
    name_addresses: tuple[str, ...]
    """The addresses of the name on this machine; empty for names that are not resolved."""
    requested_port: int | None
    """The Host header's port, or the scheme's default."""
    port_is_default: bool
    address: str | None
    address_source: str
    port: int | None
    on_socket_file: bool
    """The client connected to a Unix socket, whose path is not shown."""
    scheme: str
    server: str | None
    process_id: int | None
    thread: str | None
    many_threads: bool
    many_processes: bool

    @property
    def is_forwarded(self) -> bool:
        """Whether an intermediary (a proxy, a container) accepted the request on another port."""
        return self.port is not None and self.requested_port is not None and self.port != self.requested_port


def read_connection_path(environ: Mapping[str, Any]) -> ConnectionPath:
    """Read the request's path from its WSGI environ; call it in the thread that handles the request."""
    scheme = environ["wsgi.url_scheme"]
    host_header = environ.get("HTTP_HOST")
    name, requested_port = split_host(host_header or "")
    client_address = environ.get("REMOTE_ADDR") or None
    address, address_source, port, on_socket_file = _local_end(environ, name, client_address)
    connection = ConnectionPath(
        client_address=client_address,
        client_port=_port(environ.get("REMOTE_PORT")),
        host_header=host_header,
        name=name,
        name_addresses=addresses_of(name) if name else (),
        requested_port=requested_port or (DEFAULT_PORTS.get(scheme) if name else None),
        port_is_default=requested_port is None,
        address=address,
        address_source=address_source,
        port=port,
        on_socket_file=on_socket_file,
        scheme=scheme,
        server=_server(environ),
        process_id=os.getpid(),
        thread=threading.current_thread().name,
        many_threads=bool(environ.get("wsgi.multithread")),
        many_processes=bool(environ.get("wsgi.multiprocess")),
    )
    return connection if is_at_this_machine(environ) else _for_remote_clients(connection)


def _for_remote_clients(connection: ConnectionPath) -> ConnectionPath:
    return replace(
        connection,
        name_addresses=connection.name_addresses if connection.name_addresses == (connection.name,) else (),
        address=connection.address if connection.address == connection.name else None,
        port=connection.port if connection.port == connection.requested_port else None,
        process_id=None,
        thread=None,
    )


def addresses_of(name: str) -> tuple[str, ...]:
    """The addresses of the name: itself for an address, a lookup for localhost, nothing for other names."""
    if name.lower() == "localhost":
        return _localhost()
    return (name,) if is_address(name) else ()


def python_version() -> str:
    return f"{platform.python_implementation()} {platform.python_version()}"


@functools.cache
def _localhost() -> tuple[str, ...]:
    try:
        found = socket.getaddrinfo("localhost", None, type=socket.SOCK_STREAM)
    except OSError:
        return ()
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


def _server(environ: Mapping[str, Any]) -> str | None:
    facts = environ.get("webdemo.server")
    if facts:
        return f"{facts['name']} {facts['version']}".strip()
    return environ.get("SERVER_SOFTWARE") or None


def _local_end(
    environ: Mapping[str, Any], name: str | None, client_address: str | None
) -> tuple[str | None, str, int | None, bool]:
    """The local end of the connection: address, its source, port, and whether it is a Unix socket."""
    for key in _SOCKET_KEYS:
        end = _socket_name(environ.get(key))
        if isinstance(end, str | bytes):
            return None, "", None, True
        if end:
            return str(end[0]), "the connection itself", int(end[1]), False
    port = _port(environ.get("SERVER_PORT"))
    server_name = environ.get("SERVER_NAME", "")
    if is_address(server_name) and not ipaddress.ip_address(server_name).is_unspecified:
        return server_name, "the server’s SERVER_NAME", port, False
    # If the client's address is loopback, so is ours: loopback addresses never leave the host (RFC 1122
    # section 3.2.1.3). Then the name's only loopback address of the client's family is the one in use.
    if name and client_address and is_loopback(client_address):
        version = parse_address(client_address).version
        family = [
            entry
            for entry in addresses_of(name)
            if is_loopback(entry) and ipaddress.ip_address(entry).version == version
        ]
        if len(family) == 1:
            if family[0] == name:
                return name, "what you typed", port, False
            return (
                family[0],
                f"the name’s only IPv{version} address, since yours is IPv{version}",
                port,
                False,
            )
    return None, "", port, False


def _socket_name(connection: Any) -> Any:
    try:
        return connection.getsockname()
    except (AttributeError, OSError):  # no socket under that key, or a closed one
        return None


def _port(value: Any) -> int | None:
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() and 0 < int(text) < 65536 else None
