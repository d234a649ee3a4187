"""What the pages about ports look up: a search, all known names, and the facts that a visitor may see.

The rule: who listens is looked up only when the caller says that the visitor may see it; what anybody
may see is the same on every machine.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from webdemo.errors import BindTextError
from webdemo.net import registry
from webdemo.net.holders import Listening
from webdemo.net.ports import (
    RANGES,
    PortRange,
    find_by_name,
    gather_facts,
    read_targets,
)
from webdemo.net.uses import USES, Use

MOST_FOUND = 64
"""Ports that one search shows."""
LAST_PORT = RANGES[-1].last
# Of what is known about a port, that which says nothing about this machine.
_PUBLIC_FACTS = ("port", "range", "iana", "uses", "blocked_by_browsers")


@dataclass(frozen=True, slots=True)
class Found:
    port: int
    name: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Search:
    """What a text means: ports, the best first. `problem` says why there are none, or more than shown."""

    text: str
    found: tuple[Found, ...]
    problem: str
    span: tuple[int, int] | None
    """Where on the line this is: a whole range, or the best of several names; None when nothing is found."""
    is_exact: bool
    """The text is a port's number, a range, or a name as it is written; otherwise these are like it."""


@dataclass(frozen=True, slots=True)
class RangeUses:
    """One of RFC 6335's ranges, with the ports in it that one is likely to meet."""

    range: PortRange
    uses: tuple[Use, ...]


def search(text: str) -> Search:
    """Look up a number, a range (8000-8003), a name, or a word of a meaning."""
    alike = tuple(Found(*match) for match in find_by_name(text)) if is_name(text) else ()
    try:
        ports = read_targets(text)
    except BindTextError as exc:
        span = (alike[0].port, alike[0].port) if alike else None
        return Search(text, alike, f"{exc.problem} {exc.remedy}", span, is_exact=False)
    found = tuple(describe(port) for port in ports[:MOST_FOUND])
    if is_name(text):  # first the ports that are called so, then those that are alike
        more = tuple(one for one in alike if one.port not in ports)
        return Search(text, found + more, "", (ports[0], ports[0]), is_exact=True)
    cut = f"These are the first {MOST_FOUND} of {len(ports)} ports." if len(ports) > MOST_FOUND else ""
    return Search(text, found, cut, (ports[0], ports[-1]), is_exact=True)


def is_name(text: str) -> bool:
    """Whether the text is neither a number nor a range of numbers."""
    return not text.replace("-", "").isdigit()


def describe(port: int) -> Found:
    """The port with its best name: what is really used beats the system's list, and that IANA's registry."""
    facts = gather_facts(port, [])
    if facts.uses:
        return Found(port, facts.uses[0].name, facts.uses[0].meaning)
    for service in (*facts.system, *facts.iana):
        if service.name:
            return Found(port, service.name, service.description)
    return Found(port, "", facts.iana[0].description if facts.iana else "")


def uses_by_range() -> tuple[RangeUses, ...]:
    return tuple(
        RangeUses(range_, tuple(use for use in USES if range_.first <= use.port <= range_.last))
        for range_ in RANGES
    )


def line_data(listening: Sequence[Listening], ephemeral: tuple[int, int] | None) -> dict[str, Any]:
    """The line of all ports for a program: its ranges, every name that is known, and who listens."""
    names: dict[int, list[str]] = {}
    for service in registry.iana_services():
        if service.name and service.first == service.last:
            known = names.setdefault(service.first, [])
            if service.name not in known:
                known.append(service.name)
    return {
        "ranges": [asdict(range_) for range_ in RANGES],
        "ephemeral": ephemeral,
        "names": names,
        "uses": [asdict(use) for use in USES],
        "listening": [{"port": one.port, "place": one.place, "holder": one.describe()} for one in listening],
    }


def neighbours(port: int) -> tuple[int | None, int | None]:
    """The ports before and after."""
    return port - 1 if port else None, port + 1 if port < LAST_PORT else None


def public_facts(port: int) -> dict[str, Any]:
    """What everybody may know about a port."""
    facts = asdict(gather_facts(port, []))
    return {name: facts[name] for name in _PUBLIC_FACTS}


def holders_by_port(listening: Iterable[Listening]) -> dict[int, list[Listening]]:
    found: dict[int, list[Listening]] = {}
    for one in listening:
        found.setdefault(one.port, []).append(one)
    return found
