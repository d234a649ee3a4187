"""From a list of addresses to one connection: Happy Eyeballs (RFC 8305).

The rule: the next address is tried when the last attempt has failed or has taken 250 ms; the first to
connect wins, and the others are abandoned. Every attempt is recorded with its outcome.
"""

from __future__ import annotations

import errno
import os
import selectors
import socket
import time
from contextlib import suppress
from dataclasses import dataclass

from webdemo.client.connection import Deadline
from webdemo.client.endpoint import Endpoint
from webdemo.net.ports import ephemeral_range
from webdemo.trace.facts import Attempt, ConnectFacts

ATTEMPT_DELAY_SECONDS = 0.25
"""RFC 8305, section 8: the recommended Connection Attempt Delay."""
MOST_ATTEMPTS = 16

_OUTCOMES = {
    0: "connected",
    errno.ECONNREFUSED: "refused",
    errno.ETIMEDOUT: "timed out",
    errno.ENETUNREACH: "unreachable",
    errno.EHOSTUNREACH: "unreachable",
    errno.EADDRNOTAVAIL: "unreachable",  # no source address of that family: no IPv6 here
    errno.EAFNOSUPPORT: "unreachable",
    errno.ENOENT: "missing",  # this and what follows: Unix sockets
    errno.ENOTDIR: "missing",
    errno.EACCES: "not permitted",
}
_IN_PROGRESS = (0, errno.EINPROGRESS, errno.EWOULDBLOCK)


@dataclass(slots=True)
class _Running:
    endpoint: Endpoint
    start_ms: float
    sock: socket.socket | None = None

    def end(self, number: int, deadline: Deadline) -> Attempt:
        """The finished attempt; `number` is the errno, 0 for success."""
        if number and self.sock is not None:
            self.sock.close()
        return Attempt(
            address=self.endpoint.host,
            start_ms=self.start_ms,
            duration_ms=deadline.milliseconds() - self.start_ms,
            outcome="given up" if number == errno.ECANCELED else _OUTCOMES.get(number, "failed"),
            detail="" if number in (0, errno.ECANCELED) else os.strerror(number),
        )


def connect(
    endpoints: list[Endpoint], deadline: Deadline
) -> tuple[tuple[socket.socket, Endpoint] | None, ConnectFacts]:
    """Connect to the first address that answers; None if none does in time. The caller closes the socket."""
    waiting = endpoints[:MOST_ATTEMPTS]
    done: list[Attempt] = []
    winner: _Running | None = None
    next_start = 0.0
    with selectors.DefaultSelector() as selector:
        while winner is None and (waiting or selector.get_map()) and deadline.left > 0:
            now = time.perf_counter()
            if waiting and (now >= next_start or not selector.get_map()):
                running = _Running(waiting.pop(0), deadline.milliseconds())
                if number := _begin(running, selector):
                    done.append(running.end(number, deadline))
                next_start = now + ATTEMPT_DELAY_SECONDS
                continue
            seconds = min(deadline.left, next_start - now) if waiting else deadline.left
            for key, _ in selector.select(max(seconds, 0)):
                running = key.data
                selector.unregister(key.fileobj)
                number = key.fileobj.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)  # type: ignore[union-attr]
                if winner is not None and not number:
                    number = errno.ECANCELED
                elif not number:
                    winner = running
                next_start = 0.0
                done.append(running.end(number, deadline))
        number = errno.ETIMEDOUT if winner is None else errno.ECANCELED
        done += [key.data.end(number, deadline) for key in selector.get_map().values()]
    attempts = tuple(sorted(done, key=lambda attempt: attempt.start_ms))
    if winner is None or winner.sock is None:
        return None, ConnectFacts(attempts)
    return (winner.sock, winner.endpoint), _facts(winner.sock, winner.endpoint, attempts)


def connect_unix(endpoint: Endpoint, deadline: Deadline) -> tuple[socket.socket | None, ConnectFacts]:
    """Connect to a Unix socket; None if that fails. The caller closes the socket."""
    running = _Running(endpoint, deadline.milliseconds())
    number = 0
    try:
        running.sock = endpoint.connect(deadline.remaining())
    except OSError as exc:
        number = errno.ETIMEDOUT if isinstance(exc, TimeoutError) else exc.errno or errno.EIO
    path = "" if running.sock is None else endpoint.host
    return running.sock, ConnectFacts((running.end(number, deadline),), remote_address=path)


def _begin(running: _Running, selector: selectors.BaseSelector) -> int:
    """Start to connect; returns 0, or the errno of a failure."""
    try:
        running.sock = socket.socket(running.endpoint.family, socket.SOCK_STREAM)
    except OSError as exc:  # the address family is not supported
        return exc.errno or errno.EAFNOSUPPORT
    running.sock.setblocking(False)
    number = running.sock.connect_ex(running.endpoint.address)
    if number not in _IN_PROGRESS:
        return number
    selector.register(running.sock, selectors.EVENT_WRITE, running)
    return 0


def _facts(sock: socket.socket, endpoint: Endpoint, attempts: tuple[Attempt, ...]) -> ConnectFacts:
    local, remote = sock.getsockname(), endpoint.address
    with suppress(OSError):  # it may have been reset already
        remote = sock.getpeername()  # replaces 0.0.0.0 by the actual address
    return ConnectFacts(
        attempts=attempts,
        local_address=str(local[0]),
        local_port=int(local[1]),
        remote_address=str(remote[0]),
        remote_port=int(remote[1]),
        ephemeral_range=ephemeral_range(),
    )
