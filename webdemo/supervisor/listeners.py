"""Binds with their open sockets, which the supervisor owns. Runs in the main process.

The rule: a client that has connected gets a response. So before a socket is closed for good it refuses new
clients, until its accept queue is empty: the system would reset the connections in it.
"""

from __future__ import annotations

import array
import contextlib
import re
import select
import socket
import struct
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from webdemo.client.endpoint import Endpoint
from webdemo.errors import UsageError
from webdemo.net import BACKLOG, ListeningSocket
from webdemo.net.addresses import WILDCARD, machine_addresses
from webdemo.net.bind import Bind
from webdemo.net.bindtext import authority
from webdemo.net.listener import listen
from webdemo.net.socketfile import UnixListener
from webdemo.portable import AF_UNIX
from webdemo.syntax import is_loopback

# From Linux's headers (asm-generic/socket.h, linux/bpf_common.h); Python has no names for them.
_SO_ATTACH_FILTER, _SO_DETACH_FILTER = 26, 27
_LOAD_BYTE, _AND, _JUMP_IF_EQUAL, _RETURN = 0x30, 0x54, 0x15, 0x06
_FLAGS, _SYN, _SYN_AND_ACK = 13, 0x02, 0x12  # of a TCP header: their offset, and two of them


def _url(scheme: str, where: str) -> str:
    return f"{scheme}://{where}{'/' if scheme in ('http', 'https') else ''}"


@dataclass(slots=True, eq=False)
class Listener:
    """A bind, its open sockets, and their addresses."""

    bind: Bind
    name: str  # in commands: the port, or the path of a Unix socket
    sockets: list[socket.socket]
    endpoints: list[Endpoint]
    is_inherited: bool  # systemd, or another parent process, listens on a socket of it

    @classmethod
    def of_all(cls, opened: Iterable[tuple[Bind, list[socket.socket]]]) -> list[Listener]:
        """Their names differ: where several have the same port, the address is part of it."""
        listeners = []
        for bind, sockets in opened:
            endpoints = [Endpoint.of_listener(sock, tls=bind.tls) for sock in sockets]
            port, is_inherited = endpoints[0].port, any(isinstance(sock, ListeningSocket) for sock in sockets)
            name = str(port) if port is not None else endpoints[0].host
            listeners.append(cls(bind, name, sockets, endpoints, is_inherited))
        times = Counter(listener.name for listener in listeners)
        for listener in listeners:
            if times[listener.name] > 1:
                listener.name = authority(*listener.sockets[0].getsockname()[:2])
        return listeners

    @property
    def port(self) -> int | None:
        """The actual port, also where the bind says 0; None for a Unix socket."""
        return self.endpoints[0].port

    def label(self) -> str:
        """Its name in the log: `:8000`, or the path of a Unix socket."""
        return f":{self.name}" if self.name == str(self.port) else self.name

    def urls(self, scheme: str) -> list[str]:
        """URLs that work from this machine; a wildcard address becomes loopback."""
        return [
            f"unix:{endpoint.host}" if endpoint.port is None else _url(scheme, endpoint.authority)
            for endpoint in self.endpoints
        ]

    def open_urls(self, scheme: str) -> list[str]:
        """URLs for other machines; a wildcard address becomes every address of this one."""
        urls = []
        for sock in self.sockets:
            if sock.family == AF_UNIX:
                continue
            host, port = sock.getsockname()[:2]
            hosts = [host]
            if host in WILDCARD:
                hosts = [other for other in machine_addresses() if (":" in other) == (":" in host)]
            urls += [_url(scheme, authority(other, port)) for other in hosts if not is_loopback(other)]
        return urls

    def refuse_new(self) -> None:
        """Keep new clients out of the accept queue. TCP clients retry until they find the port closed.

        Not on an inherited socket, in whose queue they wait until its owner starts us again.
        """
        for sock in self.sockets if not self.is_inherited else ():
            if isinstance(sock, UnixListener):
                sock.remove_file()
            elif not _drop_syn(sock):
                sock.listen(0)

    def open_again(self) -> None:
        """Undo `refuse_new` or `close`. Raises WebdemoError or OSError."""
        self.refuse_if_gone()
        if not self.is_inherited and (not self.sockets or self.bind.path is not None):
            self.close()  # the file of a Unix socket is gone
            self.sockets = listen(self.bind)
            return
        for sock in self.sockets:
            if sys.platform == "linux":
                with contextlib.suppress(OSError):  # it has no filter
                    sock.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)
            sock.listen(BACKLOG)

    def waiting(self) -> int:
        """The length of the accept queue; 1 for any length where it is unknown (not Linux, not TCP)."""
        return sum(map(_waiting, self.sockets))

    def refuse_if_gone(self) -> None:
        """Raise UsageError if it was closed and cannot be opened here."""
        if self.is_inherited and not self.sockets:
            raise UsageError(
                f"The socket of {self.bind} was inherited; once closed it cannot be opened again.",
                remedy="Restart webdemo by what opened it.",
            )

    def connecting(self) -> int:
        """The number of TCP handshakes under way; 0 where it is unknown (not Linux)."""
        if self.port is None:
            return 0
        # The local address, the client's, and TCP_SYN_RECV of net/tcp_states.h.
        entry = re.compile(rf":{self.port:04X} [0-9A-F]+:[0-9A-F]+ 03 ")
        count = 0
        for table in ("/proc/net/tcp", "/proc/net/tcp6"):
            with contextlib.suppress(OSError), Path(table).open() as lines:
                count += sum(entry.search(line) is not None for line in lines)
        return count

    def close(self) -> None:
        for sock in self.sockets:
            sock.close()
        self.sockets = []


def _waiting(sock: socket.socket) -> int:
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    if not poll.poll(0):
        return 0
    if sys.platform != "linux" or sock.family == AF_UNIX:
        return 1
    # struct tcp_info in linux/tcp.h: tcpi_unacked of a listening socket is the length of its accept queue.
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 28)
    return int.from_bytes(info[24:28], sys.byteorder)


def _drop_syn(sock: socket.socket) -> bool:
    """Have the system ignore new clients of this socket, but not handshakes under way; False if it cannot.

    A backlog of 0 would let in one client after the other.
    """
    if sys.platform != "linux":
        return False
    program = array.array("B")
    for code, if_true, if_false, value in (
        (_LOAD_BYTE, 0, 0, _FLAGS),
        (_AND, 0, 0, _SYN_AND_ACK),
        (_JUMP_IF_EQUAL, 0, 1, _SYN),
        (_RETURN, 0, 0, 0),  # drop the packet
        (_RETURN, 0, 0, 0xFFFFFFFF),
    ):
        program.frombytes(struct.pack("HBBI", code, if_true, if_false, value))
    address, size = program.buffer_info()
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", size // 8, address))
    except OSError:
        return False
    return True
