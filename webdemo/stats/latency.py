"""Latency histograms with exponential buckets. Runs wherever requests are counted or counts are read.

There are 40 buckets per decade, from 1 µs to 100 s: the relative error of a duration is at most 3 %, and
the counts of several processes can be added.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

_DECADES = 8
_PER_DECADE = 40
BUCKETS = _DECADES * _PER_DECADE

_SHORTEST_NANOSECONDS = 1000

# The upper bounds of all buckets but the last, in nanoseconds: `bisect_right(ENDS, duration)` is the bucket.
# The first bucket includes all shorter durations, the last all longer ones.
ENDS = [round(_SHORTEST_NANOSECONDS * 10 ** (end / _PER_DECADE)) for end in range(1, BUCKETS)]


def seconds_at(bucket: float) -> float:
    """The lower bound of a bucket, in seconds; for a fraction, interpolated geometrically within it."""
    return float(10.0 ** (bucket / _PER_DECADE) * _SHORTEST_NANOSECONDS / 1e9)


def quantile(counts: Sequence[int], share: float) -> float | None:
    """A quantile of the durations, in seconds: 0.99 for p99. None without requests; ValueError above 1."""
    wanted = sum(counts) * share
    if not wanted:
        return None
    below = 0
    for bucket, count in enumerate(counts):
        if count and below + count >= wanted:
            return seconds_at(bucket + (wanted - below) / count)
        below += count
    raise ValueError("a share is at most 1")


def cumulative(counts: Sequence[int], *, per_decade: int) -> list[tuple[float, int]]:
    """Upper bounds of wider buckets, in seconds, with the number of requests below each; the last has all."""
    step = _PER_DECADE // per_decade
    sums = list(itertools.accumulate(counts))
    return [(seconds_at(end), sums[end - 1]) for end in range(step, BUCKETS + 1, step)]
