"""Finds server processes that have stopped serving, from what is seen of them once a second. Pure.

The rule: a process has hung if, for the whole time, it has completed no request although one waited for its
response to begin, or although clients waited in the accept queue and it accepted none. So an endless stream
is no hang, nor is a slow download, nor a long request beside which others are answered, nor a server that is
full: while its requests are younger than that, clients may wait in the queue.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from webdemo.stats.counters import Activity

_LONGEST_STEP_SECONDS = 2.0


class Look(NamedTuple):
    """What is seen of a server process that has begun to accept connections."""

    process: int
    queue: int  # the length of its accept queue
    activities: Sequence[Activity]  # its own, and its workers'


class HangWatch:
    """Tells which processes have hung for `seconds`."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.is_stalled = False
        """Whether requests have waited that long, and no process at all has completed one."""
        self._stalled_since = 0.0
        self._completed = -1
        self._looked_at: float | None = None
        self._watched = 0.0  # the time watched so far: without the pauses of this process or the machine
        self._workers: dict[int, tuple[int, float]] = {}  # by pid: completed requests, and since when so many
        self._queues: dict[int, tuple[int, int, float]] = {}  # by process: queue, completed, since when

    def hung(self, looks: Iterable[Look], now: float) -> list[int]:
        """The processes that have hung; `now`: of `time.perf_counter`."""
        if self._looked_at is not None:
            self._watched += min(now - self._looked_at, _LONGEST_STEP_SECONDS)
        self._looked_at = now
        looks = list(looks)
        self._compare_completed(looks)
        workers, queues = self._workers, self._queues
        self._workers, self._queues = {}, {}
        found = []
        for look in looks:
            is_stuck = [self._is_stuck(activity, workers, now) for activity in look.activities]
            accepts = self._accepts(look, queues, now)
            if any(is_stuck) or not accepts:
                found.append(look.process)
        return found

    def _compare_completed(self, looks: list[Look]) -> None:
        completed = sum(activity.completed for look in looks for activity in look.activities)
        waits = any(look.queue or any(a.oldest_began for a in look.activities) for look in looks)
        if completed != self._completed or not waits:
            self._completed, self._stalled_since = completed, self._watched
        self.is_stalled = self.seconds > 0 and self._watched - self._stalled_since >= self.seconds

    def _is_stuck(self, activity: Activity, before: dict[int, tuple[int, float]], now: float) -> bool:
        completed, since = before.get(activity.pid, (-1, 0.0))
        if completed != activity.completed:
            since = self._watched
        self._workers[activity.pid] = activity.completed, since
        return _age(activity, now) >= self.seconds <= self._watched - since

    def _accepts(self, look: Look, before: dict[int, tuple[int, int, float]], now: float) -> bool:
        completed = sum(activity.completed for activity in look.activities)
        queue, completed_before, since = before.get(look.process, (0, 0, 0.0))
        is_full = any(0 < _age(activity, now) < self.seconds for activity in look.activities)
        if not queue or look.queue < queue or completed != completed_before or is_full:
            since = self._watched
        self._queues[look.process] = look.queue, completed, since
        return not look.queue or self._watched - since < self.seconds


def _age(activity: Activity, now: float) -> float:
    """The seconds of the oldest request whose response has not begun; 0 if there is none."""
    return now - activity.oldest_began / 1e9 if activity.oldest_began else 0.0
