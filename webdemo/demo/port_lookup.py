"""Lookups for the pages about ports: searches, known names, and public facts.

The rule: nothing here looks up who listens; callers pass that in if the visitor may see it. Public facts are
the same on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence
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
"""The most ports that one search shows."""
LAST_PORT = RANGES[-1].last
# The facts about a port that say nothing about this machine.
_PUBLIC_FACTS = ("port", "range", "iana", "uses", "blocked_by_browsers")


@dataclass(frozen=True, slots=True)
class Found:
    port: int
    name: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Search:
    """The ports that a text means, best first. `problem` says why there are none, or that more exist."""

    text: str
    found: tuple[Found, ...]
    problem: str
    span: tuple[int, int] | None
    """The first and last port to mark on the line: a range, or the best match twice; None without a match."""
    is_exact: bool
    """True for a port number, a range, or an exact name; False if the ports found are only similar."""


@dataclass(frozen=True, slots=True)
class RangeUses:
    """One of RFC 6335's ranges, with commonly used ports in it."""

    range: PortRange
    uses: tuple[Use, ...]


def search(text: str) -> Search:
    """Look up a number, a range (8000-8003), a name, or a word of a description."""
    alike = tuple(Found(*match) for match in find_by_name(text)) if is_name(text) else ()
    try:
        ports = read_targets(text)
    except BindTextError as exc:
        span = (alike[0].port, alike[0].port) if alike else None
        return Search(text, alike, f"{exc.problem} {exc.remedy}", span, is_exact=False)
    found = tuple(describe(port) for port in ports[:MOST_FOUND])
    if is_name(text):  # exact names first, then similar ones
        more = tuple(one for one in alike if one.port not in ports)
        return Search(text, found + more, "", (ports[0], ports[0]), is_exact=True)
    cut = f"These are the first {MOST_FOUND} of {len(ports)} ports." if len(ports) > MOST_FOUND else ""
    return Search(text, found, cut, (ports[0], ports[-1]), is_exact=True)


def is_name(text: str) -> bool:
    """Whether the text is neither a number nor a range of numbers."""
    return not text.replace("-", "").isdigit()


def describe(port: int) -> Found:
    """The port with its best name: common use comes before the system's list, and that before IANA's."""
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
    """The line of all ports, ready for JSON: ranges, all known names, and the listeners given."""
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
    """The previous and the next port number; None beyond the ends."""
    return port - 1 if port else None, port + 1 if port < LAST_PORT else None


def public_facts(port: int) -> dict[str, Any]:
    """The facts about a port that any client may see, ready for JSON."""
    facts = asdict(gather_facts(port, []))
    return {name: facts[name] for name in _PUBLIC_FACTS}
