"""One deadline for a whole trace, and times in milliseconds since a hop began."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Clock:
    """Times since it was made, and a deadline: `remaining` raises TimeoutError after it."""

    def __init__(self, timeout_seconds: float) -> None:
        self.began = time.perf_counter()
        self.timeout_seconds = timeout_seconds
        self._ends = self.began + timeout_seconds

    def restarted(self) -> Clock:
        """A clock that counts from now with the same deadline, for the next hop."""
        clock = Clock(self.timeout_seconds)
        clock._ends = self._ends
        return clock

    def milliseconds(self) -> float:
        return (time.perf_counter() - self.began) * 1000

    def remaining(self) -> float:
        """Seconds until the deadline, for a socket's timeout. Raises TimeoutError after it."""
        left = self._ends - time.perf_counter()
        if left <= 0:
            raise TimeoutError
        return left

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Time spent within this context does not count against the deadline."""
        began = time.perf_counter()
        yield
        self._ends += time.perf_counter() - began

    def at_most(self, seconds: float) -> Clock:
        """A clock with this deadline, or our own if that is earlier: for an additional check."""
        clock = Clock(seconds)
        clock._ends = min(clock._ends, self._ends)
        return clock
