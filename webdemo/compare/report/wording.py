"""Formats figures as text, the same for the terminal, the page and the advice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from webdemo.compare.results import Comparison, Figure, Finding, Measurement, Probe, Ratio, Speed
from webdemo.compare.speed.cases import SLOW_COUNT, STEADY
from webdemo.text import format_duration, format_size

T = TypeVar("T")

NONE = "–"


def count(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 or not value else f"{value:.1f}"


def milliseconds(value: float) -> str:
    """Format a latency; 0 means that there was no response."""
    return format_duration(value / 1000) if value else NONE


def seconds(figure: Figure | None) -> str:
    return milliseconds(figure.value * 1000) if figure else NONE


def microseconds(figure: Figure | None) -> str:
    return format_duration(figure.value / 1e6) if figure else NONE


def megabytes(figure: Figure | None) -> str:
    return format_size(figure.value) if figure else NONE


def span(figure: Figure) -> str:
    return f"{count(figure.low)} to {count(figure.high)}"


def case_title(measurement: Measurement) -> str:
    connections = counted(measurement.connections, "connection")
    return (
        connections
        if measurement.case == STEADY
        else f"{connections}, beside {SLOW_COUNT} {measurement.case}"
    )


def standing(ratio: Ratio | None, measurement: Measurement, *, is_best: bool) -> str:
    """The throughput in words, compared with the best of the case."""
    if not measurement.requests_per_second.value:
        return "no responses"
    if is_best:
        return "fastest"
    if ratio is None:
        return "too uneven to tell"
    if not ratio.is_significant:
        return "no significant difference"
    return f"{ratio.ratio.value:.0%} of {ratio.against} ({ratio.ratio.low:.0%} to {ratio.ratio.high:.0%})"


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def probes_of(comparison: Comparison, layer: str) -> list[Probe]:
    return [probe for probe in comparison.probes if probe.layer == layer]


def listed(names: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]])) if names else "none"


def grouped(pairs: Iterable[tuple[str, T]]) -> list[tuple[str, T]]:
    """Names, each with something said of it; those of which the same is said are listed together."""
    groups: dict[T, list[str]] = {}
    for name, said in pairs:
        groups.setdefault(said, []).append(name)
    return [(listed(names), said) for said, names in groups.items()]


def heading(title: str) -> str:
    """The title with a capital first letter, unless it begins with an identifier: `wsgi.input_terminated`."""
    first = title.partition(" ")[0]
    return title if "." in first or "_" in first else title[:1].upper() + title[1:]


def said(finding: Finding) -> str:
    """What the server did, without the leading server name."""
    return (finding.what or finding.evidence).removeprefix(f"{finding.server} ")


def method(speed: Speed) -> str:
    """A description of how the figures were measured."""
    rounds = max((m.requests_per_second.rounds for m in speed.measurements), default=0)
    return (
        f"{rounds} interleaved rounds of {speed.seconds_per_round:g} s for each server and case. "
        "A figure is the median of its rounds; the interval holds the true one with 95 % confidence."
    )
