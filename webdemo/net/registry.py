"""Names of ports: what IANA assigned, and what this system's service list says.

The rule: read when first asked for, never guessed. What a port is really used for is another thing: `uses`.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

_SERVICE_LIST = Path("/etc/services")


@dataclass(frozen=True, slots=True)
class Service:
    """A name for a port, or for a range of ports, with its transports (tcp, udp, sctp, dccp)."""

    first: int
    last: int
    transports: tuple[str, ...]
    name: str
    """Empty where the registry has none: "Reserved", "Unassigned"."""
    description: str
    aliases: tuple[str, ...] = ()


@cache
def iana_services() -> tuple[Service, ...]:
    """IANA's registry of RFC 6335, in the order of its ports."""
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
    """The names in /etc/services; none where the system has no such file."""
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
    """What IANA has assigned the port to; a port can have a name for each transport."""
    return _iana_index().get(port, [])


def system(port: int) -> list[Service]:
    """The names that this system's service list has for the port."""
    return _system_index().get(port, [])


@cache
def _iana_index() -> dict[int, list[Service]]:
    return _index(iana_services())


@cache
def _system_index() -> dict[int, list[Service]]:
    return _index(system_services())


def _index(services: tuple[Service, ...]) -> dict[int, list[Service]]:
    found: dict[int, list[Service]] = {}
    for service in services:
        for port in range(service.first, service.last + 1):
            found.setdefault(port, []).append(service)
    return found
