"""Statistics of repeated measurements: the median with its interval, and whether two servers differ.

Rounds are interleaved, so the n-th values of all servers were measured at nearly the same time. The rule:
only ratios within a round are compared, because whatever slows the machine for a moment slows both sides. Two
servers differ only if a bootstrap interval of their ratio excludes 1 and everything close to it.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_left
from collections.abc import Sequence
from statistics import NormalDist, fmean, median
from typing import TypeVar

from webdemo.compare.results import Figure

T = TypeVar("T")

CONFIDENCE = 0.95
RESAMPLES = 10_000
# Two starts of the same server differ by this much, because their memory layouts differ.
SAME_WITHIN = 0.03
# With fewer rounds, order statistics cannot give a 95 % interval.
FEWEST_ROUNDS = 6


def order_in_round(items: Sequence[T], number: int) -> list[T]:
    """The items in a different order in each round: rotated, and reversed in every second round."""
    start = number % len(items) if items else 0
    rotated = [*items[start:], *items[:start]]
    return rotated[::-1] if number % 2 else rotated


def figure(values: Sequence[float]) -> Figure:
    """The median and its confidence interval from order statistics.

    With fewer than FEWEST_ROUNDS values the interval spans all of them, with a lower confidence.
    """
    ordered = sorted(values)
    n = len(ordered)
    tail = (1 - CONFIDENCE) / 2
    cut = 0
    while sum(math.comb(n, k) for k in range(cut + 2)) / 2**n <= tail:
        cut += 1
    return Figure(median(ordered), ordered[cut], ordered[-1 - cut], n)


def ratio(values: Sequence[float], reference: Sequence[float], *, comparisons: int = 1) -> Figure | None:
    """The geometric mean of the rounds' ratios, with its bootstrap interval.

    Values of one round have the same index. None if there are too few rounds, or a value is zero.
    `comparisons` is the number of intervals for which CONFIDENCE must hold together (Bonferroni). The
    percentiles are expanded (Hesterberg, The American Statistician 69:4, 2015), because plain ones are too
    narrow for few rounds.
    """
    n = len(values)
    if n < FEWEST_ROUNDS or min(*values, *reference) <= 0:
        return None
    logs = [math.log(a / b) for a, b in zip(values, reference, strict=True)]
    # A fixed seed: the same figures always give the same interval, so reports are reproducible.
    resample = random.Random(n).choices
    means = sorted(fmean(resample(logs, k=n)) for _ in range(RESAMPLES))
    tail = (1 - CONFIDENCE) / 2 / comparisons
    tail = NormalDist().cdf(-math.sqrt(n / (n - 1)) * student_quantile(1 - tail, n - 1))
    first = int(tail * RESAMPLES)
    return Figure(math.exp(fmean(logs)), math.exp(means[first]), math.exp(means[-1 - first]), n)


def is_significant(found: Figure) -> bool:
    """Whether the interval of a ratio excludes 1 and everything within SAME_WITHIN of it."""
    return found.low > 1 + SAME_WITHIN or found.high < 1 / (1 + SAME_WITHIN)


def student_quantile(probability: float, freedom: int) -> float:
    """The quantile of Student's t distribution for a probability above 0.5, to a millionth."""
    millionths = bisect_left(range(10**12), probability, key=lambda t: _student_cdf(t / 1e6, freedom))
    return millionths / 1e6


def _student_cdf(t: float, freedom: int) -> float:
    """Student's t distribution function for t >= 0 and integer degrees of freedom.

    See Abramowitz and Stegun, 26.7.3 and 26.7.4.
    """
    angle = math.atan2(t, math.sqrt(freedom))
    squared = math.cos(angle) ** 2
    odd = freedom % 2
    term, total = 1.0, 0.0
    for k in range(freedom // 2):
        total += term
        term *= squared * ((2 * k + 2) / (2 * k + 3) if odd else (2 * k + 1) / (2 * k + 2))
    if odd:
        inside = 2 / math.pi * (angle + math.sin(angle) * math.cos(angle) * total)
    else:
        inside = math.sin(angle) * total
    return (1 + inside) / 2
