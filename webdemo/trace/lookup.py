"""From a host name to the addresses to try, in order.

The rule: a name is resolved once, and each address is checked before anything is sent to it, so that a name
cannot resolve to something else a moment later (DNS rebinding).
"""

from __future__ import annotations

import ipaddress
import queue
import socket
import threading
from collections.abc import Callable
from itertools import zip_longest
from typing import Any

from webdemo.client.connection import Deadline
from webdemo.client.endpoint import Endpoint
from webdemo.errors import EndpointNotAllowed, EndpointUnreachable
from webdemo.syntax import is_address, parse_address
from webdemo.trace.facts import NameFacts

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
Allow = Callable[[IPAddress, int], bool]
"""Whether this address may be contacted on this port. IPv4-mapped IPv6 addresses are passed as IPv4."""

FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


def loopback_only(address: IPAddress, port: int) -> bool:
    """The policy that keeps a trace on this machine: 127.0.0.0/8 and ::1, on every port.

    0.0.0.0 and ::, which reach this machine as well, are not loopback and are refused.
    """
    return address.is_loopback


def is_allowed(address: str, port: int, allow: Allow | None) -> bool:
    if allow is None:
        return True
    return allow(parse_address(address.partition("%")[0]), port)


def look_up(host: str, port: int, family: int | None, deadline: Deadline) -> list[Endpoint]:
    """Every address of the name, families alternating (RFC 8305, section 4).

    `family` is 4, 6 or None for both. Raises EndpointUnreachable.
    """
    if is_address(host):
        return [_literal(host, port, family)]
    try:
        found = _ask(host, port, FAMILIES[family] if family else socket.AF_UNSPEC, deadline)
    except TimeoutError as exc:
        raise EndpointUnreachable(
            f"The host name {host} could not be resolved within {deadline.seconds:g} s.",
            remedy="Check the network and its name server, or allow more time (--max-time).",
            kind="timed out",
        ) from exc
    except (socket.gaierror, UnicodeError) as exc:
        raise _explain(host, family, exc) from exc
    endpoints = list(dict.fromkeys(Endpoint(kind, sockaddr) for kind, _, _, _, sockaddr in found))
    if not endpoints:
        raise _explain(host, family, None)
    first = [endpoint for endpoint in endpoints if endpoint.family == endpoints[0].family]
    second = [endpoint for endpoint in endpoints if endpoint.family != endpoints[0].family]
    return [endpoint for pair in zip_longest(first, second) for endpoint in pair if endpoint is not None]


def select(
    endpoints: list[Endpoint], host: str, port: int, allow: Allow | None
) -> tuple[list[Endpoint], NameFacts]:
    """The addresses that may be contacted, and the facts; the other addresses are counted but not named."""
    allowed = [endpoint for endpoint in endpoints if is_allowed(endpoint.host, port, allow)]
    facts = NameFacts(
        host=host,
        is_address=is_address(host),
        addresses=tuple(endpoint.host for endpoint in allowed),
        withheld=len(endpoints) - len(allowed),
    )
    return allowed, facts


def not_allowed(what: str) -> EndpointNotAllowed:
    return EndpointNotAllowed(
        f"{what} may not be contacted from here.",
        remedy="Trace it from your own terminal: webdemo trace URL",
        kind="not allowed",
    )


def _literal(host: str, port: int, family: int | None) -> Endpoint:
    own = 6 if ":" in host else 4
    if family not in (None, own):
        raise EndpointUnreachable(
            f"{host} is an IPv{own} address, and only IPv{family} was asked for.",
            remedy=f"Leave out -{family}.",
            kind="no address",
        )
    return Endpoint(FAMILIES[own], (host, port) if own == 4 else (host, port, 0, 0))


def _ask(host: str, port: int, family: int, deadline: Deadline) -> list[Any]:
    """Call getaddrinfo, which has no timeout, in a thread that is abandoned at the deadline."""
    answers: queue.SimpleQueue[list[Any] | Exception] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(socket.getaddrinfo(host, port, family, socket.SOCK_STREAM))
        except (OSError, UnicodeError) as exc:
            answers.put(exc)

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=deadline.remaining())
    except queue.Empty:
        raise TimeoutError from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def _explain(host: str, family: int | None, cause: Exception | None) -> EndpointUnreachable:
    if getattr(cause, "errno", None) == socket.EAI_AGAIN:
        return EndpointUnreachable(
            f"The host name {host} cannot be resolved now: no name server answers.",
            remedy="Check the network and /etc/resolv.conf, or use an address.",
            kind="name unknown",
        )
    kind = f"IPv{family} address" if family else "address"
    return EndpointUnreachable(
        f"The host name {host} has no {kind}.",
        remedy=f"Leave out -{family}, or check its spelling."
        if family
        else "Check its spelling. Your own names go into /etc/hosts; localhost is this machine.",
        kind="name unknown",
    )
