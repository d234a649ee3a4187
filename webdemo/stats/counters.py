"""Counts of requests, in memory that all processes of a run share and that outlives each of them.

A process that answers requests claims a slot, and is the only one that writes to it. The claim is a
lock that the system lifts when the process ends, however it ends: so whose requests are still in
flight is never in doubt, and the next process of the same service counts on where the last one left
off. The supervisor has slots of its own, for what the system says of each service.
"""

from __future__ import annotations

import fcntl
import mmap
import operator
import os
import sys

# The bare lock: a server that replaces threads by greenlets has a slower one, and does not need it,
# because no greenlet gives way to another while it counts.
from _thread import allocate_lock
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from webdemo.stats.latency import BUCKETS, ENDS

if TYPE_CHECKING:
    from webdemo.stats.usage import Usage

SLOTS = 1024
_SLOT_BYTES = 4096
_SLOT_WORDS = _SLOT_BYTES // 8

# First the lengths of the slots' names, a word for each: to look through them touches two pages, not one
# of each slot, which the system would have to make.
_INDEX_BYTES = SLOTS * 8
_MEMORY_SIZE = _INDEX_BYTES + SLOTS * _SLOT_BYTES

_MOST = (1 << 64) - 1
_LOOK_AGAIN_SECONDS = 0.05  # for new processes of a service

# The words of a slot, each an unsigned number of 64 bits.
_STARTED = 0
_ENDED = 1  # and the five that follow: by the first digit of the status, 0 if there was none
_STATUSES = 6
_BYTES = _ENDED + _STATUSES
_NANOSECONDS = _BYTES + 1
_MEMORY_BYTES = _NANOSECONDS + 1
_CPU_NANOSECONDS = _MEMORY_BYTES + 1
_PROCESSES = _CPU_NANOSECONDS + 1
_RESTARTS = _PROCESSES + 1
_CONNECTIONS = _RESTARTS + 1
_HISTOGRAM = _CONNECTIONS + 1
_NAME = _HISTOGRAM + BUCKETS
_LONGEST_SERVER = 100
_LONGEST_PORTS = (_SLOT_WORDS - _NAME) * 8 - _LONGEST_SERVER - 1

# By the first digit of a status; one beyond 599 is a server's error (RFC 9110 section 15).
_ENDED_WITH = {digit: _ENDED + min(int(digit), _STATUSES - 1) for digit in "123456789"}


class Totals(NamedTuple):
    """What has been counted of one service since the run began."""

    words: Sequence[int] = (0,) * _NAME
    in_flight: int = 0

    @property
    def requests(self) -> int:
        """Those that have ended."""
        return sum(self.by_status)

    @property
    def by_status(self) -> Sequence[int]:
        """Those that have ended, by the first digit of their status; [0] had none."""
        return self.words[_ENDED : _ENDED + _STATUSES]

    @property
    def errors(self) -> int:
        """Those that have ended with a status of 500 or more."""
        return self.words[_ENDED + 5]

    @property
    def bytes(self) -> int:
        return self.words[_BYTES]

    @property
    def seconds(self) -> float:
        """How long they took, all together."""
        return self.words[_NANOSECONDS] / 1e9

    @property
    def histogram(self) -> Sequence[int]:
        """Those that have ended, in the buckets of webdemo.stats.latency."""
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
        return Totals(list(map(operator.add, self.words, other.words)), self.in_flight + other.in_flight)


def service_name(server: str, ports: Iterable[str]) -> str:
    """What a service is counted under: its server, a space, its ports; very many are cut off."""
    return f"{_cut(server, _LONGEST_SERVER)} {_cut(' '.join(ports), _LONGEST_PORTS)}"


def _cut(text: str, most_bytes: int) -> str:
    return text.encode("utf-8", "backslashreplace")[:most_bytes].decode("utf-8", "ignore")


class SharedCounters:
    """The memory, by its descriptor. The names in it are those that `service_name` gives."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._memory = mmap.mmap(fd, _MEMORY_SIZE)
        words = memoryview(self._memory).cast("Q")
        self._name_lengths, self._words = words[:SLOTS], words[SLOTS:]
        self._lock = allocate_lock()
        self._own: dict[int, memoryview] = {}
        os.register_at_fork(after_in_child=self._own.clear)  # locks are not inherited

    @classmethod
    def create(cls) -> SharedCounters:
        """Empty memory of our own."""
        if sys.platform == "linux":
            fd = os.memfd_create("webdemo-counters")
        else:
            import tempfile

            with tempfile.TemporaryFile() as file:
                fd = os.dup(file.fileno())
        os.truncate(fd, _MEMORY_SIZE)
        return cls(fd)

    def fileno(self) -> int:
        return self._fd

    def close(self) -> None:
        """Give up the claims; the memory goes with the last process that has it."""
        os.close(self._fd)

    def claim(self, name: str) -> memoryview:
        """The words of a slot for this process alone; one that nobody reads when there are no more."""
        encoded = name.encode()
        with self._lock:
            # Rather one that a process of this service has left behind than a new one.
            for wanted in (encoded, b""):
                for slot, length in enumerate(self._name_lengths.tolist()):
                    if length == len(wanted) and slot not in self._own and self._lock_slot(slot, wanted):
                        return self._take(slot, encoded)
        return memoryview(bytearray(_SLOT_BYTES)).cast("Q")

    def _take(self, slot: int, name: bytes) -> memoryview:
        words = self._words[slot * _SLOT_WORDS : (slot + 1) * _SLOT_WORDS]
        start = _name_start(slot)
        self._memory[start : start + len(name)] = name
        self._name_lengths[slot] = len(name)
        words[_STARTED] = sum(words[_ENDED : _ENDED + _STATUSES])  # the others went down with their process
        words[_CONNECTIONS] = 0
        self._own[slot] = words
        return words

    def read(self) -> dict[str, Totals]:
        """What each service has counted so far."""
        found: dict[str, Totals] = {}
        with self._lock:
            for slot, length in enumerate(self._name_lengths.tolist()):
                if not length:
                    continue
                words = self._words[slot * _SLOT_WORDS : (slot + 1) * _SLOT_WORDS].tolist()
                in_flight = words[_STARTED] - sum(words[_ENDED : _ENDED + _STATUSES])
                in_flight = in_flight if in_flight > 0 and self.lives(slot) else 0
                name = self._name(slot).decode("utf-8", "replace")
                found[name] = found.get(name, Totals()).plus(Totals(words[:_NAME], in_flight))
        return found

    def of_others(self, name: str) -> list[tuple[int, memoryview]]:
        """The slots of this name that other processes have claimed or left, and their words."""
        encoded = name.encode()
        return [
            (slot, self._words[slot * _SLOT_WORDS : (slot + 1) * _SLOT_WORDS])
            for slot, length in enumerate(self._name_lengths.tolist())
            if length == len(encoded) and slot not in self._own and self._name(slot) == encoded
        ]

    def _name(self, slot: int) -> bytes:
        start = _name_start(slot)
        return self._memory[start : start + self._name_lengths[slot]]

    def _lock_slot(self, slot: int, name: bytes) -> bool:
        """Claim the slot if it has this name and nobody has claimed it."""
        if self._name(slot) != name:
            return False
        try:
            fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, slot)
        except OSError:
            return False
        if self._name(slot) == name:
            return True
        fcntl.lockf(self._fd, fcntl.LOCK_UN, 1, slot)  # somebody has claimed and left it meanwhile
        return False

    def lives(self, slot: int) -> bool:
        """Whether the process that has claimed the slot lives."""
        if slot in self._own:
            return True
        try:
            fcntl.lockf(self._fd, fcntl.LOCK_SH | fcntl.LOCK_NB, 1, slot)
        except OSError:
            return True
        fcntl.lockf(self._fd, fcntl.LOCK_UN, 1, slot)
        return False


def _name_start(slot: int) -> int:
    """Where a slot's name begins in the memory, in bytes."""
    return _INDEX_BYTES + slot * _SLOT_BYTES + _NAME * 8


class RequestCounter:
    """Counts the requests of a service in whichever process answers them."""

    def __init__(self, counters: SharedCounters, name: str) -> None:
        self.counters = counters
        self._name = name
        self._forget()
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        self._words: memoryview | None = None
        self._lock = allocate_lock()

    def siblings(self) -> SiblingCounts:
        """The connections of this process and of those that are counted under the same name."""
        return SiblingCounts(self.counters, self._name, self._claim())

    def _claim(self) -> memoryview:
        with self._lock:
            if self._words is None:
                self._words = self.counters.claim(self._name)
            return self._words

    def begin(self) -> None:
        words = self._words
        if words is None:
            words = self._claim()
        with self._lock:
            words[_STARTED] += 1

    def end(self, status: str, size: int, nanoseconds: int) -> None:
        """Count a request that has begun; `size` is that of its answer's body in bytes."""
        words = self._words
        if words is None:
            words = self._claim()
        bucket = _HISTOGRAM + bisect_right(ENDS, nanoseconds)
        with self._lock:
            words[_ENDED_WITH.get(status[:1], _ENDED)] += 1
            words[_BYTES] += size
            words[_NANOSECONDS] += nanoseconds
            words[bucket] += 1


class SiblingCounts:
    """How many connections each process of a service has open: webdemo.servers.Siblings."""

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
        """This process accepts no more."""
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
    """What the system says of a service, as the supervisor notes it for whoever reads the counters."""

    def __init__(self, counters: SharedCounters, name: str) -> None:
        self._words = counters.claim(name)
        self._words[_CONNECTIONS] = _MOST  # who notes accepts nothing

    def write(self, usage: Usage, *, restarts: int) -> None:
        self._words[_MEMORY_BYTES] = usage.memory_bytes
        self._words[_CPU_NANOSECONDS] += int(usage.cpu_seconds * 1e9)
        self._words[_PROCESSES] = usage.processes
        self._words[_RESTARTS] = restarts
