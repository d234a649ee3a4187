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
_UNDER_WAY = (0, errno.EINPROGRESS, errno.EWOULDBLOCK)


@dataclass(slots=True)
class _Running:
    endpoint: Endpoint
    sock: socket.socket
    start_ms: float


def connect(endpoints: list[Endpoint], deadline: Deadline) -> tuple[socket.socket | None, ConnectFacts]:
    """Connect to the first address that answers; None if none does in time. The caller closes the socket."""
    waiting = endpoints[:MOST_ATTEMPTS]
    done: list[Attempt] = []
    winner: _Running | None = None
    next_start = 0.0
    with selectors.DefaultSelector() as selector:
        while winner is None and (waiting or selector.get_map()):
            now = time.perf_counter()
            if waiting and (now >= next_start or not selector.get_map()):
                _begin(waiting.pop(0), selector, done, deadline)
                next_start = now + ATTEMPT_DELAY_SECONDS
                continue
            try:
                seconds = deadline.remaining()
            except TimeoutError:
                break
            if waiting:
                seconds = min(seconds, next_start - now)
            for key, _ in selector.select(seconds):
                running: _Running = key.data
                number = running.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                selector.unregister(running.sock)
                if number == 0 and winner is None:
                    winner = running
                    done.append(_ended(running, "connected", "", deadline))
                    continue
                running.sock.close()
                next_start = 0.0
                done.append(_failed(running, number, deadline) if number else _given_up(running, deadline))
        for key in list(selector.get_map().values()):
            key.data.sock.close()
            outcome = _given_up(key.data, deadline)
            if winner is None:
                outcome = _failed(key.data, errno.ETIMEDOUT, deadline)
            done.append(outcome)
    return winner.sock if winner else None, _tell(winner, done)


def _begin(
    endpoint: Endpoint, selector: selectors.BaseSelector, done: list[Attempt], deadline: Deadline
) -> None:
    started = deadline.milliseconds()
    try:
        sock = socket.socket(endpoint.family, socket.SOCK_STREAM)
    except OSError as exc:  # the address family is not supported
        outcome = _OUTCOMES.get(exc.errno or 0, "failed")
        done.append(Attempt(endpoint.host, started, 0.0, outcome, exc.strerror or str(exc)))
        return
    running = _Running(endpoint, sock, started)
    sock.setblocking(False)
    number = sock.connect_ex(endpoint.address)
    if number in _UNDER_WAY:
        selector.register(sock, selectors.EVENT_WRITE, running)
    else:
        sock.close()
        done.append(_failed(running, number, deadline))


def _failed(running: _Running, number: int, deadline: Deadline) -> Attempt:
    return _ended(running, _OUTCOMES.get(number, "failed"), os.strerror(number), deadline)


def _given_up(running: _Running, deadline: Deadline) -> Attempt:
    return _ended(running, "given up", "", deadline)


def _ended(running: _Running, outcome: str, detail: str, deadline: Deadline) -> Attempt:
    duration = deadline.milliseconds() - running.start_ms
    return Attempt(running.endpoint.host, running.start_ms, duration, outcome, detail)


def _tell(winner: _Running | None, done: list[Attempt]) -> ConnectFacts:
    attempts = tuple(sorted(done, key=lambda attempt: attempt.start_ms))
    if winner is None:
        return ConnectFacts(attempts, "", None, "", None, None)
    local, remote = winner.sock.getsockname(), winner.endpoint.address
    with suppress(OSError):  # it may have been reset already
        remote = winner.sock.getpeername()  # replaces 0.0.0.0 by the actual address
    return ConnectFacts(
        attempts=attempts,
        local_address=str(local[0]),
        local_port=int(local[1]),
        remote_address=str(remote[0]),
        remote_port=int(remote[1]),
        ephemeral_range=ephemeral_range(),
    )


def connect_unix(endpoint: Endpoint, deadline: Deadline) -> tuple[socket.socket | None, ConnectFacts]:
    """Connect to a Unix socket; None if that fails. The caller closes the socket."""
    started = deadline.milliseconds()
    sock = None
    outcome, detail = "connected", ""
    try:
        sock = endpoint.connect(deadline.remaining())
    except TimeoutError:
        outcome, detail = "timed out", os.strerror(errno.ETIMEDOUT)
    except OSError as exc:
        outcome = _OUTCOMES.get(exc.errno or 0, "failed")
        detail = exc.strerror or str(exc)
    attempt = Attempt(endpoint.host, started, deadline.milliseconds() - started, outcome, detail)
    return sock, ConnectFacts((attempt,), "", None, endpoint.host if sock is not None else "", None, None)
