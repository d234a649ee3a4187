"""The endpoints of supervised servers: TCP, on loopback as a rule, or a Unix socket.

The rule: connect only to URLs from the supervisor, never to one from a request.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Place:
    family: socket.AddressFamily
    address: Any  # as for socket.connect
    authority: str  # for the Host header
    tls: bool

    @contextmanager
    def connect(
        self, timeout_seconds: float, on_socket: Callable[[socket.socket], None] = lambda sock: None
    ) -> Iterator[socket.socket]:
        """Connect, with TLS if the server uses it; `on_socket` is called before that. Raises OSError."""
        with socket.socket(self.family, socket.SOCK_STREAM) as sock:
            sock.settimeout(timeout_seconds)
            sock.connect(self.address)
            on_socket(sock)
            if not self.tls:
                yield sock
                return
            # No verification: the port is webdemo's own, and its certificate may be self-signed.
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            with context.wrap_socket(sock) as wrapped:
                yield wrapped


def place_of(url: str) -> Place:
    """Parse a URL as in `status`: `http://127.0.0.1:8000/`, `https://[::1]:8443/`, `unix:/run/site.sock`."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return Place(socket.AF_UNIX, parts.path, "localhost", tls=False)
    host = parts.hostname or ""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return Place(family, (host, parts.port), parts.netloc, tls=parts.scheme == "https")
