"""The ranking of the servers in each load case, for the terminal and the page."""

from __future__ import annotations

from dataclasses import dataclass

from webdemo.compare.report import wording
from webdemo.compare.results import Measurement, Speed


@dataclass(frozen=True, slots=True)
class Standing:
    measurement: Measurement
    words: str  # its throughput compared with the best of the case


@dataclass(frozen=True, slots=True)
class CaseStandings:
    title: str
    rows: tuple[Standing, ...]  # the most requests first


def standings(speed: Speed) -> tuple[CaseStandings, ...]:
    """The rankings, in the order in which the cases were measured."""
    ratios = {(ratio.server, ratio.case, ratio.connections): ratio for ratio in speed.ratios}
    found = []
    for case in dict.fromkeys((m.case, m.connections) for m in speed.measurements):
        own = [m for m in speed.measurements if (m.case, m.connections) == case]
        own.sort(key=lambda m: m.requests_per_second.value, reverse=True)
        rows = [
            Standing(m, wording.standing(ratios.get((m.server, *case)), m, is_best=m is own[0])) for m in own
        ]
        found.append(CaseStandings(wording.case_title(own[0]), tuple(rows)))
    return tuple(found)
