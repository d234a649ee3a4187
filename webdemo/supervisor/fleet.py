"""Starts, probes and drains the server processes of a run, and reports their ends. Runs in the main process.

The rule: nothing is decided here. What follows from an answer or a death is up to the supervisor.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from webdemo import servers
from webdemo.errors import SystemRefusal, WebdemoError
from webdemo.middleware import stack
from webdemo.middleware.access_log import mark_of
from webdemo.net.listener import listen
from webdemo.stats.counters import SharedCounters
from webdemo.supervisor import probe
from webdemo.supervisor.generation import Generation
from webdemo.supervisor.loop import Loop
from webdemo.supervisor.plan import Plan
from webdemo.supervisor.processes import OnOutput
from webdemo.supervisor.service import RunningService, ServerProcess, State
from webdemo.worker import interpreter
from webdemo.worker.messages import ChildReport, Exited, Failed, Ready, Refused, ServerReport, Spawn, Spawned

PROBE_SECONDS = 60.0
_LOOK_AGAIN_SECONDS = 1.0


class Hooks(NamedTuple):
    """The callbacks of the fleet."""

    on_output: OnOutput
    on_sources: Callable[[tuple[str, ...]], None]
    on_answer: Callable[[ServerProcess], None]  # the process has answered its first request
    on_end: Callable[[ServerProcess, int | None], None]  # with the exit code, if known
    on_cut_off: Callable[[ServerProcess], None]  # it did not drain in time and was killed
    services: Callable[[], tuple[stack.ServiceFacts, ...]]  # of the run, as shown to apps


class Fleet:
    """Every server process that has not ended, by our own number for it (not its pid)."""

    def __init__(self, loop: Loop, plan: Plan, hooks: Hooks) -> None:
        self.processes: dict[int, ServerProcess] = {}
        self.counters = SharedCounters.create()
        self._loop = loop
        self._plan = plan
        self._hooks = hooks
        self._token = os.urandom(24).hex()
        self._mark = mark_of(self._token)
        self._numbers = itertools.count(1)
        self._draining_read, self._draining_write = os.pipe()

    def spawn(self, running: RunningService, generation: Generation) -> None:
        """Start one process of the service on its sockets. Never raises: failures are reported as its end."""
        process = ServerProcess(next(self._numbers), running)
        running.processes.append(process)
        self.processes[process.number] = process
        try:
            self._order(process, generation)
        except (OSError, WebdemoError) as exc:
            error = exc if isinstance(exc, WebdemoError) else SystemRefusal(interpreter.NO_PROCESS, exc)
            self._loop.post(partial(self._refused, process, Failed.of(error)))

    def _order(self, process: ServerProcess, generation: Generation) -> None:
        """Tell a loader to fork the process; raises OSError or WebdemoError if that is impossible."""
        running = process.service
        service = running.service
        adapter = servers.find(service.server)
        loader = generation.loader_for(service)
        process.cpu = self._free_cpu(running) if service.cpu_each and not adapter.own_workers else None
        if adapter.opens_own_sockets:
            for listener in running.listeners:
                if not listener.sockets:  # they were closed when the previous process took the port over
                    listener.sockets = listen(listener.bind)
        certificate = service.certificate
        order = Spawn(
            process=process.number,
            own_import=not loader.share,
            server=service.server,
            options=dict(service.options),
            workers=service.workers if adapter.own_workers else 1,
            has_siblings=service.workers > 1,
            cpus=(process.cpu,) if process.cpu is not None else service.cpus,
            worker_cpus=service.cpus if service.cpu_each and adapter.own_workers else (),
            certificate=None if isinstance(certificate, servers.MadeCertificate) else certificate,
            made_certificate=certificate if isinstance(certificate, servers.MadeCertificate) else None,
            grace_seconds=self._plan.grace_seconds,
            settings=self._edge_settings(process),
            target=service.target or self._plan.target,
        )
        with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
            reports, output = self._pipe(ours, theirs), self._pipe(ours, theirs)
            loader.send(
                order,
                [
                    reports[1],
                    output[1],
                    self._draining_read,
                    self.counters.fileno(),
                    *(sock.fileno() for sock in running.sockets()),
                ],
            )
            ours.pop_all()
        loader.children += 1
        process.loader = loader
        if adapter.opens_own_sockets:
            for listener in running.listeners:
                listener.close()
        process.read(
            self._loop,
            output[0],
            reports[0],
            mark=self._mark,
            on_output=self._hooks.on_output,
            on_message=partial(self._told, process),
            on_end=partial(self._hung_up, process),
        )

    @staticmethod
    def _pipe(ours: contextlib.ExitStack, theirs: contextlib.ExitStack) -> tuple[int, int]:
        read, write = os.pipe()
        ours.callback(os.close, read)
        theirs.callback(os.close, write)
        return read, write

    def _free_cpu(self, running: RunningService) -> int:
        """The processor that the fewest of the service's processes are pinned to."""
        taken = Counter(p.cpu for p in running.processes if p.state is not State.DEAD)
        return min(running.service.cpus, key=lambda cpu: taken[cpu])

    def drain(self, process: ServerProcess) -> None:
        """Let it finish its requests in flight; kill it when the grace time is over."""
        if process.state in (State.DEAD, State.DRAINING):
            return
        # A process that does not serve yet has no requests to finish.
        has_begun = process.state in (State.READY, State.UP)
        process.state = State.DRAINING
        process.signal(signal.SIGTERM if has_begun else signal.SIGKILL)

        def cut_off() -> None:
            if process.state is State.DRAINING:
                process.signal(signal.SIGKILL)
                self._hooks.on_cut_off(process)

        self._loop.after(self._plan.grace_seconds, cut_off)

    def fail_readiness(self) -> None:
        """From now on every process answers /readyz with 503."""
        os.write(self._draining_write, b"!")

    def close(self) -> None:
        os.close(self._draining_read)
        os.close(self._draining_write)
        self.counters.close()

    def heard(self, message: ChildReport) -> None:
        """Handle a loader's message about one of its children."""
        process = self.processes.get(message.process)
        if process is None:
            return
        match message:
            case Spawned(_, pid):
                process.pid = pid
            case Refused(_, failure):
                self._refused(process, failure)
            case Exited(_, code):
                self._ended(process, code)

    def _refused(self, process: ServerProcess, failure: Failed) -> None:
        """The process could not be created."""
        process.has_begun = False
        process.failure = failure
        self._ended(process, None)

    def _edge_settings(self, process: ServerProcess) -> stack.EdgeSettings:
        running = process.service
        plan = self._plan
        if running.service.target is not None:
            # The dashboard polls itself once a second, which would fill the access log; and no proxy
            # may claim that a client is local.
            plan = plan._replace(access_log=None, trusted_proxies=())
        return stack.EdgeSettings(
            process_id=process.number,
            token=self._token,
            service=running.served().counted_as,
            server=running.service.server,
            version=running.version,
            binds={listener.name(): listener.label() for listener in running.listeners},
            health=plan.health,
            metrics=plan.metrics,
            metrics_networks=plan.metrics_networks,
            access_log=plan.access_log,
            trusted_proxies=plan.trusted_proxies,
            rfc7239=plan.forwarded == "forwarded",
            trace_hosts=plan.trace_hosts,
            services=self._hooks.services(),
        )

    def _told(self, process: ServerProcess, message: ServerReport) -> None:
        """Handle a message from the server process itself."""
        match message:
            case Failed():
                process.failure = message
            case Ready(sources) if process.state is State.STARTING:
                process.state = State.READY
                self._hooks.on_sources(sources)
                self._probe(process)

    def _probe(self, process: ServerProcess) -> None:
        """Probe the port, in a thread, until this process has answered or PROBE_SECONDS are over."""
        running = process.service
        listeners = set(running.listeners)
        others = [
            other
            for other in self.processes.values()
            if other is not process and listeners & set(other.service.listeners)
        ]

        def ask() -> None:
            answered = False
            try:
                endpoint = running.listeners[0].endpoints[0]
                give_up_at = time.monotonic() + PROBE_SECONDS
                if running.service.runs_app:
                    answered = probe.wait_for(
                        endpoint,
                        self._token,
                        process.number,
                        alone=not others,
                        give_up_at=give_up_at,
                    )
                else:
                    greeting = servers.find(running.service.server).greeting
                    answered = probe.wait_for_greeting(endpoint, greeting, give_up_at=give_up_at)
            finally:
                self._loop.post(partial(self._probed, process, answered))

        try:
            self._loop.in_thread(ask)
        except RuntimeError:  # the thread limit is reached
            self._loop.after(_LOOK_AGAIN_SECONDS, partial(self._probe, process))

    def _probed(self, process: ServerProcess, answered: bool) -> None:
        if process.state is not State.READY:
            return
        if answered:
            process.state = State.UP
            self._hooks.on_answer(process)
        else:
            process.signal(signal.SIGKILL)

    def _hung_up(self, process: ServerProcess) -> None:
        """Its pipe is closed. If its loader is dead as well, no exit message will come: treat it as ended."""
        if process.loader is None or not process.loader.alive:
            self._ended(process, None)
        elif process.state is not State.DEAD:
            self._loop.after(_LOOK_AGAIN_SECONDS, partial(self._hung_up, process))

    def _ended(self, process: ServerProcess, code: int | None) -> None:
        if self.processes.pop(process.number, None) is None:
            return
        process.take_output()
        was_draining = process.state is State.DRAINING
        process.state = State.DEAD
        process.was_draining = was_draining
        if process.loader is not None:
            process.loader.children -= 1
            if process.loader.retired:
                process.loader.retire()
        self._hooks.on_end(process, code)
