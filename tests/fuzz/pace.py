"""How a parser's CPU time grows with its input: ratios within one run, never absolute durations."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

Read = Callable[[bytes], object]

TIMES = 16
MOST_GROWTH = 24.0
"""So many times the time for 16 times the input."""
MOST_PER_BYTE = 400.0
"""So many times what a plain loop over the bytes takes."""

_ROUNDS = 5
_PATIENCE = 6  # times that measurements are repeated before growth is believed
_LEAST_NANOSECONDS = 200_000
_FREE_BYTES = 4096  # a call costs something with no bytes at all


def growth(read: Read, short: bytes, long: bytes) -> float:
    """How many times the short input's time the long one takes: the best of interleaved rounds.

    A busy machine makes single rounds slow, so no more are measured once the growth is seen to be allowed.
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
    """How many times the time of a plain loop over the bytes and a few more; the best of some rounds."""
    times = float("inf")
    for _ in range(_ROUNDS):
        times = min(
            times, cpu(read, data, repeat=False) / cpu(_count, data + bytes(_FREE_BYTES), repeat=False)
        )
        if times <= MOST_PER_BYTE:
            break
    return times


def cpu(read: Read, data: bytes, *, repeat: bool = True) -> float:
    """Nanoseconds of this thread for one call; short calls are repeated until the clock can tell."""
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
