"""Names of ports: IANA's assignments, and this system's /etc/services.

The rule: read on first use, never guessed. What a port is commonly used for is in `uses`.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

_SERVICE_LIST = Path("/etc/services")


@dataclass(frozen=True, slots=True)
class Service:
    """A name of a port or a range of ports, with its transports (tcp, udp, sctp, dccp)."""

    first: int
    last: int
    transports: tuple[str, ...]
    name: str
    """Empty for entries without a name: "Reserved", "Unassigned"."""
    description: str
    aliases: tuple[str, ...] = ()


@cache
def iana_services() -> tuple[Service, ...]:
    """IANA's registry (RFC 6335), sorted by port."""
    data = files("webdemo.net").joinpath("iana_ports.txt.gz").read_bytes()
    found = []
    for line in gzip.decompress(data).decode().splitlines():
        if line.startswith("#"):
            continue
        place, transports, name, description = line.split("\t")
        first, _, last = place.partition("-")
        found.append(
            Service(int(first), int(last or first), tuple(transports.split(",")), name, description.strip())
        )
    return tuple(found)


@cache
def system_services() -> tuple[Service, ...]:
    """The entries of /etc/services; () on systems without it."""
    try:
        text = _SERVICE_LIST.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ()
    found: dict[tuple[int, str], Service] = {}
    for line in text.splitlines():
        entry, _, comment = line.partition("#")
        name, place, *aliases = entry.split() if len(entry.split()) >= 2 else ("", "")
        port, _, transport = place.partition("/")
        if not (port.isascii() and port.isdigit() and transport):
            continue
        known = found.get((int(port), name))
        transports = (*known.transports, transport) if known else (transport,)
        description = comment.strip() or (known.description if known else "")
        found[int(port), name] = Service(int(port), int(port), transports, name, description, tuple(aliases))
    return tuple(found.values())


def iana(port: int) -> list[Service]:
    """IANA's assignments of the port, possibly one for each transport."""
    return _index(iana_services).get(port, [])


def system(port: int) -> list[Service]:
    """The entries for the port in /etc/services."""
    return _index(system_services).get(port, [])


@cache
def _index(services: Callable[[], tuple[Service, ...]]) -> dict[int, list[Service]]:
    found: dict[int, list[Service]] = {}
    for service in services():
        for port in range(service.first, service.last + 1):
            found.setdefault(port, []).append(service)
    return found
