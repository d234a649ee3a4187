"""The answer of a comparison: does the app behave the same everywhere, and which server should run it?

The rule: it says only what was seen. A server is chosen by elimination, each step with its reason, and how
sure the choice is follows from what was measured. docs/compare.md lists every step and every hint.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class Choice:
    """Which server to choose; none if the results favour none."""

    server: str | None
    why: str
    sure: str  # how sure that is, and why
    not_chosen: str = ""  # the servers with a reason against them, and the reason


@dataclass(frozen=True, slots=True)
class Answer:
    same: bool | None  # None: the app's own paths were not compared on two servers or more
    says: str  # does the app behave the same
    differences: tuple[Difference, ...]  # of the app's own paths, without the accepted ones
    cause: str  # of the differences, as far as it is known
    meaning: str  # of the differences, for the app
    problems: tuple[str, ...]  # of servers that were not compared, or did not keep running
    choice: Choice
    quirks: str  # how the servers themselves did in the probes
    hints: tuple[tuple[str, str], ...]  # the name of a rule, and what follows from it


def answer(comparison: Comparison, accepted: Collection[Finding] = ()) -> Answer:
    up = [server for server in comparison.servers if server.state == "up"]
    problems: dict[str, list[str]] = {}
    for server in comparison.servers:
        if server.problem:
            state = f" ({server.state})" if server.state != "up" else ""
            problems.setdefault(f"{state}: {server.problem}", []).append(server.label)
    own = rows.differences(comparison, "app", leave_out=accepted)
    same, says = _same(comparison, up, own, bool(accepted))
    return Answer(
        same,
        says,
        own,
        *_cause_and_meaning(own, up),
        tuple(f"{wording.listed(labels)}{problem}" for problem, labels in problems.items()),
        _choice(comparison, up, [one for one in own if not _fails_everywhere(one, up)]),
        _quirks(comparison, up),
        tuple((hint.name, text) for hint in HINTS for text in hint.sentences(comparison)),
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
    against: dict[str, str] = {}
    fewest = min((wrong[s.label] for s in up if s.name not in DEVELOPMENT), default=0)
    for server in up:
        label = server.label
        if server.name in DEVELOPMENT:
            against[label] = "made for development"
        elif differing := [one.probe.name for one in own if label in one.labels]:
            against[label] = f"differs on {wording.listed(differing)}"
        elif server.problem:
            against[label] = "did not keep running"
        elif wrong[label] > fewest + MORE_WRONG:
            against[label] = f"{wrong[label]} wrong responses, where the best has {fewest}"
        elif any(m.errors for m in _measured(comparison, TYPICAL) if m.server == label):
            against[label] = "errors under load"
    left = [server.label for server in up if server.label not in against]
    if not left:
        why = "None of those that ran can be recommended." if up else "No server ran."
        return Choice(None, why, "", _not_chosen(against))
    chosen, why = _best_of(comparison, left, wrong)
    return Choice(chosen, why, _sure(comparison), _not_chosen(against))


def _not_chosen(against: dict[str, str]) -> str:
    groups: dict[str, list[str]] = {}
    for label, why in against.items():
        groups.setdefault(why, []).append(label)
    return "; ".join(f"{wording.listed(labels)} ({why})" for why, labels in groups.items()) + "." * bool(
        groups
    )


def _best_of(comparison: Comparison, left: list[str], wrong: dict[str, int]) -> tuple[str | None, str]:
    """The best of the servers with no reason against them, and why; None if none is better."""
    measured = {m.server: m for m in _measured(comparison, TYPICAL) if m.server in left}
    if len(left) == 1:
        return left[0], "It is the only server with no reason against it."
    probes = len(wording.probes_of(comparison, "server"))
    if not measured:
        fewest = min(wrong[label] for label in left)
        best = [label for label in left if wrong[label] == fewest]
        if len(best) == 1:
            return best[0], f"It has the fewest wrong responses ({fewest} of {probes})."
        return None, f"The results favour none of {wording.listed(best)}."
    leaders = _leaders(comparison, measured)
    blocked = _blocked(comparison)
    unblocked = [label for label in leaders if label not in blocked]

    def merits(label: str) -> tuple[int, float]:
        memory = measured[label].memory_bytes
        return wrong[label], memory.value if memory else 0.0

    chosen = min(unblocked or leaders, key=merits)
    others = [label for label in leaders if label != chosen]
    reasons = [f"{wording.count(measured[chosen].requests_per_second.value)} requests/s"]
    if unblocked and blocked.intersection(others):
        reasons.append("slow clients do not block it")
    if probes:
        reasons.append(f"{wrong[chosen]} of {probes} HTTP and WSGI probes answered wrongly")
    if memory := measured[chosen].memory_bytes:
        reasons.append(f"{wording.megabytes(memory)} of memory")
    why = ", ".join(reasons) + "."
    return chosen, f"{why} As fast, within what was measured: {wording.listed(others)}." if others else why


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
    counts = _wrong(comparison, up)
    right = len(probes) - len(rows.differences(comparison, "server"))
    text = f"{right} of {len(probes)} HTTP and WSGI probes are answered correctly by every server that ran"
    worst, fewest = max(counts.values()), min(counts.values())
    if worst == fewest:
        return f"{text}."
    most = wording.listed([label for label, number in counts.items() if number == worst])
    least = wording.listed([label for label, number in counts.items() if number == fewest])
    return f"{text}. Wrong responses: the fewest from {least} ({fewest}), the most from {most} ({worst})."


# -- what the figures say ------------------------------------------------------------------------------


def _measured(comparison: Comparison, case: Case) -> list[Measurement]:
    return [m for m in comparison.measurements if m.load == (case.name, case.connections)]


def _leaders(comparison: Comparison, measured: dict[str, Measurement]) -> list[str]:
    """Of these servers the fastest, first, and those that do not differ significantly from it.

    Each is known as a ratio to the fastest of all, so two differ if the intervals of their ratios do.
    """
    ratios = {
        ratio.server: ratio
        for ratio in (comparison.speed.ratios if comparison.speed else ())
        if (ratio.case, ratio.connections) == (TYPICAL.name, TYPICAL.connections)
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


# -- hints: each has a rule, and is left out if its condition does not hold -----------------------------


@dataclass(frozen=True, slots=True)
class Hint:
    name: str
    condition: str
    sentences: Callable[[Comparison], Iterator[str]]


def _app_decides(comparison: Comparison) -> Iterator[str]:
    costs = [m.cpu_us_per_request.value for m in _measured(comparison, TYPICAL) if m.cpu_us_per_request]
    if len(costs) > 1 and max(costs) <= AS_MUCH * min(costs):
        yield (
            "A request costs about the same processor time on every server: the app itself determines the "
            "speed, and making it faster helps more than another server."
        )


def _slow_clients(comparison: Comparison) -> Iterator[str]:
    if blocked := _blocked(comparison):
        yield (
            f"Slow clients block {wording.listed(sorted(blocked))}: put a proxy in front that reads the "
            "whole request before it forwards it, or choose another."
        )


def _lost(comparison: Comparison) -> Iterator[str]:
    lifecycles = comparison.speed.lifecycles if comparison.speed else ()
    if lost := [f"{one.server} ({one.lost_at_stop})" for one in lifecycles if one.lost_at_stop]:
        yield (
            f"Requests were lost at a stop on {wording.listed(lost)}: their connections had not been "
            "accepted. Remove the server from the proxy before you stop it, or swap it for a new one instead."
        )


def _errors(comparison: Comparison) -> Iterator[str]:
    for m in comparison.measurements:
        if m.errors:
            yield (
                f"{m.server} had {m.errors} errors with {wording.case_title(m)}: "
                "those figures are less reliable."
            )


def _client_limit(comparison: Comparison) -> Iterator[str]:
    if limited := sorted({m.server for m in comparison.measurements if m.limited_by == "client"}):
        yield (
            f"For {wording.listed(limited)} the load generator was the limit: the server can do more "
            "than these figures say."
        )


HINTS = (
    Hint(
        "the app decides",
        f"The processor time for a request differs by at most {AS_MUCH - 1:.0%} between all servers.",
        _app_decides,
    ),
    Hint(
        "slow clients",
        f"With slow clients a server serves less than {BLOCKED:.0%} of the requests that it serves without.",
        _slow_clients,
    ),
    Hint("lost at stop", "Requests in flight at a stop got no response.", _lost),
    Hint("errors", "Under load there were failed connections or error responses.", _errors),
    Hint(
        "client was the limit",
        "The load generator’s processor was busy for 85 % of the time or more.",
        _client_limit,
    ),
)
