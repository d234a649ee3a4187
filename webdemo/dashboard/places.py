"""From the URLs of a supervised server to where a connection is made: loopback, or a Unix socket.

Only what the supervisor tells is ever connected to, never what a request says.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Place:
    family: socket.AddressFamily
    address: Any  # as socket.connect takes it
    authority: str  # for the Host header
    tls: bool

    def connect(self, timeout_seconds: float) -> socket.socket:
        """A connected socket, before any TLS; raises OSError."""
        sock = socket.socket(self.family, socket.SOCK_STREAM)
        try:
            sock.settimeout(timeout_seconds)
            sock.connect(self.address)
        except BaseException:
            sock.close()
            raise
        return sock


def place_of(url: str) -> Place:
    """`http://127.0.0.1:8000/`, `https://[::1]:8443/` or `unix:/run/site.sock`, as `status` has them."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return Place(socket.AF_UNIX, parts.path, "localhost", tls=False)
    host = parts.hostname or ""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return Place(family, (host, parts.port), parts.netloc, tls=parts.scheme == "https")
