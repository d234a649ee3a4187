"""Stops the program that listens on a port.

The rule: only the user's own processes; parents before children; SIGTERM before SIGKILL; and never a
process that has reused another's pid.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from webdemo.errors import PortNotPermitted, PortUnavailable
from webdemo.net.holders import Process, tcp_listeners

GRACE_SECONDS = 10.0
_LOOK_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Stopped:
    process: Process
    killed: bool
    """Whether it outlived SIGTERM and got SIGKILL."""

    def describe(self) -> str:
        how = "ignored SIGTERM and was killed" if self.killed else "has exited"
        return f"{self.process.command} (pid {self.process.pid}) {how}."


def find_stoppable(port: int) -> list[Process]:
    """The user's processes that listen on the port, parents first.

    Raises PortUnavailable, or PortNotPermitted if all of them belong to other users.
    """
    listening = tcp_listeners(port)
    if not listening:
        raise PortUnavailable(f"Nothing listens on port {port}.", remedy="There is nothing to stop.")
    found = {process.pid: process for one in listening for process in one.processes}
    mine = [process for process in found.values() if process.is_mine and process.pid != os.getpid()]
    if not mine:
        raise PortNotPermitted(
            f"Port {port} is in use by {listening[0].describe()}, which you may not stop.",
            remedy="Ask its owner to stop it, or use another port: webdemo port --free prints one.",
        )
    return sorted(mine, key=lambda process: (process.parent in found, process.started, process.pid))


def stop(processes: Sequence[Process], *, grace_seconds: float = GRACE_SECONDS) -> list[Stopped]:
    """Stop the processes found by `find_stoppable`; kill those that outlive the grace time.

    SIGTERM goes to the parents, which stop their children; SIGKILL goes to all that are left.
    """
    import psutil

    pids = {process.pid for process in processes}
    alive = {process.pid: process for process in processes if _runs(process)}
    for process in processes:
        if process.parent not in pids and process.pid in alive:
            _send(process, psutil.Process.terminate)
    deadline = time.monotonic() + grace_seconds
    while alive and time.monotonic() < deadline:
        time.sleep(_LOOK_SECONDS)
        alive = {pid: process for pid, process in alive.items() if _runs(process)}
    for process in alive.values():
        _send(process, psutil.Process.kill)
    return [Stopped(process, killed=process.pid in alive) for process in processes]


def _runs(process: Process) -> bool:
    import psutil

    try:
        found = psutil.Process(process.pid)
        return bool(found.create_time() == process.started and found.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _send(process: Process, signal: Callable[[Any], None]) -> None:
    import psutil

    with suppress(psutil.Error):  # it has ended meanwhile
        if _runs(process):
            signal(psutil.Process(process.pid))
