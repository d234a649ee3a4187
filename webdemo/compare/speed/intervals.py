"""What repeated measurements say: a middle with its spread, and whether two servers differ at all.

Rounds are interleaved, so the n-th value of each server was measured at nearly the same time, and only
ratios within a round are compared: what slows the whole machine for a moment slows both sides of one.
Two servers differ only if a bootstrap interval of their ratio leaves out 1 and everything near it.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from statistics import NormalDist, fmean, median

from webdemo.compare.results import Figure

CONFIDENCE = 0.95
RESAMPLES = 10_000
# Two starts of the very same server differ by so much, because the addresses of its code and data do.
ALIKE = 0.03
# With fewer rounds no interval of 95 % can be told from the rounds alone.
FEWEST_ROUNDS = 6


def figure(values: Sequence[float]) -> Figure:
    """The median, and the interval of order statistics that holds the true one with CONFIDENCE.

    With fewer than FEWEST_ROUNDS values that is all of them, and holds it less surely.
    """
    ordered = sorted(values)
    n = len(ordered)
    tail = (1 - CONFIDENCE) / 2
    cut = 0
    while sum(math.comb(n, k) for k in range(cut + 2)) / 2**n <= tail:
        cut += 1
    return Figure(median(ordered), ordered[cut], ordered[-1 - cut], n)


def ratio(values: Sequence[float], reference: Sequence[float], *, comparisons: int = 1) -> Figure | None:
    """The geometric mean of the rounds' ratios with its bootstrap interval.

    Values of one round have the same index; None when rounds are too few, or one of them has a zero.
    `comparisons`: so many intervals are looked at together, and CONFIDENCE is to hold for all (Bonferroni).
    The percentiles are the expanded ones (Hesterberg, The American Statistician 69:4, 2015), because plain
    ones are too narrow for few rounds.
    """
    n = len(values)
    if n < FEWEST_ROUNDS or min(*values, *reference) <= 0:
        return None
    logs = [math.log(a / b) for a, b in zip(values, reference, strict=True)]
    # A fixed seed: the same figures give the same interval, and a report made again is the same.
    resample = random.Random(n).choices
    means = sorted(fmean(resample(logs, k=n)) for _ in range(RESAMPLES))
    tail = (1 - CONFIDENCE) / 2 / comparisons
    tail = NormalDist().cdf(-math.sqrt(n / (n - 1)) * student_quantile(1 - tail, n - 1))
    first = int(tail * RESAMPLES)
    return Figure(math.exp(fmean(logs)), math.exp(means[first]), math.exp(means[-1 - first]), n)


def is_significant(found: Figure) -> bool:
    """Whether the interval of a ratio is clear of 1, and of what is as good as 1."""
    return found.low > 1 + ALIKE or found.high < 1 / (1 + ALIKE)


def student_quantile(probability: float, freedom: int) -> float:
    """Student's t quantile above one half, by bisection on its distribution function."""
    low, high = 0.0, 1.0
    while _student_cdf(high, freedom) < probability:
        high *= 2
    while high - low > 1e-9 * high:
        middle = (low + high) / 2
        if _student_cdf(middle, freedom) < probability:
            low = middle
        else:
            high = middle
    return high


def _student_cdf(t: float, freedom: int) -> float:
    """For t >= 0 and whole degrees of freedom (Abramowitz and Stegun 26.7.3 and 26.7.4)."""
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
