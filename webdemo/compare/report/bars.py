"""Positions in the report's bar charts, on a width of 100, with one scale for all bars of a chart.

Throughput is linear from 0; latency is logarithmic, because servers differ by factors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from webdemo.compare.results import Measurement, Speed

WIDTH = 100


@dataclass(frozen=True, slots=True)
class Rate:
    """A bar for the median, and the interval on it."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Latency:
    """The positions of the 50th, 90th and 99th percentiles."""

    p50: float
    p90: float
    p99: float


@dataclass(frozen=True, slots=True)
class Chart:
    rate: Rate
    latency: Latency | None  # None: there was no response


def charts(speed: Speed) -> dict[Measurement, Chart]:
    """The chart of each measurement. All cases share one latency scale; each has its own throughput scale."""
    floor, top = (math.log10(edge) for edge in latency_scale(speed))
    fastest: dict[tuple[str, int], float] = {}
    for m in speed.measurements:
        fastest[m.load] = max(fastest.get(m.load, 1.0), m.requests_per_second.high)

    def chart(m: Measurement) -> Chart:
        def along(rate: float) -> float:
            return rate / fastest[m.load] * WIDTH

        def far(ms: float) -> float:
            return (math.log10(ms) - floor) / (top - floor) * WIDTH

        rate = m.requests_per_second
        has_responses = m.p50_ms.value > 0
        return Chart(
            Rate(along(rate.value), along(rate.low), along(rate.high)),
            Latency(far(m.p50_ms.value), far(m.p90_ms.value), far(m.p99_ms.value)) if has_responses else None,
        )

    return {m: chart(m) for m in speed.measurements}


def latency_scale(speed: Speed) -> tuple[float, float]:
    """The milliseconds at the edges of a latency box: powers of ten that enclose all values."""
    measured = [m for m in speed.measurements if m.p50_ms.value]
    least = min((m.p50_ms.value for m in measured), default=1.0)
    most = max((m.p99_ms.value for m in measured), default=1.0)
    floor = math.floor(math.log10(least))
    return 10.0**floor, 10.0 ** max(math.ceil(math.log10(most)), floor + 1)
