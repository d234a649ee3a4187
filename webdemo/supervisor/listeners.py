"""Binds with their open sockets, which the supervisor owns. Runs in the main process."""

from __future__ import annotations

import socket
import sys
from dataclasses import dataclass

from webdemo.client.endpoint import Endpoint
from webdemo.errors import UsageError
from webdemo.net import BACKLOG, ListeningSocket
from webdemo.net.bind import Bind


@dataclass(slots=True, eq=False)
class Listener:
    """A bind, its open sockets, and their addresses."""

    bind: Bind
    sockets: list[socket.socket]
    endpoints: list[Endpoint]
    is_inherited: bool  # systemd, or another parent process, listens on a socket of it

    @classmethod
    def of(cls, bind: Bind, sockets: list[socket.socket]) -> Listener:
        endpoints = [Endpoint.of_listener(sock, tls=bind.tls) for sock in sockets]
        return cls(bind, sockets, endpoints, any(isinstance(sock, ListeningSocket) for sock in sockets))

    @property
    def port(self) -> int | None:
        """The actual port, also where the bind says 0; None for a Unix socket."""
        return self.endpoints[0].port

    def name(self) -> str:
        """Its name in commands: the port, or the path of a Unix socket."""
        return str(self.port) if self.port is not None else self.endpoints[0].host

    def label(self) -> str:
        """Its name in the log: `:8000`, or the path of a Unix socket."""
        return f":{self.port}" if self.port is not None else self.name()

    def urls(self, scheme: str) -> list[str]:
        """URLs that work from this machine; a wildcard address becomes loopback."""
        root = "/" if scheme in ("http", "https") else ""
        return [
            f"unix:{endpoint.host}" if endpoint.port is None else f"{scheme}://{endpoint.authority}{root}"
            for endpoint in self.endpoints
        ]

    def shrink_backlog(self) -> None:
        """Let new clients retry their SYN until they find the port closed; those of a socket that another
        process keeps wait in its queue instead, until that process starts us again."""
        for sock in self.sockets:
            if sock.family != socket.AF_UNIX:
                sock.listen(0)

    def restore_backlog(self) -> None:
        for sock in self.sockets:
            if sock.family != socket.AF_UNIX:
                sock.listen(BACKLOG)

    def waiting(self) -> int:
        """The length of the accept queue; 0 where it is unknown (not Linux, not TCP)."""
        return sum(map(_waiting, self.sockets))

    def refuse_if_gone(self) -> None:
        """Raise UsageError if it was closed and cannot be opened here."""
        if self.is_inherited and not self.sockets:
            raise UsageError(
                f"The socket of {self.bind} was inherited; once closed it cannot be opened again.",
                remedy="Restart webdemo by what opened it.",
            )

    def close(self) -> None:
        for sock in self.sockets:
            sock.close()
        self.sockets = []


def _waiting(sock: socket.socket) -> int:
    if sys.platform != "linux" or sock.family == socket.AF_UNIX:
        return 0
    # struct tcp_info in linux/tcp.h: tcpi_unacked of a listening socket is the length of its accept queue.
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 28)
    return int.from_bytes(info[24:28], sys.byteorder)
