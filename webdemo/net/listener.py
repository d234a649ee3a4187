"""Opens the listening sockets of a Bind.

The rule: never probe and release: the socket that showed that a port is free is the one that is used.
Failures happen here, before any server starts, and leave nothing open.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import combinations
from pathlib import Path

from webdemo.errors import PortInUse, PortUnavailable, UsageError, WebdemoError
from webdemo.net import BACKLOG, ListeningSocket, doctor
from webdemo.net.addresses import Address, resolve
from webdemo.net.bind import Bind
from webdemo.net.bindtext import HIGHEST_PORT
from webdemo.net.socketfile import listen_on_path
from webdemo.portable import AF_UNIX

DEFAULT_PORT = 8000
_TRIES_FOR_ANY_PORT = 50
_NEIGHBOURS = 100
_NO_SUCH_FAMILY = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)


class _OpenError(Exception):
    """Listening on `address` failed; `cause` is the system's error."""

    def __init__(self, address: Address, cause: OSError) -> None:
        super().__init__(address)
        self.address = address
        self.cause = cause


def listen(bind: Bind) -> list[socket.socket]:
    """Bind and listen now, so that a port in use fails before any server starts.

    A bind may have several sockets, one for each address, all on the same port. They are not
    inheritable. Closing a Unix socket removes its file. Raises PortUnavailable, PortNotPermitted and
    subclasses of them.
    """
    return _listen(bind, _places(bind))


def listen_all(binds: Iterable[Bind], option: str = "") -> list[tuple[Bind, list[socket.socket]]]:
    """Listen on every bind, or on none.

    An inherited socket (`fd://3`, or systemd's) whose address another bind asks for is used by that one;
    several for one port are one bind. `option` is what they were given with, unless that is --bind or --port.
    Raises UsageError before anything is opened, and the errors of `listen`.
    """
    wanted = [(bind, _places(bind)) for bind in binds]
    _refuse_overlaps([(str(bind), bind, addresses) for bind, addresses in wanted])
    opened: list[tuple[Bind, list[socket.socket]]] = []
    with ExitStack() as undo:
        inherited: dict[Bind, socket.socket] = {}
        for bind, _ in wanted:
            if bind.fd is not None:
                inherited[bind] = _adopt(bind.fd)
                undo.callback(inherited[bind].detach)
        for bind, addresses in wanted:
            if bind.fd is not None:
                continue
            taken = [one for one, sock in inherited.items() if _has_address(sock, bind, addresses)]
            sockets = [inherited.pop(one) for one in taken]
            missing = [a for a in addresses if not any(_has_address(sock, bind, [a]) for sock in sockets)]
            if missing or not sockets:
                for sock in _listen(bind, missing, option):
                    sockets.append(undo.enter_context(sock))
            server = bind.server or next((one.server for one in taken if one.server), None)
            opened.append((replace(bind, server=server), sockets))
        left: dict[tuple[object, ...], tuple[Bind, list[socket.socket]]] = {}
        for bind, sock in inherited.items():
            # One port is one bind, such as 0.0.0.0:8000 and [::]:8000 of systemd.
            port = None if sock.family == AF_UNIX else sock.getsockname()[1]
            left.setdefault((bind.server, bind.options, port or sock), (bind, []))[1].append(sock)
        opened += left.values()
        undo.pop_all()
    return opened


def listen_default(bind: Bind | None = None) -> tuple[Bind, list[socket.socket], PortInUse | None]:
    """Listen on a port that the user did not choose (8000 by default), or on the next free one.

    Returns the bind listened on, its sockets and, if it is another port, the error that says why.
    """
    bind = bind or Bind(port=DEFAULT_PORT)
    try:
        return bind, _open_all(resolve(bind)), None
    except _OpenError as exc:
        if exc.cause.errno != errno.EADDRINUSE:
            raise _explain(bind, exc) from exc.cause
        taken = exc
    moved, sockets = hold_next_free(bind)
    return moved, sockets, doctor.explain_port_in_use(bind, taken.address, free=moved.port)


def hold_next_free(bind: Bind) -> tuple[Bind, list[socket.socket]]:
    """Listen on the first free port above the bind's, or on any free port if the next 100 are in use."""
    assert bind.port is not None, "only a bind with a port has a next one"
    addresses = resolve(bind)
    for port in range(bind.port + 1, min(bind.port + _NEIGHBOURS, HIGHEST_PORT) + 1):
        neighbour = replace(bind, port=port)
        try:
            return neighbour, _open_all([address._replace(port=port) for address in addresses])
        except _OpenError as exc:
            if exc.cause.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise doctor.explain(neighbour, exc.address, exc.cause) from exc.cause
    sockets = listen(replace(bind, port=0))
    return replace(bind, port=sockets[0].getsockname()[1]), sockets


def next_free_port(bind: Bind) -> int | None:
    """The port that `hold_next_free` would listen on; None if there is none. It is not reserved."""
    try:
        free, sockets = hold_next_free(bind)
    except WebdemoError:
        return None
    close(sockets)
    return free.port


def close(sockets: Iterable[socket.socket]) -> None:
    for sock in sockets:
        sock.close()


def _places(bind: Bind) -> list[Address]:
    return [] if bind.port is None else resolve(bind)


def _listen(bind: Bind, addresses: Sequence[Address], option: str = "") -> list[socket.socket]:
    if bind.path is not None:
        return [listen_on_path(bind.path, mode=bind.mode)]
    if bind.fd is not None:
        return [_adopt(bind.fd)]
    try:
        return _open_all(addresses)
    except _OpenError as exc:
        raise _explain(bind, exc, option) from exc.cause


def _open_all(addresses: Sequence[Address]) -> list[socket.socket]:
    """Listen on every address, on the same port. Raises _OpenError, with nothing left open."""
    any_port = addresses[0].port == 0
    with ExitStack() as held:
        for _ in range(_TRIES_FOR_ANY_PORT):
            sockets: list[socket.socket] = []
            absent: _OpenError | None = None
            try:
                for address in addresses:
                    port = sockets[0].getsockname()[1] if sockets else address.port
                    try:
                        sockets.append(_open(address._replace(port=port)))
                    except OSError as exc:
                        absent = _OpenError(address._replace(port=port), exc)
                        if not (address.optional and exc.errno in _NO_SUCH_FAMILY):
                            raise absent from exc
            except _OpenError as exc:
                # Keep a port that is free on one address only, so that the next attempt gets another one.
                held.callback(close, sockets)
                if not (any_port and sockets and exc.cause.errno == errno.EADDRINUSE):
                    raise
                continue
            if absent is not None and not sockets:
                raise absent
            return sockets
        raise _OpenError(addresses[0], OSError(errno.EADDRINUSE, "no port is free on every address"))


def _open(address: Address) -> socket.socket:
    sock = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        if os.name == "posix":  # bind despite TIME_WAIT; on Windows it would allow another program in
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if address.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((address.host, address.port))
        # Inherited by every connection (on Linux). Cheroot and gevent set it only on sockets that they open
        # themselves; without it the second part of a response waits 40 ms for the client's delayed ACK.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def _has_address(sock: socket.socket, bind: Bind, addresses: Iterable[Address]) -> bool:
    """Whether the inherited socket listens at the bind's path, or at one of the addresses.

    One that listens on every address has them all: what passed it on has decided that.
    """
    name = sock.getsockname()
    if sock.family == AF_UNIX:
        return bind.path is not None and name == bind.path
    own = Address(sock.family, *name[:2])
    is_dual = (
        own.is_wildcard
        and sock.family == socket.AF_INET6
        and not sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    )
    return any(
        address.port == own.port
        and (is_dual or (address.family == own.family and (own.is_wildcard or address.host == own.host)))
        for address in addresses
    )


def _adopt(fd: int) -> socket.socket:
    """Take over an inherited descriptor. Raises PortUnavailable unless it is a listening stream socket."""
    try:
        is_socket = stat.S_ISSOCK(os.fstat(fd).st_mode)
    except OSError as exc:
        raise PortUnavailable(
            f"Descriptor {fd} is not open.", remedy="Let the parent process open it and pass it on."
        ) from exc
    if is_socket:
        sock = ListeningSocket(fileno=fd)
        if sock.type == socket.SOCK_STREAM and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            sock.set_inheritable(False)
            sock.setblocking(True)
            if sock.family != AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return sock
        sock.detach()
    raise PortUnavailable(
        f"Descriptor {fd} is not a listening stream socket.",
        remedy="Let the parent process bind it and call listen() before it passes it on.",
    )


def _explain(bind: Bind, failure: _OpenError, option: str = "") -> WebdemoError:
    if failure.cause.errno != errno.EADDRINUSE:
        return doctor.explain(bind, failure.address, failure.cause, option)
    return doctor.explain_port_in_use(bind, failure.address, free=next_free_port(bind), option=option)


def refuse_overlaps(named: Iterable[tuple[str, Bind]]) -> None:
    """Raise UsageError, with the names, if two of the binds ask for the same port or socket."""
    _refuse_overlaps([(name, bind, _places(bind)) for name, bind in named])


def _refuse_overlaps(wanted: Sequence[tuple[str, Bind, list[Address]]]) -> None:
    for (name, one, ones), (other_name, other, others) in combinations(wanted, 2):
        if _same_file(one, other) or (one.fd is not None and one.fd == other.fd):
            raise UsageError(
                f"{name} and {other_name} ask for the same socket.",
                remedy="Leave one of them out, or change it.",
            )
        if any(a.port == b.port != 0 and a.overlaps(b) for a in ones for b in others):
            raise UsageError(
                f"{name} and {other_name} ask for the same port.",
                remedy="Leave one of them out, or give it another port.",
            )


def _same_file(one: Bind, other: Bind) -> bool:
    if one.path is None or other.path is None:
        return False
    return _real(one.path) == _real(other.path)


def _real(path: str) -> Path:
    return Path(path).parent.resolve() / Path(path).name
