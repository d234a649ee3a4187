"""Where a server can be reached, TCP or a Unix socket, and the connection to it."""

from __future__ import annotations

import socket
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from webdemo.client.connection import Deadline
from webdemo.net.addresses import LOOPBACK, WILDCARD
from webdemo.net.bindtext import authority
from webdemo.portable import AF_UNIX


class Endpoint(NamedTuple):
    family: socket.AddressFamily
    address: Any  # as for socket.connect
    authority: str = "localhost"  # for the Host header
    tls: bool = False
    server_name: str | None = None  # asked for by TLS (SNI)

    @classmethod
    def of_port(cls, port: int) -> Endpoint:
        """The port on IPv4 loopback."""
        return cls(socket.AF_INET, (LOOPBACK[0], port), f"{LOOPBACK[0]}:{port}")

    @classmethod
    def of_path(cls, path: str) -> Endpoint:
        """A Unix socket."""
        return cls(AF_UNIX, path)

    @classmethod
    def of_url(cls, url: str) -> Endpoint:
        """Parse a URL as in `status`: http://127.0.0.1:8000/, https://[::1]:8443/, unix:/run/site.sock.

        The host must be an address. Connecting to URLs from a request is the caller's risk.
        """
        parts = urlsplit(url)
        if parts.scheme == "unix":
            return cls.of_path(parts.path)
        host = parts.hostname or ""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return cls(family, (host, parts.port), parts.netloc, tls=parts.scheme == "https")

    @classmethod
    def of_listener(cls, listener: socket.socket, *, tls: bool) -> Endpoint:
        """Where a listening socket can be reached from this machine: on loopback if it is a wildcard."""
        address = listener.getsockname()
        if listener.family == AF_UNIX:
            return cls.of_path(address)
        host = dict(zip(WILDCARD, LOOPBACK, strict=True)).get(address[0], address[0])
        return cls(listener.family, (host, *address[1:]), authority(host, address[1]), tls)

    @property
    def host(self) -> str:
        """The address without its port, or the path of the Unix socket."""
        return self.address if isinstance(self.address, str) else str(self.address[0])

    @property
    def port(self) -> int | None:
        """None for a Unix socket."""
        return None if isinstance(self.address, str) else int(self.address[1])

    def connect(self, timeout_seconds: float) -> socket.socket:
        """Connect, with TLS if the server uses it; the certificate is not verified. Raises OSError.

        The timeout is for the connection and the TLS handshake together.
        """
        deadline = Deadline(timeout_seconds)
        sock = socket.socket(self.family, socket.SOCK_STREAM)
        try:
            sock.settimeout(deadline.remaining())
            sock.connect(self.address)
            if self.tls:
                from webdemo.client.tls import unverified_context

                sock.settimeout(deadline.remaining())
                return unverified_context().wrap_socket(sock, server_hostname=self.server_name)
        except BaseException:
            sock.close()
            raise
        return sock
