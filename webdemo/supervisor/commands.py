"""Runs the commands of the control socket, in the main process.

The rule: a command is answered when its work is done; one that cannot be done is refused with a UsageError.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from webdemo import servers
from webdemo.errors import UsageError, WebdemoError
from webdemo.net.listener import listen
from webdemo.stats.figures import INTERVAL_SECONDS, KEPT_SAMPLES
from webdemo.supervisor.control import Reply, refusal
from webdemo.supervisor.log_tail import KEPT_LINES
from webdemo.supervisor.plan import rebind, service_for
from webdemo.supervisor.processes import State
from webdemo.supervisor.service import Listener, RunningService
from webdemo.worker.messages import COUNT, PORT, TEXT, Field, Form, fields, shown

if TYPE_CHECKING:
    from webdemo.supervisor.supervisor import Done, Supervisor

_PORT = {"port": Field(PORT)}
_ANY_PORT = {"port": Field(PORT, is_required=False)}
FORMS: dict[str, Form] = {
    "status": {},
    "history": {"seconds": Field(COUNT, is_required=False, default=KEPT_SAMPLES * INTERVAL_SECONDS)},
    "log": _PORT | {"lines": Field(COUNT, is_required=False, default=KEPT_LINES)},
    "reload": {},
    "restart": _ANY_PORT,
    "stop": _ANY_PORT,
    "start": _PORT,
    "swap": _PORT | {"server": Field(TEXT)},
    "kill": _PORT,
}
"""The fields of each command."""


class Commands:
    """Carries out commands on the supervisor's services."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    def obey(self, message: dict[str, Any], reply: Callable[[Reply], None]) -> None:
        what = message.pop("do", None)
        form = FORMS.get(what) if isinstance(what, str) else None
        if form is None:
            raise UsageError(f"There is no command {shown(what)}.", remedy=f"These are: {', '.join(FORMS)}.")
        given = fields(message, form)
        port = given.get("port", "")

        def done(error: WebdemoError | None) -> None:
            reply({"ok": True} if error is None else refusal(error))

        if self._supervisor.is_stopping and what not in ("status", "history", "log"):
            raise UsageError("This webdemo is stopping.", remedy="Start a new one.")
        match what:
            case "status":
                reply({"ok": True} | self.status())
            case "history":
                reply({"ok": True} | self.history(given["seconds"]))
            case "log":
                reply({"ok": True, "lines": self.log(port, int(given["lines"]))})
            case "kill":
                reply({"ok": True, "pids": self.kill(port)})
            case "reload":
                self._supervisor.reload(done)
            case "restart":
                self.restart(port, done)
            case "stop":
                self.stop(port, done)
            case "start":
                self.start(port, done)
            case "swap":
                self.swap(port, given["server"], done)

    def status(self) -> dict[str, Any]:
        """Everything that `webdemo ps` shows, ready for JSON."""
        supervisor = self._supervisor
        return {
            "pid": os.getpid(),
            "target": str(supervisor.plan.target),
            "since": supervisor.since,
            "stopping": supervisor.is_stopping,
            "services": [
                running.status() | {"figures": supervisor.figures.latest(running.ports)}
                for running in supervisor.services
            ],
        }

    def history(self, seconds: float) -> dict[str, Any]:
        """The samples of the last `seconds`, ready for JSON; docs/metrics.md documents the fields."""
        return {
            "time": time.time(),
            "interval_seconds": INTERVAL_SECONDS,
            "services": self._supervisor.figures.history(seconds),
        }

    def log(self, port: str, count: int) -> list[dict[str, Any]]:
        """Up to `count` of the last log lines of the service on the port, ready for JSON."""
        running, _ = self._find(port)
        for process in running.processes:
            process.take_output()
        return running.log.last(count)

    def kill(self, port: str) -> list[int]:
        """Send SIGKILL to the server processes behind the port, and return their pids; they are restarted."""
        running, _ = self._find(port)
        if not running.pids:
            raise UsageError(f"{running} has no process to kill.", remedy="See: webdemo ps")
        pids = list(running.pids)
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
        from webdemo.supervisor.supervisor import Replacement

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
