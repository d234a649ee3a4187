"""Memory, CPU time and number of the server processes. Runs in the supervisor.

A server process leads a process group, which its workers belong to. Searching for them is slow, so it is
done only now and then. Measuring memory is slowest: it is done when a process is found, and then for one
process per look, so that the cost does not grow with their number.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil


@dataclass(slots=True)
class Usage:
    """The total use of a set of processes."""

    memory_bytes: int = 0
    processes: int = 0
    cpu_seconds: float = 0.0  # since the last look; for new processes, since their start
    cpu_percent: float = 0.0  # since the last look; 100 is one CPU

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.memory_bytes + other.memory_bytes,
            self.processes + other.processes,
            self.cpu_seconds + other.cpu_seconds,
            self.cpu_percent + other.cpu_percent,
        )


@dataclass(slots=True)
class _Member:
    """A process of a group, with its last measurements."""

    process: psutil.Process
    cpu_seconds: float
    memory_bytes: int
    measured: int  # the number of the look in which its memory was measured


class UsageTable:
    """The use of each process group of the run, by the pid of its leader."""

    def __init__(self) -> None:
        self._groups: dict[int, list[_Member]] = {}
        self._looks = itertools.count(1)

    def look(self, leaders: set[int], seconds: float, *, closely: bool) -> dict[int, Usage]:
        """Measure all groups, `seconds` after the last look; `closely`: search for new processes too."""
        number = next(self._looks)
        usages = {pid: Usage() for pid in leaders}
        if closely or leaders != self._groups.keys():
            for pid, unseen_cpu_seconds in self._find(leaders, number).items():
                usages[pid].cpu_seconds += unseen_cpu_seconds
        everyone = [member for members in self._groups.values() for member in members]
        if everyone:
            _measure(min(everyone, key=lambda member: member.measured), number)
        for pid, members in self._groups.items():
            members[:] = [member for member in members if _count(member, usages[pid], seconds)]
        return usages

    def _find(self, leaders: set[int], number: int) -> dict[int, float]:
        """Find the processes of these groups; returns the CPU seconds of the new ones so far, by group."""
        import psutil

        known = {member.process: member for members in self._groups.values() for member in members}
        self._groups = {pid: [] for pid in leaders}
        unseen = dict.fromkeys(leaders, 0.0)
        for pid, process in _members(leaders):
            member = known.get(process)
            if member is None:
                with contextlib.suppress(psutil.Error):  # it has ended
                    member = _Member(process, _cpu_seconds(process), memory_bytes(process), number)
                    unseen[pid] += member.cpu_seconds
            if member is not None:
                self._groups[pid].append(member)
        return unseen


def _measure(member: _Member, number: int) -> None:
    import psutil

    member.measured = number
    with contextlib.suppress(psutil.Error):
        member.memory_bytes = memory_bytes(member.process)


def _count(member: _Member, usage: Usage, seconds: float) -> bool:
    """Add the use of a process since the last look, `seconds` ago; returns False if it has ended."""
    import psutil

    before = member.cpu_seconds
    try:
        member.cpu_seconds = _cpu_seconds(member.process)
    except psutil.Error:
        return False
    usage.cpu_seconds += member.cpu_seconds - before
    usage.cpu_percent += (member.cpu_seconds - before) / seconds * 100
    usage.memory_bytes += member.memory_bytes
    usage.processes += 1
    return True


def _members(leaders: set[int]) -> Iterator[tuple[int, psutil.Process]]:
    """The descendants of this process that belong to these groups, each with its group."""
    import psutil

    with contextlib.suppress(psutil.Error):  # no /proc is mounted
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(ProcessLookupError):
                group = os.getpgid(process.pid)
                if group in leaders:
                    yield group, process


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def memory_bytes(process: psutil.Process) -> int:
    """PSS where available (Linux), which divides shared memory among its users; else RSS."""
    full = process.memory_full_info()
    return int(getattr(full, "pss", full.rss))
