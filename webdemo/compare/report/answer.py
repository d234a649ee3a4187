"""The answer of a comparison: does the app behave the same everywhere, and which server should run it?

The rule: it says only what was seen. A server is chosen by elimination, each step with its reason, and how
sure the choice is follows from what was measured. docs/compare.md lists every step and every hint.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from typing import NamedTuple

from webdemo.compare.report import rows, wording
from webdemo.compare.report.rows import Difference
from webdemo.compare.results import Comparison, Figure, Finding, Measurement, Server
from webdemo.compare.speed.cases import SLOW, TYPICAL, Case

# Not for production, by their own documentation.
DEVELOPMENT = ("werkzeug", "wsgiref")
BAD = ("wrong", "dropped", "hung")
# A server with more wrong responses than the best by this number is not chosen.
MORE_WRONG = 5
# A server is blocked by slow clients if its throughput drops below this share.
BLOCKED = 0.2
# A spread above this share of the median exceeds the machine's usual noise.
UNEVEN = 0.5
# Costs per request whose ratio is below this count as equal.
AS_MUCH = 1.25


class Choice(NamedTuple):
    """Which server to choose; none if the results favour none."""

    server: str | None
    why: str
    sure: str  # how sure that is, and why
    not_chosen: str = ""  # all others, each with the reason


class Answer(NamedTuple):
    same: bool | None  # None: the app's own paths were not compared on two servers or more
    says: str  # does the app behave the same
    differences: tuple[Difference, ...]  # of the app's own paths, without the accepted ones
    choice: Choice
    details: tuple[tuple[str, str], ...]  # a question or topic, and what is to be said of it
    hints: tuple[tuple[str, str], ...]  # the name of a rule, and what follows from it


def answer(comparison: Comparison, accepted: Collection[Finding] = ()) -> Answer:
    up = [server for server in comparison.servers if server.state == "up"]
    own = rows.differences(comparison, "app", leave_out=accepted)
    choice = _choice(comparison, up, [one for one in own if not _fails_everywhere(one, up)])
    cause, meaning = _cause_and_meaning(own, up)
    problems = wording.grouped(
        (server.label, f"{'' if server in up else f' ({server.state})'}: {server.problem}")
        for server in comparison.servers
        if server.problem
    )
    details = (
        ("Why?", cause),
        ("What does it mean?", meaning),
        *(("Problem:", f"{labels}{problem}") for labels, problem in problems),
        ("Which server?", f"{choice.server}. {choice.why}" if choice.server else choice.why),
        ("Not chosen:", choice.not_chosen),
        ("How sure is that?", choice.sure),
        ("The servers themselves:", _quirks(comparison, up)),
    )
    return Answer(
        *_same(comparison, up, own, bool(accepted)),
        own,
        choice,
        tuple(detail for detail in details if detail[1]),
        tuple(_hints(comparison)),
    )


# -- does the app behave the same ---------------------------------------------------------------------


def _same(
    comparison: Comparison, up: list[Server], own: tuple[Difference, ...], has_accepted: bool
) -> tuple[bool | None, str]:
    requests = wording.probes_of(comparison, "app")
    total = len(requests)
    if not total:
        return None, "Not compared: only speed was measured."
    if not up:
        return None, "Not compared: no server ran it."
    if failing := [one for one in own if _fails_everywhere(one, up)]:
        names = wording.listed([one.probe.name for one in failing])
        return False, f"No: {names} {'fails' if len(failing) == 1 else 'fail'} on every server."
    if own:
        which = f"{len(own)} of {total} requests" if total > 1 else own[0].probe.name
        return False, f"No: {which} {'gets' if len(own) == 1 else 'get'} different responses."
    if len(up) == 1:
        return None, f"Only {up[0].label} ran: there is nothing to compare it with."
    what = f"all {total} requests get" if total > 1 else f"{requests[0].name} gets"
    unless = ", apart from accepted differences" if has_accepted else ""
    return True, f"Yes: {what} the same response on {wording.counted(len(up), 'server')}{unless}."


def _fails_everywhere(difference: Difference, up: list[Server]) -> bool:
    return len(difference.labels) == len(up) and difference.has_failed


def _cause_and_meaning(own: tuple[Difference, ...], up: list[Server]) -> tuple[str, str]:
    if not own:
        return "", ""
    if all(_fails_everywhere(one, up) for one in own):
        return "It is the app that fails, not a server.", "No user gets a response to it."
    return _cause(own), f"{own[0].groups[0][0].meaning} Review it before you change servers."


def _cause(own: tuple[Difference, ...]) -> str:
    known = {finding.who_is_right.partition(" See ")[2] for one in own for finding in one.findings}
    if known := known - {""}:
        return f"Known of these servers, whatever the app: {' '.join(sorted(known))}"
    return (
        "No known behaviour of these servers explains it: look for what the app takes from the server "
        "(SERVER_SOFTWARE, threads, processes)."
    )


# -- which server -------------------------------------------------------------------------------------


def _choice(comparison: Comparison, up: list[Server], own: list[Difference]) -> Choice:
    wrong = _wrong(comparison, up)
    fewest = min((wrong[s.label] for s in up if s.name not in DEVELOPMENT), default=0)
    failing = {m.server for m in _measured(comparison, TYPICAL) if m.errors}

    def objection(server: Server) -> str:
        label = server.label
        differing = [one.probe.name for one in own if label in one.labels]
        if server.name in DEVELOPMENT:
            return "made for development"
        if differing:
            return f"differs on {wording.listed(differing)}"
        if server.problem:
            return "did not keep running"
        if wrong[label] > fewest + MORE_WRONG:
            return f"{wrong[label]} wrong responses, where the best has {fewest}"
        return "errors under load" if label in failing else ""

    against = {server.label: objection(server) for server in up}
    chosen, why, sure = None, "No server ran.", ""
    if left := [label for label, objected in against.items() if not objected]:
        chosen, why, worse = _best_of(comparison, left, wrong)
        against |= worse
        sure = _sure(comparison)
    elif up:
        why = "There is something against each of those that ran."
    groups = wording.grouped(item for item in against.items() if item[1])
    not_chosen = "; ".join(f"{labels} ({why})" for labels, why in groups)
    return Choice(chosen, why, sure, not_chosen and f"{not_chosen}.")


def _best_of(
    comparison: Comparison, left: list[str], wrong: dict[str, int]
) -> tuple[str | None, str, dict[str, str]]:
    """The best of these servers, why, and why not each of the others; None if none is better."""
    measured = {m.server: m for m in _measured(comparison, TYPICAL) if m.server in left}
    leaders = _leaders(comparison, measured) if measured else left
    blocked = _blocked(comparison)

    def drawbacks(label: str) -> list[tuple[float, str]]:
        """Each as a number to compare, and in words; the most important first."""
        m = measured.get(label)
        if m is None and measured:
            return [(math.inf, "not measured")]
        if m is None:
            return [(wrong[label], f"{wrong[label]} wrong responses")]
        rate, memory = m.requests_per_second.value, m.memory_bytes
        return [
            (label not in leaders, f"slower, {wording.count(rate)} requests/s"),
            (label in blocked, "as fast, but slow clients block it"),
            (wrong[label], f"as fast, but {wrong[label]} wrong responses"),
            (memory.value if memory else math.inf, f"as fast, but {wording.megabytes(memory)} of memory"),
            (-rate, f"as fast within what was measured, {wording.count(rate)} requests/s"),
        ]

    found = {label: drawbacks(label) for label in left}
    chosen = min(left, key=lambda label: [number for number, _ in found[label]])
    others = {
        label: next(
            (why for (best, _), (own, why) in zip(found[chosen], its, strict=False) if own > best), ""
        )
        for label, its in found.items()
        if label != chosen
    }
    if alike := [label for label, why in others.items() if not why]:
        return None, f"The results favour none of {wording.listed([chosen, *alike])}.", others
    facts = []
    if probes := wording.probes_of(comparison, "server"):
        facts.append(f"{wrong[chosen]} of {len(probes)} probes answered wrongly")
    lead = "Of the servers with nothing against them, it does best"
    if m := measured.get(chosen):
        lead = "Of the servers with nothing against them, none is measurably faster"
        rate = wording.count(m.requests_per_second.value)
        facts.insert(0, f"{rate} requests/s with {TYPICAL.connections} connections")
        if m.memory_bytes:
            facts.append(f"{wording.megabytes(m.memory_bytes)} of memory")
    if len(left) == 1:
        lead = "It is the only server with nothing against it"
    return chosen, f"{': '.join(filter(None, [lead, ', '.join(facts)]))}.", others


def _sure(comparison: Comparison) -> str:
    """How sure the choice is, from the figures in the typical case."""
    measured = _measured(comparison, TYPICAL)
    if not measured:
        return "By behaviour alone: speed was not measured."
    if any(_is_uneven(m.requests_per_second) for m in measured):
        return "Not very: the rounds differ a lot. Measure again when nothing else uses the machine."
    if any(m.limited_by == "client" for m in measured):
        return "Fairly: the load generator was the limit for some, which are faster than measured."
    return "Sure, for this app on this machine: the rounds agree."


def _wrong(comparison: Comparison, up: Collection[Server]) -> dict[str, int]:
    """The number of probes of the server itself with a wrong response or none, by server."""
    probes = {probe.name for probe in wording.probes_of(comparison, "server")}
    counts = {server.label: 0 for server in up}
    for finding in comparison.findings:
        if finding.server in counts and finding.probe in probes and finding.verdict in BAD:
            counts[finding.server] += 1
    return counts


def _quirks(comparison: Comparison, up: list[Server]) -> str:
    probes = wording.probes_of(comparison, "server")
    if not probes or not up:
        return ""
    wrong = sorted(_wrong(comparison, up).items(), key=lambda item: item[1])
    counts = "; ".join(f"{count} by {labels}" for labels, count in wording.grouped(wrong))
    return f"Of {len(probes)} HTTP and WSGI probes, answered wrongly or not at all: {counts}."


# -- what the figures say ------------------------------------------------------------------------------


def _measured(comparison: Comparison, case: Case) -> list[Measurement]:
    return [m for m in comparison.measurements if m.load == case]


def _leaders(comparison: Comparison, measured: dict[str, Measurement]) -> list[str]:
    """Of these servers the fastest, first, and those that do not differ significantly from it.

    Each is known as a ratio to the fastest of all, so two differ if the intervals of their ratios do.
    """
    ratios = {
        ratio.server: ratio
        for ratio in (comparison.speed.ratios if comparison.speed else ())
        if ratio.load == TYPICAL
    }
    order = sorted(measured, key=lambda label: measured[label].requests_per_second.value, reverse=True)
    best = ratios.get(order[0])
    as_fast = [
        label
        for label in order[1:]
        if (own := ratios.get(label))
        and (own.ratio.high >= best.ratio.low if best else not own.is_significant)
    ]
    return [order[0], *as_fast]


def _blocked(comparison: Comparison) -> set[str]:
    """The servers that slow clients block."""
    usual = {m.server: m.requests_per_second.value for m in _measured(comparison, TYPICAL)}
    slow = {m.server: m.requests_per_second.value for m in _measured(comparison, SLOW)}
    return {label for label in slow if slow[label] < BLOCKED * usual.get(label, 0)}


def _is_uneven(figure: Figure) -> bool:
    return bool(figure.value) and (figure.high - figure.low) / figure.value > UNEVEN


# -- hints ----------------------------------------------------------------------------------------------

HINTS = {
    "the app decides": (
        f"The processor time for a request differs by at most {AS_MUCH - 1:.0%} between all servers."
    ),
    "slow clients": (
        f"With slow clients a server serves less than {BLOCKED:.0%} of the requests that it serves without."
    ),
    "lost at stop": "Requests in flight at a stop got no response.",
    "errors": "Under load there were failed connections or error responses.",
    "client was the limit": "The load generator’s processor was busy for 85 % of the time or more.",
}
"""When each hint is given."""


def _hints(comparison: Comparison) -> Iterator[tuple[str, str]]:
    costs = [m.cpu_us_per_request.value for m in _measured(comparison, TYPICAL) if m.cpu_us_per_request]
    if len(costs) > 1 and max(costs) <= AS_MUCH * min(costs):
        yield (
            "the app decides",
            "A request costs about the same processor time on every server: the app itself determines the "
            "speed, and making it faster helps more than another server.",
        )
    if blocked := _blocked(comparison):
        yield (
            "slow clients",
            f"Slow clients block {wording.listed(sorted(blocked))}: put a proxy in front that reads the "
            "whole request before it forwards it, or choose another.",
        )
    lifecycles = comparison.speed.lifecycles if comparison.speed else ()
    if lost := [f"{one.server} ({one.lost_at_stop})" for one in lifecycles if one.lost_at_stop]:
        yield (
            "lost at stop",
            f"Requests were lost at a stop on {wording.listed(lost)}: their connections had not been "
            "accepted. Remove the server from the proxy before you stop it, or swap it for a new one.",
        )
    for m in comparison.measurements:
        if m.errors:
            yield (
                "errors",
                f"{m.server} had {m.errors} errors with {wording.case_title(m)}: "
                "those figures are less reliable.",
            )
    if limited := sorted({m.server for m in comparison.measurements if m.limited_by == "client"}):
        yield (
            "client was the limit",
            f"For {wording.listed(limited)} the load generator was the limit: the server can do more "
            "than these figures say.",
        )
