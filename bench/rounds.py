"""Interleaved rounds: whatever disturbs the machine for a while affects all contestants equally."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from webdemo.compare.speed import intervals


@dataclass(frozen=True, slots=True)
class Sample:
    """One contestant's values, one per round."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def minimum(self) -> float:
        return min(self.values)

    @property
    def uncertainty(self) -> float:
        """How far the 95 % confidence interval of the median reaches, as a share of the median."""
        found = intervals.figure(self.values)
        return max(found.high - found.value, found.value - found.low) / found.value if found.value else 0.0

    def ratio_to(self, other: Sample) -> Sample:
        """The ratios, round by round."""
        return Sample(tuple(mine / theirs for mine, theirs in zip(self.values, other.values, strict=True)))


def interleave(count: int, measures: Mapping[str, Callable[[], float]]) -> dict[str, Sample]:
    """Call each measure once per round, in an order that changes from round to round."""
    names = list(measures)
    values: dict[str, list[float]] = {name: [] for name in names}
    for number in range(count):
        for name in intervals.order_in_round(names, number):
            values[name].append(measures[name]())
    return {name: Sample(tuple(found)) for name, found in values.items()}
