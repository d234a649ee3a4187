"""How a parser's CPU time grows with its input: ratios within one run, never absolute durations."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

Read = Callable[[bytes], object]

TIMES = 16
MOST_GROWTH = 24.0
"""The allowed factor of CPU time for 16 times the input."""
MOST_PER_BYTE = 400.0
"""The allowed CPU time as a multiple of a plain loop over the bytes."""

_ROUNDS = 5
_PATIENCE = 6  # times that measurements are repeated before a growth is accepted
_LEAST_NANOSECONDS = 200_000
_FREE_BYTES = 4096  # added, because a call has a fixed cost even for no bytes


def growth(read: Read, short: bytes, long: bytes) -> float:
    """The ratio of the CPU times for the long and the short input: the best of interleaved rounds.

    A busy machine makes single rounds slow, so measuring stops as soon as the growth is within the limit.
    """
    best_short = best_long = float("inf")
    for _ in range(_PATIENCE):
        for _ in range(_ROUNDS):
            best_short = min(best_short, cpu(read, short))
            best_long = min(best_long, cpu(read, long))
            if best_long <= MOST_GROWTH * best_short:
                return best_long / best_short
    return best_long / best_short


def per_byte(read: Read, data: bytes) -> float:
    """The CPU time as a multiple of a plain loop over the bytes and _FREE_BYTES more; the best round."""
    times = float("inf")
    for _ in range(_ROUNDS):
        times = min(
            times, cpu(read, data, repeat=False) / cpu(_count, data + bytes(_FREE_BYTES), repeat=False)
        )
        if times <= MOST_PER_BYTE:
            break
    return times


def cpu(read: Read, data: bytes, *, repeat: bool = True) -> float:
    """This thread's CPU time for one call in nanoseconds; short calls are repeated until it is measurable."""
    gc.collect(0)
    gc.disable()
    try:
        calls, took = 0, 0
        began = time.thread_time_ns()
        while took < _LEAST_NANOSECONDS:
            read(data)
            calls += 1
            took = time.thread_time_ns() - began
            if not repeat:
                break
        return max(took, 1) / calls
    finally:
        gc.enable()


def _count(data: bytes) -> int:
    total = 0
    for byte in data:
        total += byte & 1
    return total
