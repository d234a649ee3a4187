"""Facts about a port: its range, names, uses, kernel and browser restrictions, and its listeners.

The rule: facts only, each with its source. Nothing here opens a port.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from pathlib import Path

from webdemo.errors import BindTextError
from webdemo.net import registry, uses
from webdemo.net.bindtext import read_port
from webdemo.net.holders import Listening, tcp_listeners
from webdemo.net.registry import Service
from webdemo.net.uses import Use
from webdemo.portable import CAN_FORK, is_root

_KERNEL = Path("/proc/sys/net/ipv4")
_CAP_NET_BIND_SERVICE = 10


@dataclass(frozen=True, slots=True)
class PortRange:
    name: str
    other_name: str
    first: int
    last: int
    meaning: str


RANGES = (
    PortRange(
        "system",
        "well-known",
        0,
        1023,
        "for the Internet's common services; listening needs privileges on Unix",
    ),
    PortRange("user", "registered", 1024, 49151, "for registered services and your own; any user may listen"),
    PortRange(
        "dynamic",
        "private or ephemeral",
        49152,
        65535,
        "not assigned to services: the system picks one for each outgoing connection",
    ),
)
"""RFC 6335, section 6."""


@dataclass(frozen=True, slots=True)
class PortFacts:
    """Everything known about a port on this machine at this moment."""

    port: int
    range: PortRange
    iana: tuple[Service, ...]
    system: tuple[Service, ...]
    uses: tuple[Use, ...]
    listening: tuple[Listening, ...]
    shadows: tuple[str, ...]
    """A sentence for each listener that hides another."""
    needs_privilege: bool
    """Whether listening needs a privilege that this process lacks."""
    lowest_unprivileged: int
    ephemeral: tuple[int, int] | None
    """The kernel's port range for outgoing connections, or None if unknown."""
    is_ephemeral: bool
    blocked_by_browsers: bool


def gather_facts(port: int, listening: list[Listening] | None = None) -> PortFacts:
    """Gather the facts about a port; `listening`, the sockets of the machine if known, saves a look-up."""
    found = tcp_listeners(port) if listening is None else [one for one in listening if one.port == port]
    ephemeral = ephemeral_range()
    return PortFacts(
        port=port,
        range=range_of(port),
        iana=tuple(registry.iana(port)),
        system=tuple(registry.system(port)),
        uses=tuple(uses.uses(port)),
        listening=tuple(found),
        shadows=tuple(find_shadows(found)),
        needs_privilege=needs_privilege(port),
        lowest_unprivileged=lowest_unprivileged_port(),
        ephemeral=ephemeral,
        is_ephemeral=ephemeral is not None and ephemeral[0] <= port <= ephemeral[1],
        blocked_by_browsers=port in uses.BLOCKED_BY_BROWSERS,
    )


def range_of(port: int) -> PortRange:
    """The port's range (RFC 6335, section 6)."""
    return next(range_ for range_ in RANGES if range_.first <= port <= range_.last)


def ephemeral_range() -> tuple[int, int] | None:
    """The first and the last port that the kernel uses for outgoing connections; None if unknown.

    Linux's default is 32768 to 60999, which is not the dynamic range of RFC 6335.
    """
    try:
        low, high = (_KERNEL / "ip_local_port_range").read_text().split()
    except (OSError, ValueError):
        return None
    return int(low), int(high)


def lowest_unprivileged_port() -> int:
    """The first port that needs no privilege: the kernel's setting, or 1024."""
    try:
        return int((_KERNEL / "ip_unprivileged_port_start").read_text())
    except (OSError, ValueError):
        return 1024


def needs_privilege(port: int) -> bool:
    """Whether listening on the port needs a privilege that this process lacks."""
    return 0 < port < lowest_unprivileged_port() and not _may_bind_low_ports()


def find_shadows(listening: list[Listening]) -> list[str]:
    """A sentence for each pair of listeners that share a port's connections or shadow each other."""
    found = []
    for one, other in combinations(listening, 2):
        if one.port != other.port:
            continue
        if one.family == other.family and one.host == other.host:
            found.append(
                f"Two sockets share {one.place} (SO_REUSEPORT): the kernel distributes connections between "
                f"{one.describe()} and {other.describe()}."
            )
        elif one.family == other.family and one.is_wildcard != other.is_wildcard:
            wild, exact = (one, other) if one.is_wildcard else (other, one)
            found.append(
                f"{exact.place} shadows {wild.place}: connections to {exact.host} go to "
                f"{exact.describe()}, those to other addresses to {wild.describe()}."
            )
        elif one.family != other.family and not _share_a_process(one, other):
            four, six = (one, other) if one.family == "ipv4" else (other, one)
            if four.host in ("127.0.0.1", "0.0.0.0") and six.host in ("::1", "::"):
                found.append(
                    f"“localhost” may resolve to either: ::1 reaches {six.describe()}, "
                    f"127.0.0.1 reaches {four.describe()}."
                )
    return found


def find_by_name(text: str, *, at_most: int = 12) -> list[tuple[int, str, str]]:
    """Ports whose name resembles the text, best match first: (port, name, meaning).

    The order: exact names, prefixes and misspellings (postgrse), parts of names, words of a meaning.
    Among equal matches, common uses come before the system's list, and that before IANA's registry.
    """
    wanted = text.casefold()
    entries = _named()
    names = {name for _, names, _ in entries for name in names}
    close = () if wanted in names else difflib.get_close_matches(wanted, names, n=at_most, cutoff=0.75)
    ranked = [
        (rank, position)
        for position, entry in enumerate(entries)
        if (rank := _likeness(wanted, entry, close)) is not None
    ]
    best: dict[int, tuple[int, str, str]] = {}
    for _, position in sorted(ranked):
        port, entry_names, meaning = entries[position]
        best.setdefault(port, (port, entry_names[0], meaning))
    return list(best.values())[:at_most]


def read_targets(text: str) -> list[int]:
    """The ports of an argument of `webdemo port`: a number, a range (8000-8003) or a name.

    Raises BindTextError, which suggests similar names.
    """
    first, dash, last = text.partition("-")
    if first.isascii() and first.isdigit() and (not dash or (last.isascii() and last.isdigit())):
        low = read_port(first)
        high = read_port(last) if dash else low
        if high < low:
            raise BindTextError(f"The range {low}-{high} runs backwards.", remedy=f"Write {high}-{low}.")
        return list(range(low, high + 1))
    exact = sorted({port for port, names, _ in _named() if text.casefold() in names})
    if exact:
        return exact
    alike = ", ".join(f"{name} ({port})" for port, name, _ in find_by_name(text, at_most=4))
    raise BindTextError(
        f"No port is called {text[:40]!a}.",
        remedy=f"Did you mean {alike}?" if alike else "Give a number, a range such as 8000-8003, or a name.",
    )


@cache
def _named() -> tuple[tuple[int, tuple[str, ...], str], ...]:
    """Every known name, in lower case, common uses first."""
    used = ((use.port, (use.name,), use.meaning) for use in uses.USES)
    listed = (
        (
            service.first,
            tuple(name.casefold() for name in (service.name, *service.aliases)),
            service.description,
        )
        for service in (*registry.system_services(), *registry.iana_services())
        if service.name
    )
    return (*used, *listed)


def _likeness(wanted: str, entry: tuple[int, tuple[str, ...], str], close: Collection[str]) -> int | None:
    _, names, meaning = entry
    if wanted in names:
        return 0
    if any(name.startswith(wanted) or name in close for name in names):
        return 1
    if any(wanted in name for name in names):
        return 2
    return 3 if wanted in meaning.casefold() else None


def _may_bind_low_ports() -> bool:
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return is_root() or not CAN_FORK  # on Windows any user may
    effective = next(line.split()[1] for line in status.splitlines() if line.startswith("CapEff:"))
    return bool(int(effective, 16) >> _CAP_NET_BIND_SERVICE & 1)


def _share_a_process(one: Listening, other: Listening) -> bool:
    if not one.processes or not other.processes:
        return one.user == other.user
    return bool({process.pid for process in one.processes} & {process.pid for process in other.processes})
