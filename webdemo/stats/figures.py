"""Samples of each service, once a second for the last five minutes. Runs in the supervisor.

Memory is bounded: for each running service a ring of samples and, for the quantiles, the counts of the
last ten seconds. A service is identified by its ports, so that its figures continue when its server is
restarted or swapped.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from operator import sub
from typing import NamedTuple, Protocol

from webdemo.stats.counters import SharedCounters, SystemNotes, Totals, service_name
from webdemo.stats.latency import quantile
from webdemo.stats.usage import Usage

INTERVAL_SECONDS = 1.0
KEPT_SAMPLES = 300
QUANTILE_SAMPLES = 10
_CLOSE_LOOK_SAMPLES = 5


class Sample(NamedTuple):
    """The figures of a service at one time; docs/metrics.md explains each."""

    time: float
    requests_per_second: float
    errors_per_second: float
    bytes_per_second: float
    p50_ms: float | None
    p99_ms: float | None
    in_flight: int
    oldest_request_seconds: float  # of those whose response has not begun; 0.0: there is none
    memory_bytes: int
    cpu_percent: float
    processes: int
    requests: int
    errors: int
    bytes: int


class Series(NamedTuple):
    """Figures of successive samples; all have the same length."""

    time: tuple[float, ...]
    requests_per_second: tuple[float, ...]
    errors_per_second: tuple[float, ...]
    bytes_per_second: tuple[float, ...]
    p50_ms: tuple[float | None, ...]
    p99_ms: tuple[float | None, ...]
    in_flight: tuple[int, ...]
    memory_bytes: tuple[int, ...]
    cpu_percent: tuple[float, ...]


class ServiceHistory(NamedTuple):
    server: str
    ports: tuple[str, ...]
    series: Series


class Served(NamedTuple):
    """The properties of a service that the figures need."""

    server: str
    ports: tuple[str, ...]
    pids: tuple[int, ...]  # of its server processes
    restarts: int

    @property
    def counted_as(self) -> str:
        return service_name(self.server, self.ports)


class Look(Protocol):
    """Measures what process groups use; see UsageTable.look."""

    def __call__(self, leaders: set[int], seconds: float, *, closely: bool) -> Mapping[int, Usage]: ...


class Figures:
    """The samples of all running services."""

    def __init__(self, counters: SharedCounters, look: Look) -> None:
        self._counters = counters
        self._look = look
        self._services: dict[tuple[str, ...], _Samples] = {}
        self._notes: dict[str, SystemNotes] = {}
        self._sampled_at: float | None = None
        self._numbers = itertools.count()

    def sample(self, services: Sequence[Served], *, monotonic: float, wall: float) -> None:
        """Sample each service. `monotonic` and `wall` are the times of these clocks, in seconds."""
        seconds = INTERVAL_SECONDS if self._sampled_at is None else max(monotonic - self._sampled_at, 1e-3)
        self._sampled_at = monotonic
        leaders = {pid for served in services for pid in served.pids}
        usages = self._look(leaders, seconds, closely=next(self._numbers) % _CLOSE_LOOK_SAMPLES == 0)
        counted = self._counters.read()
        self._services = {served.ports: self._services.get(served.ports) or _Samples() for served in services}
        gone = set(self._notes)
        for served in services:
            usage = sum((usages[pid] for pid in served.pids), Usage())
            own_name = served.counted_as
            _, _, ports = own_name.partition(" ")
            of_ports = (t for name, t in counted.items() if name.partition(" ")[2] == ports)
            totals = reduce(Totals.plus, of_ports, Totals())
            self._services[served.ports].add(served.server, totals, usage, seconds, wall)
            gone.discard(own_name)
            self._note(own_name, usage, served.restarts)
        for name in gone:
            self._note(name, Usage(), 0)

    def _note(self, name: str, usage: Usage, restarts: int) -> None:
        """Store the measurements in shared memory, next to the counts, for /metrics."""
        if name not in self._notes:
            self._notes[name] = SystemNotes(self._counters, name)
        self._notes[name].write(usage, restarts=restarts)

    def latest(self, ports: Iterable[str]) -> Sample | None:
        """The last sample of the service on these ports; None before the first."""
        samples = self._services.get(tuple(ports))
        return samples.latest() if samples else None

    def history(self, seconds: float) -> tuple[ServiceHistory, ...]:
        """The samples of the last `seconds` of each service."""
        return tuple(
            ServiceHistory(samples.server, ports, samples.series(seconds))
            for ports, samples in self._services.items()
        )


class _Samples:
    """The last samples of one service."""

    def __init__(self) -> None:
        self.server = ""
        self._ring: deque[Sample] = deque(maxlen=KEPT_SAMPLES)
        self._counted: deque[Totals] = deque([Totals()], maxlen=QUANTILE_SAMPLES)

    def add(self, server: str, totals: Totals, usage: Usage, seconds: float, wall: float) -> None:
        """Add a sample, taken `seconds` after the previous one."""
        self.server = server
        before = self._counted[-1]
        recent = list(map(sub, totals.histogram, self._counted[0].histogram))
        self._counted.append(totals)
        self._ring.append(
            Sample(
                time=round(wall, 3),
                requests_per_second=round((totals.requests - before.requests) / seconds, 1),
                errors_per_second=round((totals.errors - before.errors) / seconds, 1),
                bytes_per_second=round((totals.bytes - before.bytes) / seconds, 1),
                p50_ms=_milliseconds(quantile(recent, 0.5)),
                p99_ms=_milliseconds(quantile(recent, 0.99)),
                in_flight=totals.in_flight,
                oldest_request_seconds=_age(totals.oldest_began),
                memory_bytes=usage.memory_bytes,
                cpu_percent=round(usage.cpu_percent, 1),
                processes=usage.processes,
                requests=totals.requests,
                errors=totals.errors,
                bytes=totals.bytes,
            )
        )

    def latest(self) -> Sample | None:
        return self._ring[-1] if self._ring else None

    def series(self, seconds: float) -> Series:
        newest = self._ring[-1].time if self._ring else 0.0
        samples = [sample for sample in self._ring if sample.time > newest - seconds]
        return Series(*(tuple(getattr(sample, name) for sample in samples) for name in Series._fields))


def _age(began: int) -> float:
    return round((time.perf_counter_ns() - began) / 1e9, 1) if began else 0.0


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)
