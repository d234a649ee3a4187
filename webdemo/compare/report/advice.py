"""Advice in plain words, each piece derived from a stated rule.

A rule is data: its name, its condition in words (docs/compare.md lists them all), and a function that yields
sentences about a comparison, or nothing if the condition does not hold. There is no advice without a rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from webdemo.compare.report import wording
from webdemo.compare.results import Comparison, Measurement
from webdemo.compare.speed.cases import SLOW, TYPICAL, Case

# Not for production, by their own documentation.
DEVELOPMENT = ("werkzeug", "wsgiref")
# A server is blocked by slow clients if its throughput drops below this share.
BLOCKED = 0.2
# A spread above this share of the median exceeds the machine's usual noise.
UNEVEN = 0.5
# Costs per request whose ratio is below this count as equal.
AS_MUCH = 1.25


@dataclass(frozen=True, slots=True)
class Rule:
    name: str
    condition: str
    sentences: Callable[[Comparison], Iterator[str]]


@dataclass(frozen=True, slots=True)
class Advice:
    rule: str
    text: str


def advise(comparison: Comparison) -> tuple[Advice, ...]:
    """The advice of all rules, in their order."""
    return tuple(Advice(rule.name, text) for rule in RULES for text in rule.sentences(comparison))


def _not_up(comparison: Comparison) -> Iterator[str]:
    for server in comparison.servers:
        if server.state != "up":
            yield f"{server.label} could not be compared ({server.state}): {server.problem}"


def _app_differs(comparison: Comparison) -> Iterator[str]:
    paths = {probe.name for probe in comparison.probes if probe.layer == "app"}
    found = [finding for finding in comparison.findings if finding.probe in paths and finding.differs]
    if found:
        servers = sorted({finding.server for finding in found})
        up = sorted(server.label for server in comparison.servers if server.state == "up")
        where = "on each server" if servers == up and len(up) > 1 else f"on {wording.listed(servers)}"
        requests = sorted({finding.probe for finding in found})
        yield (
            f"Your app responds differently to {wording.listed(requests)} {where}. "
            f"Review {'these' if len(found) > 1 else 'this'} before you change servers."
        )
    elif paths:
        yield "Your app’s own paths get the same response on every server that ran."


def _wrong(comparison: Comparison) -> Iterator[str]:
    counts = {server.label: 0 for server in comparison.servers if server.state == "up"}
    for finding in comparison.findings:
        if finding.server in counts and finding.verdict in ("wrong", "dropped", "hung"):
            counts[finding.server] += 1
    if len(set(counts.values())) < 2:
        return
    fewest, most = min(counts.values()), max(counts.values())
    best = [label for label, number in counts.items() if number == fewest]
    worst = [label for label, number in counts.items() if number == most]
    yield (
        f"The fewest wrong responses come from {wording.listed(best)} ({fewest}), "
        f"the most from {wording.listed(worst)} ({most})."
    )


def _fastest(comparison: Comparison) -> Iterator[str]:
    leaders = _leaders(comparison)
    if len(leaders) == 1:
        yield (
            f"{leaders[0]} serves the most requests of this app on this machine, by more than two "
            "measurements of the same server differ."
        )


def _no_fastest(comparison: Comparison) -> Iterator[str]:
    leaders = _leaders(comparison)
    if len(leaders) > 1:
        yield (
            f"No significant difference in throughput between {wording.listed(leaders)}: "
            "choose by other criteria."
        )


def _least_memory(comparison: Comparison) -> Iterator[str]:
    leaders = _leaders(comparison)
    memory = {
        m.server: m.memory_bytes
        for m in _measured(comparison, TYPICAL)
        if m.server in leaders and m.memory_bytes is not None
    }
    if len(memory) > 1:
        least = min(memory, key=lambda label: memory[label].value)
        if all(memory[least].high < other.low for label, other in memory.items() if label != least):
            amount = wording.megabytes(memory[least])
            yield f"Of {wording.listed(leaders)}, {least} needs the least memory ({amount})."


def _app_decides(comparison: Comparison) -> Iterator[str]:
    costs = [m.cpu_us_per_request.value for m in _measured(comparison, TYPICAL) if m.cpu_us_per_request]
    if len(costs) > 1 and max(costs) <= AS_MUCH * min(costs):
        yield (
            "A request costs about the same processor time on every server: the app itself determines the "
            "speed, and making it faster helps more than another server."
        )


def _development(comparison: Comparison) -> Iterator[str]:
    names = {server.label: server.name for server in comparison.servers}
    found = [label for label in _leaders(comparison) if names.get(label) in DEVELOPMENT]
    if found:
        yield (
            f"{wording.listed(found)} keeps up here, but is made for development: it has no limits that "
            "protect it from hostile clients. Do not choose it for production."
        )


def _blocked(comparison: Comparison) -> Iterator[str]:
    usual = {m.server: m.requests_per_second.value for m in _measured(comparison, TYPICAL)}
    slow = {m.server: m.requests_per_second.value for m in _measured(comparison, SLOW)}
    blocked = [label for label in slow if slow[label] < BLOCKED * usual.get(label, 0)]
    if blocked:
        others = [label for label in slow if label not in blocked]
        instead = f", or choose {' or '.join(others)}" if others else ""
        yield (
            f"Slow clients block {wording.listed(blocked)}: put a proxy in front that reads the whole "
            f"request before it forwards it{instead}."
        )


def _lost(comparison: Comparison) -> Iterator[str]:
    lifecycles = comparison.speed.lifecycles if comparison.speed else ()
    lost = [f"{one.server} ({one.lost_at_stop})" for one in lifecycles if one.lost_at_stop]
    if lost:
        yield (
            f"Requests were lost at a stop on {wording.listed(lost)}: their connections had not been "
            "accepted. Remove the server from the proxy before you stop it, or swap it for a new one instead."
        )


def _errors(comparison: Comparison) -> Iterator[str]:
    for m in comparison.measurements:
        if m.errors:
            errors = f"{m.errors} errors with {wording.case_title(m)}"
            yield f"{m.server} had {errors}: those figures are less reliable."


def _client_limit(comparison: Comparison) -> Iterator[str]:
    limited = sorted({m.server for m in comparison.measurements if m.limited_by == "client"})
    if limited:
        yield (
            f"For {wording.listed(limited)} the load generator was the limit: the server can do more "
            "than these figures say."
        )


def _uneven(comparison: Comparison) -> Iterator[str]:
    figures = [m.requests_per_second for m in _measured(comparison, TYPICAL)]
    if any(f.value and (f.high - f.low) / f.value > UNEVEN for f in figures):
        yield "The rounds differ a lot: something else used the machine. Measure again when it is idle."


def _measured(comparison: Comparison, case: Case) -> list[Measurement]:
    return [m for m in comparison.measurements if m.load == (case.name, case.connections)]


def _leaders(comparison: Comparison) -> list[str]:
    """The fastest server in the typical case, and those without a significant difference to it."""
    measured = [m for m in _measured(comparison, TYPICAL) if m.requests_per_second.value]
    if len(measured) < 2 or comparison.speed is None:
        return []
    best = max(measured, key=lambda m: m.requests_per_second.value).server
    as_fast = [
        r.server
        for r in comparison.speed.ratios
        if (r.case, r.connections) == (TYPICAL.name, TYPICAL.connections) and not r.is_significant
    ]
    return [best, *as_fast]


RULES = (
    Rule("not compared", "A server is missing, crashed, or did not respond on startup.", _not_up),
    Rule("app differs", "The app’s own paths were compared: some, or none, differ.", _app_differs),
    Rule("wrong responses", "Servers differ in how many probes are wrong, dropped or hung.", _wrong),
    Rule(
        "fastest",
        f"With {TYPICAL.connections} connections, every other server’s throughput differs significantly.",
        _fastest,
    ),
    Rule(
        "no fastest",
        f"With {TYPICAL.connections} connections, one or more do not differ significantly from the best.",
        _no_fastest,
    ),
    Rule(
        "least memory",
        "Of several that do not differ in throughput, one’s memory lies below every other’s in all rounds.",
        _least_memory,
    ),
    Rule(
        "the app decides",
        f"The processor time for a request differs by at most {AS_MUCH - 1:.0%} between all servers.",
        _app_decides,
    ),
    Rule("for development", f"One of the fastest is {' or '.join(DEVELOPMENT)}.", _development),
    Rule(
        "slow clients",
        f"With slow clients a server serves less than {BLOCKED:.0%} of the requests that it serves without.",
        _blocked,
    ),
    Rule("lost at stop", "Requests in flight at a stop got no response.", _lost),
    Rule("errors", "Under load there were failed connections or error responses.", _errors),
    Rule(
        "client was the limit",
        "The load generator’s processor was busy for 85 % of the time or more.",
        _client_limit,
    ),
    Rule("uneven", f"A server’s rounds are spread over more than {UNEVEN:.0%} of their median.", _uneven),
)
