"""Which addresses the /trace page may contact.

The rule: addresses are judged, never names, so that nothing in a URL, a redirect or the DNS changes what may
be reached: this machine's loopback interface, and what --trace-hosts allows. An allowed name stands for its
public addresses only, so that its owner cannot point it into a private network. An allowed address may be
any.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from webdemo.trace.lookup import Allow, IPAddress


def allow_loopback_and(hosts: Sequence[str]) -> Allow:
    """The policy for these hosts, names or addresses. Names are resolved at each check that needs them."""
    addresses: set[IPAddress] = set()
    names: list[str] = []
    for host in hosts:
        try:
            addresses.add(ipaddress.ip_address(host.strip("[]")))
        except ValueError:
            names.append(host)

    def allow(address: IPAddress, port: int) -> bool:
        if address.is_loopback or address in addresses:
            return True
        return address.is_global and address in _addresses_of(names)

    return allow


def _addresses_of(names: Sequence[str]) -> set[IPAddress]:
    found: set[IPAddress] = set()
    for name in names:
        with suppress(OSError, UnicodeError):
            for entry in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM):
                found.add(ipaddress.ip_address(str(entry[4][0]).partition("%")[0]))
    return found
