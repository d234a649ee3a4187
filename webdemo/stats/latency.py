"""How long requests take, as counts in buckets that grow by the same factor.

Forty buckets for each power of ten, from a microsecond to 100 seconds: a duration is known to
within three per cent, whatever its size, and counts of several processes can be added up.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

_DECADES = 8
_PER_DECADE = 40
BUCKETS = _DECADES * _PER_DECADE

_SHORTEST_NANOSECONDS = 1000

# Where each bucket but the last ends, in nanoseconds: `bisect_right(ENDS, duration)` is a duration's bucket.
# The first has also what is shorter, the last what is longer.
ENDS = [round(_SHORTEST_NANOSECONDS * 10 ** (end / _PER_DECADE)) for end in range(1, BUCKETS)]


def seconds_at(bucket: float) -> float:
    """Where a bucket begins, in seconds; of 2.5 the middle of the third, as its durations are spread."""
    return float(10.0 ** (bucket / _PER_DECADE) * _SHORTEST_NANOSECONDS / 1e9)


def quantile(counts: Sequence[int], share: float) -> float | None:
    """The duration in seconds below which this share of the requests stayed; None without requests."""
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
    """Ends of wider buckets in seconds, and how many requests were shorter than each; the last has all."""
    step = _PER_DECADE // per_decade
    sums = list(itertools.accumulate(counts))
    return [(seconds_at(end), sums[end - 1]) for end in range(step, BUCKETS + 1, step)]
