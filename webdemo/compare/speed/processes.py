"""What a server's processes use, and on which processors they run.

A server is a process group: the process that leads it, and its workers.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Sequence

import psutil


def cpu_seconds(pids: Iterable[int]) -> float:
    """The processor time that they have used; in nanoseconds on Linux, in ticks of 10 ms elsewhere."""
    total = 0.0
    for pid in pids:
        with contextlib.suppress(OSError, psutil.Error):  # it has ended
            total += _cpu_seconds(pid)
    return total


def memory_bytes(pids: Iterable[int]) -> int:
    """Their memory; what several processes share is divided among them, where the system tells (Linux)."""
    total = 0
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            full = psutil.Process(pid).memory_full_info()
            total += getattr(full, "pss", full.rss)
    return total


def with_descendants(pids: Iterable[int]) -> list[int]:
    """They and the processes below them, each once."""
    found: dict[int, None] = {}
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            found |= dict.fromkeys([pid, *(child.pid for child in process.children(recursive=True))])
    return list(found)


def split_cpus() -> tuple[frozenset[int], frozenset[int]] | None:
    """The processors for the servers and the one for the load; None where they cannot be kept apart."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    *servers, client = sorted(os.sched_getaffinity(0))
    return (frozenset(servers), frozenset({client})) if servers else None


def pin(pids: Sequence[int], cpus: frozenset[int]) -> None:
    """Keep all threads that these processes have, and those that they will start, on some processors."""
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            for thread in psutil.Process(pid).threads():
                with contextlib.suppress(OSError):  # it has ended
                    os.sched_setaffinity(thread.id, cpus)


def _cpu_seconds(pid: int) -> float:
    if psutil.LINUX:
        # The number of the process's clock, as clock_getcpuclockid(3) makes it.
        return time.clock_gettime(~pid << 3 | 2)
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)
