"""Runs the commands of the control socket, in the main process.

The rule: a command is answered when its work is done; one that cannot be done is refused with a UsageError.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from webdemo import servers
from webdemo.errors import UsageError, WebdemoError
from webdemo.net.listener import listen
from webdemo.stats.figures import INTERVAL_SECONDS, Figures
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
    Query,
    Reload,
    Restart,
    RunHistory,
    RunStatus,
    Start,
    Status,
    Stop,
    Swap,
)
from webdemo.supervisor.loop import Loop
from webdemo.supervisor.plan import Plan, rebind, service_for
from webdemo.supervisor.service import Listener, RunningService, State

Done = Callable[[WebdemoError | None], None]
"""Called when a command has completed (None) or failed."""


@dataclass(slots=True, eq=False)
class Replacement:
    """New services that will take over from old ones: all of them, or none."""

    why: str
    old: Sequence[RunningService]
    new: Sequence[RunningService]
    done: Done
    beside: Sequence[RunningService] = ()  # stopped parts of the old ones, listed after the new ones
    began: float = field(default_factory=time.monotonic)


class Run(Protocol):
    """What the commands need of the supervisor."""

    plan: Plan
    services: list[RunningService]
    figures: Figures
    since: float
    loop: Loop

    @property
    def is_stopping(self) -> bool: ...

    def drain(self, why: str) -> None: ...

    def reload(self, done: Done) -> None: ...

    def replace(self, replacement: Replacement) -> None: ...

    def is_being_replaced(self, running: RunningService) -> bool: ...


class Commands:
    """Carries out commands on the supervisor's services."""

    def __init__(self, supervisor: Run) -> None:
        self._supervisor = supervisor

    def obey(self, command: Command, respond: Respond) -> None:
        if self._supervisor.is_stopping and not isinstance(command, Query):
            raise UsageError("This webdemo is stopping.", remedy="Start a new one.")

        def done(error: WebdemoError | None) -> None:
            respond(Completed() if error is None else error)

        match command:
            case Status():
                respond(self.status())
            case History(seconds):
                respond(RunHistory(time.time(), INTERVAL_SECONDS, self._supervisor.figures.history(seconds)))
            case Log(port, lines):
                respond(LogLines(self.log(port, int(lines))))
            case Kill(port):
                respond(Killed(self.kill(port)))
            case Reload():
                self._supervisor.reload(done)
            case Restart(port):
                self.restart(port, done)
            case Stop(port):
                self.stop(port, done)
            case Start(port):
                self.start(port, done)
            case Swap(port, server):
                self.swap(port, server, done)

    def status(self) -> RunStatus:
        supervisor = self._supervisor
        return RunStatus(
            pid=os.getpid(),
            target=str(supervisor.plan.target),
            since=supervisor.since,
            stopping=supervisor.is_stopping,
            services=tuple(
                running.status(supervisor.figures.latest(running.ports)) for running in supervisor.services
            ),
        )

    def log(self, port: str, count: int) -> tuple[LogLine, ...]:
        """Up to `count` of the last log lines of the service on the port."""
        running, _ = self._find(port)
        for process in running.processes:
            process.take_output()
        return running.log.last(count)

    def kill(self, port: str) -> tuple[int, ...]:
        """Send SIGKILL to the server processes behind the port, and return their pids; they are restarted."""
        running, _ = self._find(port)
        if not running.pids:
            raise UsageError(f"{running} has no process to kill.", remedy="See: webdemo ps")
        pids = running.pids
        for process in running.processes:
            process.signal(signal.SIGKILL)
        return pids

    def restart(self, port: str | None, done: Done) -> None:
        if port is not None and self._find(port)[0].state in ("stopped", "given up"):
            self.start(port, done)
            return
        services = self._supervisor.services
        old = [self._find(port)[0]] if port is not None else [s for s in services if s.state == "up"]
        self._replace("restart", old, [running.successor() for running in old], done)

    def stop(self, port: str | None, done: Done) -> None:
        if port is None:
            done(None)
            self._supervisor.drain("asked to")
            return
        running, listener = self._find(port)
        if running.state == "stopped":
            raise UsageError(f"{running} is stopped already.", remedy=f"Start it: webdemo start {port}")
        stopped = running.part([listener])
        stopped.state = "stopped"

        def close(error: WebdemoError | None) -> None:
            if error is not None:
                done(error)
                return
            listener.close()
            until_closed()

        def until_closed() -> None:
            # While a draining process still holds the socket, clients can connect.
            if any(process.state is not State.DEAD for process in running.processes):
                self._supervisor.loop.after(0.005, until_closed)
            else:
                done(None)

        self._replace("stop", [running], running.without(listener), close, beside=[stopped])

    def start(self, port: str, done: Done) -> None:
        running, _ = self._find(port)
        if running.state not in ("stopped", "given up"):
            raise UsageError(f"{running} is {running.state} already.", remedy="See: webdemo ps")
        for listener in running.listeners:
            if listener.bind.fd is not None and not listener.sockets:
                raise UsageError(
                    f"The socket {listener.bind} was inherited; once closed it cannot be opened again.",
                    remedy="Restart webdemo by what opened it.",
                )
        for listener in running.listeners:
            if not listener.sockets:
                listener.sockets = listen(listener.bind)
        self._replace("start", [running], [running.successor()], done)

    def swap(self, port: str, server: str, done: Done) -> None:
        running, listener = self._find(port)
        if running.state == "stopped":
            raise UsageError(f"{running} is stopped.", remedy=f"Start it first: webdemo start {port}")
        bind = rebind(listener.bind, server)
        service = service_for(bind, default_server=running.service.server)
        if service.scheme != running.service.scheme:
            raise UsageError(
                f"The port {port} speaks {running.service.scheme}, and the server {service.server} speaks "
                f"{service.scheme}: its clients would not understand it.",
                remedy=f"Give it a port of its own: -b {service.server}://:PORT",
            )
        for name in (running.service.server, service.server):
            if servers.find(name).opens_own_sockets:
                raise UsageError(
                    f"The server {name} opens its port itself, so it cannot be swapped without a gap.",
                    remedy="Stop webdemo and start it with the other server.",
                )
        if service.tls and service.certificate is None:
            service = service._replace(certificate=running.service.certificate)
        service = service._replace(binds=(listener.bind,), target=running.service.target)
        new = RunningService(service, [listener], log=running.log_for([listener]))
        self._replace("swap", [running], [new, *running.without(listener)], done)

    def _replace(
        self,
        why: str,
        old: list[RunningService],
        new: list[RunningService],
        done: Done,
        beside: tuple[RunningService, ...] | list[RunningService] = (),
    ) -> None:
        for running in old:
            if self._supervisor.is_being_replaced(running):
                raise UsageError(f"{running} is being replaced right now.", remedy="Try again in a moment.")
        self._supervisor.replace(Replacement(why, old, new, done, beside))

    def _find(self, port: str) -> tuple[RunningService, Listener]:
        services = self._supervisor.services
        for running in services:
            for listener in running.listeners:
                if listener.name() == port:
                    return running, listener
        known = ", ".join(listener.name() for running in services for listener in running.listeners)
        raise UsageError(f"Nothing of this webdemo listens on {port}.", remedy=f"It has {known}.")
