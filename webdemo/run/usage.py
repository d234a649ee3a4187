"""What the system says of server processes: memory, processor time, how many there are.

The server process leads a process group, and its workers are in it. Finding them and their memory
takes long, so it is done now and then; processor time is asked for each time.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil


@dataclass(slots=True)
class Usage:
    """What processes use together."""

    memory_bytes: int = 0
    processes: int = 0
    cpu_seconds: float = 0.0  # since the last look, and before it what had not been seen yet
    cpu_percent: float = 0.0  # since the last look; 100 is one processor

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.memory_bytes + other.memory_bytes,
            self.processes + other.processes,
            self.cpu_seconds + other.cpu_seconds,
            self.cpu_percent + other.cpu_percent,
        )


@dataclass(slots=True)
class _Group:
    """The processes of a group that are known, each with the processor time that it had used."""

    members: dict[psutil.Process, float] = field(default_factory=dict)
    memory_bytes: int = 0
    unseen_cpu_seconds: float = 0.0

    def join(self, found: Iterable[psutil.Process]) -> None:
        """From now on these are its processes."""
        import psutil

        self.memory_bytes = 0
        members = {}
        for process in found:
            with contextlib.suppress(psutil.Error):  # it has ended
                self.memory_bytes += _memory_bytes(process)
                if process in self.members:
                    members[process] = self.members[process]
                else:
                    members[process] = _cpu_seconds(process)
                    self.unseen_cpu_seconds += members[process]
        self.members = members

    def look(self, seconds: float) -> Usage:
        """What they use; the last look was so long ago."""
        import psutil

        used = 0.0
        for process, before in list(self.members.items()):
            try:
                self.members[process] = _cpu_seconds(process)
                used += self.members[process] - before
            except psutil.Error:
                del self.members[process]
        unseen, self.unseen_cpu_seconds = self.unseen_cpu_seconds, 0.0
        return Usage(self.memory_bytes, len(self.members), used + unseen, used / seconds * 100)


class UsageTable:
    """What each process group of the run uses, by the pid of its leader."""

    def __init__(self) -> None:
        self._groups: dict[int, _Group] = {}

    def look(self, leaders: set[int], seconds: float, *, closely: bool) -> dict[int, Usage]:
        """The last look was so long ago; `closely`: find new processes, and measure the memory."""
        if closely or leaders != self._groups.keys():
            self._groups = {pid: self._groups.get(pid) or _Group() for pid in leaders}
            members = _members(leaders)
            for pid, group in self._groups.items():
                group.join(members.get(pid, ()))
        return {pid: group.look(seconds) for pid, group in self._groups.items()}


def _members(leaders: set[int]) -> dict[int, list[psutil.Process]]:
    """The processes of each group, among those that this one or its children have started."""
    import psutil

    members: dict[int, list[psutil.Process]] = {}
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(ProcessLookupError):
            group = os.getpgid(process.pid)
            if group in leaders:
                members.setdefault(group, []).append(process)
    return members


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _memory_bytes(process: psutil.Process) -> int:
    """Shared memory is divided among those that share it, where the system tells (Linux)."""
    full = process.memory_full_info()
    return int(getattr(full, "pss", full.rss))
