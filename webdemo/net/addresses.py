"""Resolution of a Bind's host to addresses, and the addresses of this machine.

The rule: loopback means IPv4 and IPv6, because "localhost" may resolve to either on the client. A family
that the machine lacks is an error only if it was asked for explicitly.
"""

from __future__ import annotations

import socket
from dataclasses import replace
from typing import NamedTuple

from webdemo.errors import PortUnavailable
from webdemo.net.bind import ALL_ADDRESSES, Bind
from webdemo.net.bindtext import authority

LOOPBACK = ("127.0.0.1", "::1")
WILDCARD = ("0.0.0.0", "::")


class Address(NamedTuple):
    family: socket.AddressFamily
    host: str
    port: int
    optional: bool = False
    """Skipped, without an error, if the machine lacks the address family."""

    def __str__(self) -> str:
        return authority(self.host, self.port)

    @property
    def is_wildcard(self) -> bool:
        return self.host in WILDCARD

    def overlaps(self, other: Address) -> bool:
        """Whether one of them includes the other, ports aside."""
        is_wild = self.is_wildcard or other.is_wildcard
        return self.family == other.family and (is_wild or self.host == other.host)


def resolve(bind: Bind) -> list[Address]:
    """The addresses to listen on, IPv4 first. Blocks during name resolution; raises PortUnavailable."""
    assert bind.port is not None, "only a bind with a port has addresses"
    if bind.host is None or bind.host.lower() == "localhost":
        return _both(LOOPBACK, bind.port)
    if bind.host == ALL_ADDRESSES:
        return _both(WILDCARD, bind.port)
    try:
        # Bytes, because for a str Python would import its codec for international names.
        host = bind.host.encode("ascii")
        found = socket.getaddrinfo(host, bind.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as exc:
        loopback = replace(bind, host=LOOPBACK[0])
        raise PortUnavailable(
            f"The host name {bind.host} cannot be resolved.",
            remedy=f"Check its spelling, or use an address of this machine: {loopback}",
        ) from exc
    addresses = {(family, str(place[0])): None for family, _, _, _, place in found}
    return [
        Address(family, host, bind.port)
        for family, host in sorted(addresses, key=lambda item: item[0] != socket.AF_INET)
        if family in (socket.AF_INET, socket.AF_INET6)
    ]


def machine_addresses() -> list[str]:
    """The addresses at which other machines may reach this one, IPv4 first; no link-local ones.

    None where the system does not tell: getifaddrs(3) needs AF_NETLINK, which a sandbox may forbid.
    """
    import psutil

    try:
        interfaces = psutil.net_if_addrs()
    except OSError:
        return []
    found = {
        address.address
        for addresses in interfaces.values()
        for address in addresses
        if address.family in (socket.AF_INET, socket.AF_INET6)
    }
    reachable = [
        host for host in found if not host.startswith(("127.", "169.254.", "fe80:")) and host != "::1"
    ]
    return sorted(reachable, key=lambda host: (":" in host, host))


def _both(hosts: tuple[str, str], port: int) -> list[Address]:
    return [
        Address(socket.AF_INET, hosts[0], port, optional=True),
        Address(socket.AF_INET6, hosts[1], port, optional=True),
    ]
