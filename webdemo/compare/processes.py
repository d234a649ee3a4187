"""The CPU time and memory of a server's processes, and the processors they are pinned to.

A server means its own process and all its descendants, the workers.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Sequence

import psutil

from webdemo.stats import usage


def cpu_seconds(pids: Iterable[int]) -> float:
    """The processor time used so far, in seconds; resolution 1 ns on Linux, mostly 10 ms elsewhere."""
    total = 0.0
    for pid in pids:
        with contextlib.suppress(OSError, psutil.Error):  # it has ended
            total += _cpu_seconds(pid)
    return total


def memory_bytes(pids: Iterable[int]) -> int:
    """Their memory: the proportional set size (PSS) on Linux, the resident set size (RSS) elsewhere."""
    total = 0
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            total += usage.memory_bytes(psutil.Process(pid))
    return total


def with_descendants(pids: Iterable[int]) -> list[int]:
    """These processes and all their descendants, each once."""
    found: dict[int, None] = {}
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            found |= dict.fromkeys([pid, *(child.pid for child in process.children(recursive=True))])
    return list(found)


def split_cpus() -> tuple[frozenset[int], frozenset[int]] | None:
    """The processors for the servers, and the one for the load; None if they cannot be separated."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    *servers, client = sorted(os.sched_getaffinity(0))
    return (frozenset(servers), frozenset({client})) if servers else None


def pin(pids: Sequence[int], cpus: frozenset[int]) -> None:
    """Pin all current and future threads of these processes to some processors."""
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            for thread in psutil.Process(pid).threads():
                with contextlib.suppress(OSError):  # it has ended
                    os.sched_setaffinity(thread.id, cpus)


def _cpu_seconds(pid: int) -> float:
    if psutil.LINUX:
        # The id of the process's CPU clock, computed as in clock_getcpuclockid(3).
        return time.clock_gettime(~pid << 3 | 2)
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)
