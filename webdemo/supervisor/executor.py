"""Carries out the reconciler's actions on real processes and sockets, and reports facts. Runs in the main
process.

The rule: nothing is decided here.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Container, Iterable, Sequence
from functools import partial
from typing import NamedTuple

from webdemo import servers
from webdemo.errors import PortUnavailable, SystemRefusal, WebdemoError
from webdemo.middleware import stack
from webdemo.middleware.access_log import mark_of
from webdemo.net.listener import listen
from webdemo.servers import registry
from webdemo.stats.counters import SharedCounters, service_name
from webdemo.supervisor import events, facts, probe
from webdemo.supervisor.desired import Slot, Spec
from webdemo.supervisor.facts import Action, Fact
from webdemo.supervisor.hangs import HangWatch, Look
from webdemo.supervisor.listeners import Listener
from webdemo.supervisor.live import release_name
from webdemo.supervisor.log_tail import LastLines
from webdemo.supervisor.loop import Loop
from webdemo.supervisor.orders import order_of
from webdemo.supervisor.placeholder import Placeholder
from webdemo.supervisor.plan import Plan, Service
from webdemo.supervisor.processes import LoaderProcess, ServerProcess, how_it_ended
from webdemo.worker import interpreter, stacks
from webdemo.worker.messages import (
    Began,
    Dropped,
    Exited,
    Failed,
    Hint,
    Load,
    Loaded,
    LoaderReport,
    Ready,
    Refused,
    ServerReport,
    Spawned,
    Wrote,
)

_LOOK_AGAIN_SECONDS = 1.0
_REPORT_SECONDS = 0.25  # for a loader to report the exit code of a process that has exited
_QUEUE_SECONDS = 0.005  # between two looks at an accept queue
_HELD_SECONDS = 2.0  # by then a process that drains has closed its listening sockets
_TRY_AGAIN_SECONDS = 0.2  # each try that fails looks for the holder of the port
_MOST_ENDED = 64
_LOOK_FOR_HANGS_SECONDS = 1.0


AppReport = Loaded | Ready | Wrote | Hint
"""What loaders and server processes report of the app."""


class Hooks(NamedTuple):
    """The callbacks of the executor."""

    on_fact: Callable[[Fact], None]
    emit: Callable[[events.Event], None]
    on_report: Callable[[AppReport], None]
    services: Callable[[], tuple[Slot, ...]]  # all of the run


class Executor:
    """The processes and sockets of a run, by the reconciler's numbers and names."""

    def __init__(self, loop: Loop, plan: Plan, listeners: dict[str, Listener], hooks: Hooks) -> None:
        self.processes: dict[int, ServerProcess] = {}
        self.counters = SharedCounters.create()
        self.listeners = listeners
        self._loop = loop
        self._newest_plan = plan  # for the next release
        self._plans: dict[int, Plan] = {}  # by release
        self._hooks = hooks
        self._loaders: dict[int, LoaderProcess] = {}
        self._ended: OrderedDict[int, ServerProcess] = OrderedDict()
        self._logs: dict[tuple[str, ...], LastLines] = {}
        self._placeholder = Placeholder(loop, listeners, plan.features, self.counters.board)
        self._token = os.urandom(24).hex()
        self._mark = mark_of(self._token)
        self.run_name = os.urandom(4).hex()
        self._draining = os.pipe()  # can be read when the run ends
        self._lifeline = os.pipe()  # the write end is closed when this process ends, however it does
        self.hang_watch = HangWatch(plan.hang_seconds)
        loop.every(_LOOK_FOR_HANGS_SECONDS, self._look_for_hangs)
        self._opening: dict[str, float] = {}  # ports, and until when it is tried

    def carry_out(self, action: Action) -> None:
        match action:
            case facts.StartLoader(number, release, share):
                self._start_loader(number, self.plan_of(release), share=share)
            case facts.CloseLoader(number):
                self._loaders[number].close()
            case facts.KillLoader(number):
                if number in self._loaders:
                    self._loaders[number].kill()
            case facts.Spawn(number, spec, loader):
                self._spawn(number, spec, loader)
            case facts.Probe(number):
                self._probe(number)
            case facts.Drain(number):
                self._signal(number, signal.SIGTERM)
            case facts.Kill(number):
                self._signal(number, signal.SIGKILL)
            case facts.WriteStacks(number):
                self._write_stacks(number)
            case facts.OpenPort(port):
                self._open(port)
            case facts.DrainQueue(port):
                self.listeners[port].refuse_new()
                self._look_at_queue(port)
            case facts.ClosePort(port):
                self._opening.pop(port, None)
                self.listeners[port].close()
            case facts.FailReadiness():
                os.write(self._draining[1], b"!")
            case facts.ServePlaceholder(ports):
                self._placeholder.serve(ports)

    def renew(self, plan: Plan, releases: Container[int]) -> None:
        """Serve the next release with these settings, and forget those of other releases than these."""
        self._newest_plan = plan
        self.hang_watch.seconds = plan.hang_seconds
        self._placeholder.features = plan.features
        self._plans = {release: kept for release, kept in self._plans.items() if release in releases}

    def plan_of(self, release: int) -> Plan:
        """The settings with which this release of the code is served."""
        return self._plans.setdefault(release, self._newest_plan)

    def take_reports(self) -> None:
        """Read what loaders and server processes have reported so far."""
        for loader in list(self._loaders.values()):
            loader.receive()
        for process in list(self.processes.values()):
            process.take_output()

    def close(self) -> None:
        """Release everything; loaders that have not exited are killed."""
        self._placeholder.serve(frozenset())
        for listener in self.listeners.values():
            listener.close()
        for loader in self._loaders.values():
            loader.kill()
            loader.wait(0)
        for descriptor in (*self._draining, *self._lifeline):
            os.close(descriptor)
        self.counters.close()

    # -- loaders ---------------------------------------------------------------------------------

    def _start_loader(self, number: int, plan: Plan, *, share: bool) -> None:
        names = {service_of(slot).server for slot in self._hooks.services()}
        try:
            loader = LoaderProcess(
                self._loop,
                Load(
                    target=plan.target,
                    folder=plan.folder,
                    servers=tuple(sorted(names)),
                    share=share,
                    reload=plan.reload,
                    grace_seconds=plan.grace_seconds,
                ),
                on_report=partial(self._loader_reports, number),
                emit=self._hooks.emit,
            )
        except SystemRefusal as exc:
            self._hooks.on_fact(facts.LoaderEnded(number, "could not be started", exc))
            return
        self._loaders[number] = loader

    def _loader_reports(self, number: int, report: LoaderReport, descriptors: Sequence[int]) -> None:
        match report:
            case Loaded():
                servers.remember_versions(report.versions)
                self._hooks.on_report(report)
                self._hooks.on_fact(facts.LoaderReady(number, report.not_shared_because))
            case Failed():
                self._loaders[number].failure = report.error()
            case Wrote():
                self._hooks.on_report(report)
            case Spawned(process):
                for pidfd in descriptors:
                    if process in self.processes:
                        self.processes[process].watch(self._loop, pidfd, partial(self._exited, process))
                    else:
                        os.close(pidfd)
            case Refused(process, failure):
                self._refused(process, failure.error())
            case Exited(process, code):
                self._process_ended(process, how_it_ended(code))

    def reap(self, pid: int) -> bool:
        """Reap the loader with this pid and report its end; False if there is none."""
        for number, loader in self._loaders.items():
            if loader.pid == pid:
                how = how_it_ended(loader.wait(0))
                loader.close()
                del self._loaders[number]
                for process in [process for process in self.processes.values() if process.loader is loader]:
                    self._end_if_unwatched(process)
                self._hooks.on_fact(facts.LoaderEnded(number, how, loader.failure))
                return True
        return False

    # -- server processes ------------------------------------------------------------------------

    def _spawn(self, number: int, spec: Spec, loader: int) -> None:
        try:
            self._order(number, spec, self._loaders.get(loader))
        except WebdemoError as exc:
            self._loop.post(partial(self._refused, number, exc))
        except OSError as exc:
            self._loop.post(partial(self._refused, number, SystemRefusal(interpreter.NO_PROCESS, exc)))

    def _order(self, number: int, spec: Spec, loader: LoaderProcess | None) -> None:
        """Tell a loader to fork the process; raises OSError or WebdemoError if that is impossible."""
        if loader is None:
            raise WebdemoError("Its loader has ended.", remedy="Try again in a moment.")
        service, ports = service_of(spec.slot), spec.slot.ports
        adapter = registry.find(service.server)
        listeners = [self.listeners[port] for port in ports]
        source = f"{service.server} {' '.join(listener.label() for listener in listeners)}"
        process = ServerProcess(number, spec, source, self.log_of(ports), loader)
        process.cpu = self._free_cpu(spec) if service.cpu_each and not adapter.own_workers else None
        if adapter.opens_own_sockets:
            for listener in listeners:
                if not listener.sockets:  # they were closed when the previous process took the port over
                    listener.sockets = listen(listener.bind)
        with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
            reports, output = _pipe(ours, theirs), _pipe(ours, theirs)
            loader.send(
                order_of(process, service, self.plan_of(spec.release), self._edge_settings(number, spec)),
                [
                    reports[1],
                    output[1],
                    self._draining[0],
                    self._lifeline[0],
                    self.counters.fileno(),
                    *(sock.fileno() for listener in listeners for sock in listener.sockets),
                ],
            )
            ours.pop_all()
        self.processes[number] = process
        if adapter.opens_own_sockets:
            for listener in listeners:
                listener.close()
        process.read(
            self._loop,
            output[0],
            reports[0],
            mark=self._mark,
            emit=self._hooks.emit,
            on_report=partial(self._process_reports, process),
            on_end=partial(self._hung_up, number),
        )

    def _free_cpu(self, spec: Spec) -> int:
        """The processor that the fewest of the service's processes are pinned to."""
        taken = Counter(p.cpu for p in self.processes.values() if p.spec == spec)
        return min(service_of(spec.slot).cpus, key=lambda cpu: taken[cpu])

    def _edge_settings(self, number: int, spec: Spec) -> stack.EdgeSettings:
        features, service = self.plan_of(spec.release).features, service_of(spec.slot)
        if service.target is not None:
            # The dashboard polls itself once a second, which would fill the access log; no proxy may claim
            # that a client is local; and the rest is for the app.
            features = stack.Features(
                health=features.health,
                metrics=features.metrics,
                metrics_networks=features.metrics_networks,
                access_log=None,
            )
        return stack.EdgeSettings(
            process_id=number,
            token=self._token,
            service=service_name(service.server, spec.slot.ports),
            server=service.server,
            version=version_of(service),
            binds={port: self.listeners[port].label() for port in spec.slot.ports},
            features=features,
            release=release_name(self.run_name, spec.release),
            services=tuple(
                stack.ServiceFacts(app_service.server, self.urls(slot), dict(app_service.options))
                for slot in self._hooks.services()
                if (app_service := service_of(slot)).is_of_app
            ),
        )

    def _process_reports(self, process: ServerProcess, report: ServerReport) -> None:
        match report:
            case Failed():
                process.failure = report
            case Began(pid):
                process.pid = pid
            case Ready():
                self._hooks.on_report(report)
                process.is_ready = True
                self._hooks.on_fact(facts.ProcessReady(process.number))
            case Dropped(lines):
                why = "the main process did not read them in time"
                self._hooks.emit(events.Dropped(lines, why))
            case _:
                self._hooks.on_report(report)

    def _probe(self, number: int) -> None:
        """Probe the port, in a thread, until this process has answered or its time is over."""
        process = self.processes.get(number)
        if process is None:
            return
        slot = process.spec.slot
        service = service_of(slot)
        is_alone = not any(
            other is not process and other.spec.slot.has_any(slot.ports) for other in self.processes.values()
        )
        endpoint = self.listeners[slot.ports[0]].endpoints[0]
        give_up_at = time.monotonic() + self._newest_plan.start_seconds

        def ask() -> None:
            if service.runs_app:
                answered = probe.wait_for(
                    endpoint, self._token, number, alone=is_alone, give_up_at=give_up_at
                )
            else:
                greeting = registry.find(service.server).greeting
                answered = probe.wait_for_greeting(endpoint, greeting, give_up_at=give_up_at)
            if answered:
                self._loop.post(partial(self._hooks.on_fact, facts.ProcessUp(number)))

        try:
            self._loop.in_thread(ask)
        except RuntimeError:  # the thread limit is reached
            self._loop.after(_LOOK_AGAIN_SECONDS, partial(self._probe, number))

    def _signal(self, number: int, what: signal.Signals) -> None:
        if number in self.processes:
            self.processes[number].signal(what)

    def _look_for_hangs(self) -> None:
        if not self.hang_watch.seconds:
            return
        activities = self.counters.activities()
        looks = [
            Look(
                number,
                sum(self.listeners[port].waiting() for port in process.spec.slot.ports),
                [activity for activity in activities if activity.group == process.pid],
            )
            for number, process in self.processes.items()
            if process.is_ready
        ]
        for number in self.hang_watch.hung(looks, time.perf_counter()):
            self._hooks.on_fact(facts.ProcessHung(number, self.hang_watch.seconds))

    def _write_stacks(self, number: int) -> None:
        process = self.processes.get(number)
        if process is None or process.pid is None:
            return
        if self.plan_of(process.spec.release).hang_seconds:  # else it does not expect the signal
            workers = {a.pid for a in self.counters.activities() if a.group == process.pid}
            for pid in {process.pid, *workers}:
                stacks.ask(pid)

    def _exited(self, number: int) -> None:
        """The process has exited; its loader tells the exit code, unless it cannot."""
        process = self.processes.get(number)
        if process is not None:
            wait = _REPORT_SECONDS if process.loader.has_channel else 0.0
            self._loop.after(wait, partial(self._process_ended, number, how_it_ended(None)))

    def _hung_up(self, number: int) -> None:
        """Nothing has its pipe open any more: it has ended, or its loader died before it was forked."""
        process = self.processes.get(number)
        if process is not None:
            process.has_hung_up = True
            self._end_if_unwatched(process)

    def _end_if_unwatched(self, process: ServerProcess) -> None:
        """Treat it as ended if nothing else will report that: its loader is dead as well."""
        if process.has_hung_up and not process.loader.has_channel and not process.has_pidfd:
            self._process_ended(process.number, how_it_ended(None))

    def _refused(self, number: int, error: WebdemoError) -> None:
        """The process could not be created."""
        how = f"could not be started ({error.problem.removesuffix('.')})"
        self._process_ended(number, how, error, has_begun=False)

    def _process_ended(
        self, number: int, how: str, error: WebdemoError | None = None, *, has_begun: bool = True
    ) -> None:
        process = self.processes.pop(number, None)
        if process is not None:
            process.ended(self._loop)
            if process.failure is not None:
                error = process.failure.error()
            self._ended[number] = process
            if len(self._ended) > _MOST_ENDED:
                self._ended.popitem(last=False)
        self._hooks.on_fact(facts.ProcessEnded(number, how, error, has_begun))

    # -- ports -----------------------------------------------------------------------------------

    def _open(self, port: str) -> None:
        """Open it again; a process that has just been told to drain may still hold its address."""
        self._opening[port] = time.monotonic() + _HELD_SECONDS
        self._try_to_open(port)

    def _try_to_open(self, port: str) -> None:
        if port not in self._opening:  # it is not wanted any more
            return
        fact: Fact = facts.PortOpened(port)
        try:
            self.listeners[port].open_again()
        except WebdemoError as exc:
            is_held = any(port in process.spec.slot.ports for process in self.processes.values())
            if isinstance(exc, PortUnavailable) and is_held and time.monotonic() < self._opening[port]:
                self._loop.after(_TRY_AGAIN_SECONDS, partial(self._try_to_open, port))
                return
            fact = facts.PortFailed(port, exc)
        except OSError as exc:
            fact = facts.PortFailed(port, SystemRefusal(f"Port {port} cannot be opened", exc))
        del self._opening[port]
        self._hooks.on_fact(fact)

    def _look_at_queue(self, port: str, before: int | None = None) -> None:
        """Report the length of the accept queue whenever it has changed, until the queue is empty."""
        listener = self.listeners[port]
        if not listener.sockets:
            return
        waiting = 0 if listener.is_inherited else listener.waiting() or listener.connecting()
        if waiting != before:
            self._hooks.on_fact(facts.QueueLength(port, waiting))
        if waiting:
            self._loop.after(_QUEUE_SECONDS, partial(self._look_at_queue, port, waiting))

    # -- what is known about them ----------------------------------------------------------------

    def urls(self, slot: Slot) -> tuple[str, ...]:
        scheme = service_of(slot).scheme
        return tuple(url for port in slot.ports for url in self.listeners[port].urls(scheme))

    def open_urls(self, slot: Slot) -> tuple[str, ...]:
        scheme = service_of(slot).scheme
        return tuple(url for port in slot.ports for url in self.listeners[port].open_urls(scheme))

    def log_of(self, ports: tuple[str, ...]) -> LastLines:
        """The last log lines on these ports; some ports of a service begin with a copy of its log."""
        if ports not in self._logs:
            earlier = [log for key, log in self._logs.items() if set(ports) <= set(key)]
            self._logs[ports] = earlier[-1].copy() if earlier else LastLines()
        return self._logs[ports]

    def of(self, spec: Spec) -> list[ServerProcess]:
        return [process for process in self.processes.values() if process.spec == spec]

    def completed(self, event: events.Event, numbers: Iterable[int]) -> events.Event:
        """The event with the pids, or the last lines, of these processes, which may have ended."""
        every = {**self._ended, **self.processes}
        processes = [every[number] for number in numbers if number in every]
        pids = tuple(process.pid for process in processes if process.pid is not None)
        match event:
            case events.Up() | events.CutOff():
                return event._replace(pids=pids)
            case events.Died() | events.Hung():
                return event._replace(pid=sum(pids))
            case events.GivenUp() | events.ReplaceFailed():
                return event._replace(last_lines=tuple(line for each in processes for line in each.tail))
            case _:
                return event


def service_of(slot: Slot) -> Service:
    assert isinstance(slot.service, Service)
    return slot.service


def version_of(service: Service) -> str:
    return registry.find(service.server).version() or ""


def _pipe(ours: contextlib.ExitStack, theirs: contextlib.ExitStack) -> tuple[int, int]:
    read, write = os.pipe()
    ours.callback(os.close, read)
    theirs.callback(os.close, write)
    return read, write
