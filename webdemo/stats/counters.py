"""Request counters in memory that is shared by all processes of a run. Runs in all of them.

A process that serves requests claims a slot, and only that process writes to it. The claim is a file lock,
which the system releases however the process ends: so it is always known whose requests are in flight, and
the next process of the service continues from the counts of the last. The supervisor has slots of its own
for the CPU time and memory of each service.
"""

from __future__ import annotations

import mmap
import operator
import os
import sys

# Not threading.Lock, which gevent patches with a slower one: greenlets need no lock, because counting never
# switches between them.
from _thread import allocate_lock
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from time import monotonic, perf_counter_ns
from typing import TYPE_CHECKING, NamedTuple

from webdemo.portable import after_fork_in_child
from webdemo.stats.board import BOARD_BYTES, Board
from webdemo.stats.latency import BUCKETS, ENDS

if TYPE_CHECKING:
    from webdemo.stats.claims import Claims
    from webdemo.stats.usage import Usage

SLOTS = 1024
_SLOT_BYTES = 4096
_SLOT_WORDS = _SLOT_BYTES // 8

# The memory starts with an index, the length of each slot's name as one word: a scan touches only its two
# pages, instead of making the system allocate a page for each slot.
_INDEX_BYTES = SLOTS * 8
_MEMORY_SIZE = _INDEX_BYTES + SLOTS * _SLOT_BYTES

_MOST = (1 << 64) - 1
_LOOK_AGAIN_SECONDS = 0.05  # between scans for new siblings

# The words of a slot, unsigned 64-bit integers.
_STARTED = 0
_ENDED = 1  # and the next five words: by the first digit of the status, 0 for none
_STATUSES = 6
_BYTES = _ENDED + _STATUSES
_NANOSECONDS = _BYTES + 1
_MEMORY_BYTES = _NANOSECONDS + 1
_CPU_NANOSECONDS = _MEMORY_BYTES + 1
_PROCESSES = _CPU_NANOSECONDS + 1
_RESTARTS = _PROCESSES + 1
_CONNECTIONS = _RESTARTS + 1
_OLDEST = _CONNECTIONS + 1  # when the oldest request that waits began, by `perf_counter_ns`; 0: none waits
_PID = _OLDEST + 1
_GROUP = _PID + 1  # the process group, whose leader is the server process
_HISTOGRAM = _GROUP + 1
_NAME = _HISTOGRAM + BUCKETS
_LONGEST_SERVER = 100
_LONGEST_PORTS = (_SLOT_WORDS - _NAME) * 8 - _LONGEST_SERVER - 1

# By the first digit of a status; above 599 it counts as a server error (RFC 9110 section 15).
_ENDED_WITH = {digit: _ENDED + min(int(digit), _STATUSES - 1) for digit in "123456789"}


class Totals(NamedTuple):
    """The counts of one service since the run began."""

    words: Sequence[int] = (0,) * _NAME
    in_flight: int = 0
    oldest_began: int = 0  # of those whose response has not begun, by `perf_counter_ns`; 0: there is none

    @property
    def requests(self) -> int:
        """Completed requests."""
        return _completed(self.words)

    @property
    def by_status(self) -> Sequence[int]:
        """Completed requests by the first digit of their status; [0]: without a status."""
        return self.words[_ENDED : _ENDED + _STATUSES]

    @property
    def errors(self) -> int:
        """Completed requests with a status of 500 or above."""
        return self.words[_ENDED + 5]

    @property
    def bytes(self) -> int:
        return self.words[_BYTES]

    @property
    def seconds(self) -> float:
        """The total duration of the completed requests."""
        return self.words[_NANOSECONDS] / 1e9

    @property
    def histogram(self) -> Sequence[int]:
        """Completed requests in the buckets of webdemo.stats.latency."""
        return self.words[_HISTOGRAM : _HISTOGRAM + BUCKETS]

    @property
    def memory_bytes(self) -> int:
        return self.words[_MEMORY_BYTES]

    @property
    def cpu_seconds(self) -> float:
        return self.words[_CPU_NANOSECONDS] / 1e9

    @property
    def processes(self) -> int:
        return self.words[_PROCESSES]

    @property
    def restarts(self) -> int:
        return self.words[_RESTARTS]

    def plus(self, other: Totals) -> Totals:
        return Totals(
            list(map(operator.add, self.words, other.words)),
            self.in_flight + other.in_flight,
            min(filter(None, (self.oldest_began, other.oldest_began)), default=0),
        )


class Activity(NamedTuple):
    """What a process that serves requests is doing."""

    pid: int
    group: int  # its process group, whose leader is the server process
    oldest_began: int  # of its requests whose response has not begun, by `perf_counter_ns`; 0: there is none
    completed: int


def service_name(server: str, ports: Iterable[str]) -> str:
    """The name under which a service is counted: server, space, ports; cut to the size of a slot."""
    return f"{_cut(server, _LONGEST_SERVER)} {_cut(' '.join(ports), _LONGEST_PORTS)}"


def _cut(text: str, most_bytes: int) -> str:
    return text.encode("utf-8", "backslashreplace")[:most_bytes].decode("utf-8", "ignore")


class SharedCounters:
    """The shared memory, given its descriptor; -1: memory of this process alone, which is not shared.

    Names of slots come from `service_name`. Thread-safe.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._claims: Claims | None = None
        if fd >= 0:
            from webdemo.stats.claims import Claims  # not on Windows

            self._claims = Claims(fd)
        self._memory = mmap.mmap(fd, _MEMORY_SIZE + BOARD_BYTES)
        memory = memoryview(self._memory)
        words = memory[:_MEMORY_SIZE].cast("Q")
        self.board = Board(memory[_MEMORY_SIZE:])
        self._name_lengths, self._words = words[:SLOTS], words[SLOTS:]
        self._lock = allocate_lock()
        self._own: dict[int, memoryview] = {}
        after_fork_in_child(self._own.clear)  # locks are not inherited

    @classmethod
    def create(cls) -> SharedCounters:
        """New, zeroed shared memory: a memfd on Linux, else an unlinked temporary file."""
        if sys.platform == "linux":
            fd = os.memfd_create("webdemo-counters")
        else:
            import tempfile

            with tempfile.TemporaryFile() as file:
                fd = os.dup(file.fileno())
        os.truncate(fd, _MEMORY_SIZE + BOARD_BYTES)
        return cls(fd)

    def fileno(self) -> int:
        return self._fd

    def close(self) -> None:
        """Close the descriptor, which releases the claims; the last process to close it frees the memory."""
        os.close(self._fd)

    def claim(self, name: str) -> memoryview:
        """Claim a slot for this process; returns its words. If all are taken, the words are not shared."""
        encoded = name.encode()
        with self._lock:
            # Prefer a slot that another process of this service has released to an unused one.
            for wanted in (encoded, b""):
                for slot, length in enumerate(self._name_lengths.tolist()):
                    if length == len(wanted) and slot not in self._own and self._lock_slot(slot, wanted):
                        return self._take(slot, encoded)
        return memoryview(bytearray(_SLOT_BYTES)).cast("Q")

    def _take(self, slot: int, name: bytes) -> memoryview:
        words = self._words_of(slot)
        start = _name_start(slot)
        self._memory[start : start + len(name)] = name
        self._name_lengths[slot] = len(name)
        words[_STARTED] = _completed(words)  # forget requests that died in flight
        words[_CONNECTIONS] = words[_OLDEST] = 0
        if self._claims is not None:
            words[_PID], words[_GROUP] = os.getpid(), os.getpgrp()
        self._own[slot] = words
        return words

    def read(self) -> dict[str, Totals]:
        """The totals of each service, by name."""
        found: dict[str, Totals] = {}
        with self._lock:
            for slot, length in enumerate(self._name_lengths.tolist()):
                if not length:
                    continue
                words = self._words_of(slot).tolist()
                in_flight = words[_STARTED] - _completed(words)
                in_flight = in_flight if in_flight > 0 and self.lives(slot) else 0
                oldest = words[_OLDEST] if in_flight else 0
                name = self._name(slot).decode("utf-8", "replace")
                found[name] = found.get(name, Totals()).plus(Totals(words[:_NAME], in_flight, oldest))
        return found

    def activities(self) -> list[Activity]:
        """Of each living process that has served a request, except this one."""
        found = []
        with self._lock:
            for slot, length in enumerate(self._name_lengths.tolist()):
                if length and slot not in self._own and self.lives(slot):
                    words = self._words_of(slot)[:_HISTOGRAM].tolist()
                    activity = Activity(words[_PID], words[_GROUP], words[_OLDEST], _completed(words))
                    found.append(activity)
        return found

    def of_others(self, name: str) -> list[tuple[int, memoryview]]:
        """The slots of this name, with their words, that this process has not claimed."""
        encoded = name.encode()
        return [
            (slot, self._words_of(slot))
            for slot, length in enumerate(self._name_lengths.tolist())
            if length == len(encoded) and slot not in self._own and self._name(slot) == encoded
        ]

    def _words_of(self, slot: int) -> memoryview:
        return self._words[slot * _SLOT_WORDS : (slot + 1) * _SLOT_WORDS]

    def _name(self, slot: int) -> bytes:
        start = _name_start(slot)
        return self._memory[start : start + self._name_lengths[slot]]

    def _lock_slot(self, slot: int, name: bytes) -> bool:
        """Claim the slot if it has this name and is not claimed; returns whether it succeeded."""
        if self._name(slot) != name:
            return False
        if self._claims is None:
            return True
        if not self._claims.take(slot):
            return False
        if self._name(slot) == name:
            return True
        self._claims.release(slot)  # another process has claimed and released it meanwhile
        return False

    def lives(self, slot: int) -> bool:
        """Whether the process that claimed the slot is alive."""
        return slot in self._own or (self._claims is not None and self._claims.is_taken(slot))


def _completed(words: Sequence[int] | memoryview) -> int:
    return sum(words[_ENDED : _ENDED + _STATUSES])


def _name_start(slot: int) -> int:
    """The offset of a slot's name in the memory, in bytes."""
    return _INDEX_BYTES + slot * _SLOT_BYTES + _NAME * 8


class RequestCounter:
    """Counts the requests of a service; claims a slot on first use, after a fork a new one."""

    def __init__(self, counters: SharedCounters, name: str) -> None:
        self.counters = counters
        self._name = name
        self._forget()
        after_fork_in_child(self._forget)

    def _forget(self) -> None:
        self._words: memoryview | None = None
        self._waiting: dict[int, None] = {}  # when each began: the first is the oldest
        self._lock = allocate_lock()

    def siblings(self) -> SiblingCounts:
        """The connection counts of this process and of the others of its service."""
        return SiblingCounts(self.counters, self._name, self._claim())

    def _claim(self) -> memoryview:
        with self._lock:
            if self._words is None:
                self._words = self.counters.claim(self._name)
            return self._words

    def begin(self) -> int:
        """Count a request as begun, and return when, by `perf_counter_ns`."""
        words = self._words
        if words is None:
            words = self._claim()
        waiting = self._waiting
        lock = self._lock
        lock.acquire()  # `with` takes twice as long
        try:
            words[_STARTED] += 1
            began = perf_counter_ns()
            if not waiting:
                words[_OLDEST] = began
            waiting[began] = None
        finally:
            lock.release()
        return began

    def responds(self, began: int) -> None:
        """The response to the request that began then has begun: it waits no more, though it is in flight."""
        words = self._words
        if words is not None:
            with self._lock:
                self._waiting.pop(began, None)
                words[_OLDEST] = next(iter(self._waiting), 0)

    def end(self, began: int, status: str, size: int, nanoseconds: int) -> None:
        """Count the request that began then as completed; `size`: of the response body, in bytes."""
        words = self._words
        if words is None:
            words = self._claim()
        bucket = _HISTOGRAM + bisect_right(ENDS, nanoseconds)
        waiting = self._waiting
        lock = self._lock
        lock.acquire()
        try:
            waiting.pop(began, None)  # it may have begun before a fork
            words[_OLDEST] = next(iter(waiting)) if waiting else 0
            words[_ENDED_WITH.get(status[:1], _ENDED)] += 1
            words[_BYTES] += size
            words[_NANOSECONDS] += nanoseconds
            words[bucket] += 1
        finally:
            lock.release()


class SiblingCounts:
    """Implements webdemo.servers.Siblings: the open connections of each process of a service."""

    def __init__(self, counters: SharedCounters, name: str, own: memoryview) -> None:
        self._counters = counters
        self._name = name
        self._own = own
        self._others: list[tuple[int, memoryview]] = []
        self._look_again_at = 0.0
        self._has_left = False

    def report(self, connections: int) -> None:
        if not self._has_left:
            self._own[_CONNECTIONS] = connections

    def leave(self) -> None:
        """Publish that this process accepts no more connections."""
        self._has_left = True
        self._own[_CONNECTIONS] = _MOST

    def have_fewer(self) -> bool:
        enough = self._own[_CONNECTIONS]
        if not enough:
            return False
        now = monotonic()
        if now > self._look_again_at:
            self._look_again_at = now + _LOOK_AGAIN_SECONDS
            self._others = self._counters.of_others(self._name)
        return any(
            words[_CONNECTIONS] < enough and self._counters.lives(slot) for slot, words in self._others
        )


class SystemNotes:
    """The supervisor's slot for a service's memory, CPU time, processes and restarts, read by /metrics."""

    def __init__(self, counters: SharedCounters, name: str) -> None:
        self._words = counters.claim(name)
        self._words[_CONNECTIONS] = _MOST  # the supervisor accepts nothing, so no process defers to it

    def write(self, usage: Usage, *, restarts: int) -> None:
        self._words[_MEMORY_BYTES] = usage.memory_bytes
        self._words[_CPU_NANOSECONDS] += int(usage.cpu_seconds * 1e9)
        self._words[_PROCESSES] = usage.processes
        self._words[_RESTARTS] = restarts
