"""Interleaved rounds: whatever disturbs the machine for a while affects all contestants equally."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass


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
    def spread(self) -> float:
        """Half the interquartile range, as a share of the median."""
        if len(self.values) < 2 or not self.median:
            return 0.0
        low, _, high = statistics.quantiles(self.values, n=4)
        return (high - low) / 2 / self.median

    def ratio_to(self, other: Sample) -> Sample:
        """The ratios, round by round."""
        return Sample(tuple(mine / theirs for mine, theirs in zip(self.values, other.values, strict=True)))


def interleave(count: int, measures: Mapping[str, Callable[[], float]]) -> dict[str, Sample]:
    """Call each measure once per round, in an order that rotates from round to round."""
    names = list(measures)
    values: dict[str, list[float]] = {name: [] for name in names}
    for number in range(count):
        first = number % len(names) if names else 0
        for name in names[first:] + names[:first]:
            values[name].append(measures[name]())
    return {name: Sample(tuple(found)) for name, found in values.items()}
