"""Runs the commands of the control socket, in the main process.

The rule: a command is answered when the wish that it makes is fulfilled, has failed, or was replaced by a
later one. What can be seen to be impossible is refused at once, with a UsageError.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Protocol

from webdemo.errors import UsageError, WebdemoError
from webdemo.servers import registry
from webdemo.stats.figures import INTERVAL_SECONDS, Figures
from webdemo.supervisor import desired
from webdemo.supervisor.control import Respond
from webdemo.supervisor.control_messages import (
    Command,
    Completed,
    History,
    Kill,
    Killed,
    Log,
    LogLine,
    LogLines,
    Reload,
    Restart,
    RunHistory,
    RunStatus,
    Start,
    Status,
    Stop,
    Swap,
)
from webdemo.supervisor.executor import Executor, service_of
from webdemo.supervisor.plan import Plan, Service, rebind, service_for
from webdemo.supervisor.reconciler import Reconciler
from webdemo.supervisor.status import Overview
from webdemo.supervisor.wording import STOPPING, label

Done = Callable[[WebdemoError | None], None]


class Run(Protocol):
    """What the commands need of the supervisor."""

    plan: Plan
    since: float
    figures: Figures
    reconciler: Reconciler
    executor: Executor
    overview: Overview

    def wish(self, edit: desired.PortEdit, done: Done) -> None: ...

    def reload(self, done: Done) -> None: ...

    def reread(self) -> str: ...

    def stop(self, why: str, done: Done) -> None: ...

    def act(self) -> None: ...


class Commands:
    """Turns commands into wishes."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def obey(self, command: Command, respond: Respond) -> None:
        run = self._run

        def done(error: WebdemoError | None) -> None:
            respond(error or Completed())

        match command:
            case Status():
                respond(self.status())
            case History(seconds):
                respond(RunHistory(time.time(), INTERVAL_SECONDS, run.figures.history(seconds)))
            case Log(port, lines):
                respond(LogLines(self.log(port, int(lines))))
            case Kill(port):
                respond(Killed(self.kill(port)))
            case Reload():
                changed = run.reread()
                run.reload(lambda error: respond(error or Completed(changed)))
            case Restart(None):
                every = tuple(port for slot in run.reconciler.settled.slots for port in slot.ports)
                run.wish(desired.Restart(every), done)
            case Restart(str(port)):
                kind = desired.Restart if self._find(port).is_running else desired.Start
                run.wish(kind((port,)), done)
            case Stop(None):
                run.stop("webdemo stop", done)
            case Stop(str(port)):
                self._refuse_stop(port)
                run.wish(desired.Stop((port,)), done)
            case Start(port):
                self._refuse_start(port)
                run.wish(desired.Start((port,)), done)
            case Swap(port, server):
                run.wish(desired.Swap((port,), self._service_for_swap(port, server)), done)

    def status(self) -> RunStatus:
        run = self._run
        return RunStatus(
            pid=os.getpid(),
            target=str(run.plan.target),
            since=run.since,
            stopping=run.reconciler.stopping is not None,
            services=run.overview.services(run.figures),
            changes=run.overview.changes(),
        )

    def log(self, port: str, count: int) -> tuple[LogLine, ...]:
        """Up to `count` of the last log lines of the service on the port."""
        slot = self._find(port)
        for process in self._run.executor.of(self._run.reconciler.spec_of(slot)):
            process.take_output()
        return self._run.executor.log_of(slot.ports).last(count)

    def kill(self, port: str) -> tuple[int, ...]:
        """Send SIGKILL to the server processes behind the port, and return their pids; they are restarted."""
        if self._run.reconciler.stopping is not None:
            raise STOPPING
        slot = self._find(port)
        pids = self._run.overview.pids(slot)
        if not pids:
            raise UsageError(f"{label(slot)} has no process to kill.", remedy="See: webdemo ps")
        self._run.reconciler.kill(port)
        self._run.act()
        return pids

    def _refuse_stop(self, port: str) -> None:
        slot = self._find(port)
        if not slot.is_running and not self._run.reconciler.has_change(port):
            raise UsageError(f"{label(slot)} is stopped already.", remedy=f"Start it: webdemo start {port}")

    def _refuse_start(self, port: str) -> None:
        slot, reconciler = self._find(port), self._run.reconciler
        state = reconciler.state_of(slot)
        if state not in ("stopped", "given up") and not reconciler.has_change(port):
            raise UsageError(f"{label(slot)} is {state} already.", remedy="See: webdemo ps")
        for one in slot.ports:
            self._run.executor.listeners[one].refuse_if_gone()

    def _service_for_swap(self, port: str, server: str) -> Service:
        slot = self._find(port)
        earlier = service_of(slot)
        if not slot.is_running:
            raise UsageError(f"{label(slot)} is stopped.", remedy=f"Start it first: webdemo start {port}")
        bind = rebind(self._run.executor.listeners[port].bind, server)
        service = service_for(bind, default_server=earlier.server)
        if service.scheme != earlier.scheme:
            raise UsageError(
                f"The port {port} speaks {earlier.scheme}, and the server {service.server} speaks "
                f"{service.scheme}: its clients would not understand it.",
                remedy=f"Give it its own port: -b {service.server}://:PORT",
            )
        for name in (earlier.server, service.server):
            if registry.find(name).opens_own_sockets:
                raise UsageError(
                    f"The server {name} opens its port itself, so it cannot be swapped without a gap.",
                    remedy="Stop webdemo and start it with the other server.",
                )
        if service.tls and service.certificate is None:
            service = service._replace(certificate=earlier.certificate)
        return service._replace(target=earlier.target, share=earlier.share)

    def _find(self, port: str) -> desired.Slot:
        slots = self._run.reconciler.settled.slots
        slot = self._run.reconciler.settled.slot_of(port)
        if slot is None:
            known = ", ".join(port for slot in slots for port in slot.ports)
            raise UsageError(f"Nothing of this webdemo listens on {port}.", remedy=f"It has {known}.")
        return slot
