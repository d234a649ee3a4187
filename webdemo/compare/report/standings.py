"""The ranking of the servers in each load case, and their places in the page's bar charts."""

from __future__ import annotations

import math
from typing import NamedTuple

from webdemo.compare.report import wording
from webdemo.compare.results import Measurement, Speed

WIDTH = 100  # of a chart


class Standing(NamedTuple):
    """A server in a case. `rate` and `latency` are positions in the charts."""

    measurement: Measurement
    words: str  # its throughput compared with the best of the case
    rate: tuple[float, ...]  # the median and its interval, linear from 0, with a scale for each case
    latency: tuple[float, ...]  # p50, p90 and p99 on one scale for all cases; empty without responses


class CaseStandings(NamedTuple):
    title: str
    rows: tuple[Standing, ...]  # the most requests first


def standings(speed: Speed) -> tuple[CaseStandings, ...]:
    """The rankings, in the order in which the cases were measured."""
    ratios = {(ratio.server, ratio.load): ratio for ratio in speed.ratios}
    floor, top = map(math.log10, latency_scale(speed))

    def standing(m: Measurement, best: Measurement, most: float) -> Standing:
        latencies = (m.p50_ms.value, m.p90_ms.value, m.p99_ms.value) if m.p50_ms.value else ()
        return Standing(
            m,
            wording.standing(ratios.get((m.server, m.load)), m, is_best=m is best),
            tuple(rate / most * WIDTH for rate in m.requests_per_second[:3]),
            tuple((math.log10(ms) - floor) / (top - floor) * WIDTH for ms in latencies),
        )

    found = []
    for load in dict.fromkeys(m.load for m in speed.measurements):
        own = [m for m in speed.measurements if m.load == load]
        own.sort(key=lambda m: m.requests_per_second.value, reverse=True)
        most = max(1.0, *(m.requests_per_second.high for m in own))
        rows = tuple(standing(m, own[0], most) for m in own)
        found.append(CaseStandings(wording.case_title(own[0]), rows))
    return tuple(found)


def latency_scale(speed: Speed) -> tuple[float, float]:
    """The milliseconds at the edges of a latency chart: powers of ten that enclose all values."""
    measured = [m for m in speed.measurements if m.p50_ms.value]
    least = min((m.p50_ms.value for m in measured), default=1.0)
    most = max((m.p99_ms.value for m in measured), default=1.0)
    floor = math.floor(math.log10(least))
    return 10.0**floor, 10.0 ** max(math.ceil(math.log10(most)), floor + 1)
