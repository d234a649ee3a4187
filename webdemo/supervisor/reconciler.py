"""Compares what is desired with what is there, and names the next actions. Runs in the main process.

Pure: no process, socket, signal or clock; time is an argument, in seconds of any monotonic clock. Wishes edit
what is desired, facts edit what is there, and `next_actions` compares the two. Nothing else in webdemo
decides that something starts, drains or is killed.

The rules:
- What is settled has come up, or has nothing before it that could be lost. It is kept running: what dies is
  started again, after growing pauses. Only what never came up is given up.
- A change (a reload, a restart, a swap ...) is an edit of what is settled. Its new processes start beside
  the old ones. When all of them are up, its result is what is settled, and the old ones are drained. If one
  of them does not come up, the change has failed: its new processes end and nothing else happens.
- Changes do not wait for each other. When one is settled, the others are applied to the new state. A later
  one for the same port, or a later reload, replaces an earlier one.
- Whatever can take long has a deadline.
- Each wish is answered once.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator

from webdemo.errors import WebdemoError
from webdemo.supervisor import events, facts
from webdemo.supervisor.actual import (
    ALIVE,
    Answering,
    Change,
    History,
    Limits,
    Loader,
    LoaderState,
    Port,
    PortState,
    Process,
    Release,
    Retry,
    State,
    Stopping,
)
from webdemo.supervisor.desired import (
    Desired,
    PortEdit,
    Reload,
    Restart,
    Services,
    Slot,
    Spec,
    Start,
    Stop,
    Swap,
    changed_ports,
)
from webdemo.supervisor.facts import Action, Fact, ProcessEnded, Tell
from webdemo.supervisor.wording import (
    STOPPING,
    describe,
    gave_up,
    label,
    late,
    loader_error,
    name_of,
    replaced,
)

AGAIN = "again"  # why a service is up that had died
MOST_QUICK_DEATHS = 5
QUICK_SECONDS = 5.0  # a process that lives shorter than this has died quickly
_LONGEST_PAUSE_SECONDS = 3.0
_LONGEST_RELOAD_PAUSE_SECONDS = 30.0
_PATIENCE_SECONDS = 1.0  # for a reload that a later reload will replace
_STOPS_ACCEPTING_SECONDS = 0.25  # by then a draining server has stopped accepting
_KILL_AGAIN_SECONDS = 5.0
_ENDS_WHEN_KILLED_SECONDS = 1.0


class Reconciler:
    """The state of a run. Its ports are open already; `next_actions` makes everything else."""

    def __init__(self, services: Services, limits: Limits) -> None:
        self.limits = limits
        self._services = services
        self._swapped: frozenset[str] = frozenset()  # ports, by commands since the settings were read
        slots = tuple(Slot(service, ports) for service, ports in services)
        self.settled = Desired(1, slots, services)
        self.releases = {1: Release()}
        self.changes: list[Change] = []
        self.processes: dict[int, Process] = {}
        self.loaders: dict[int, Loader] = {}
        self.ports = {port: Port(PortState.OPEN) for slot in self.settled.slots for port in slot.ports}
        self.restarts: Counter[tuple[str, ...]] = Counter()
        self.is_started = False
        self.exit_code = 0
        self.stopping: Stopping | None = None
        self._settling: list[Answering] = []
        self._histories: dict[Spec, History] = {}
        self._numbers = itertools.count(2)
        self._reload_retry = Retry()
        self._patience_seconds = _PATIENCE_SECONDS
        self._placeholder: frozenset[str] = frozenset()
        self._has_ended = False
        self._actions: list[Action] = []
        self.next_look: float | None = None
        """When `next_actions` must be called again although nothing has happened; None for never."""
        self._now = 0.0  # the time of the call that is under way

    # -- wishes ----------------------------------------------------------------------------------

    def configure(self, services: Services, limits: Limits) -> None:
        """What the settings say by now: the limits apply at once, the services from the next reload on.

        Each port keeps its kind of server: one that opens its own socket, or one that does not.
        """
        changed = changed_ports(self._services, services)
        self._services, self.limits = services, limits
        self._swapped -= changed
        for change in list(self.changes):
            if isinstance(change.edit, Swap) and not changed.isdisjoint(change.edit.ports):
                self._drop(change, replaced(change.edit, self._new_reload()))

    def reload(self, now: float) -> int:
        """Load the code again, and replace every service once it is up with the new code."""
        self._now = now
        wish = next(self._numbers)
        pending = self._pending_reload()
        if self.stopping is not None:
            self._answer([wish], STOPPING)
        elif pending is None:
            self._reload([wish])
        elif pending.again is None:
            pending.again, pending.again_by = [wish], now + self._patience_seconds
        else:
            pending.again.append(wish)
        return wish

    def wish(self, edit: PortEdit, now: float) -> int:
        """Change what runs on some ports. It replaces earlier wishes for them that are not settled."""
        self._now = now
        wish = next(self._numbers)
        if self.stopping is not None:
            self._answer([wish], STOPPING)
            return wish
        pending = self._pending_reload()
        if isinstance(edit, Swap):
            self._swapped |= {*edit.ports}
            if pending is not None and isinstance(pending.edit, Reload):
                pending.edit = pending.edit._replace(swapped=self._swapped)
        self._replace_earlier(edit)
        self.changes.append(Change(edit._replace(revision=wish), [wish], now))
        if self.releases[self.settled.release].is_gone and pending is None:
            self._reload([])
        return wish

    def kill(self, port: str) -> list[int]:
        """The numbers of the processes behind the port; they are killed, and replaced."""
        slot = self.settled.slot_of(port)
        numbers = [p.number for p in self.processes.values() if slot and p.spec == self.spec_of(slot)]
        self._actions += map(facts.Kill, numbers)
        return numbers

    def stop_all(self, why: str, now: float) -> None:
        """Drain everything and end the run."""
        self._now = now
        if self.stopping is not None:
            return
        self.stopping = Stopping(now)
        for change in self.changes:
            self._answer([*change.wishes, *(change.again or [])], STOPPING)
        self.changes.clear()
        limits = self.limits
        draining = events.Draining(
            why, limits.grace_seconds, limits.drain_delay_seconds, serves=bool(self.processes)
        )
        self._actions += [Tell(draining), facts.FailReadiness()]

    def stop_now(self, now: float) -> None:
        """Kill everything and end the run."""
        self.stop_all("asked to stop at once", now)
        self.stopping = Stopping(now, is_immediate=True)
        self.exit_code = self.exit_code or 1
        for process in self.processes.values():
            self._kill(process)
        for loader in self.loaders.values():
            self._kill_loader(loader)

    def _replace_earlier(self, later: PortEdit) -> None:
        for change in list(self.changes):
            if isinstance(change.edit, Reload):
                continue
            rest = tuple(port for port in change.edit.ports if port not in later.ports)
            if rest == change.edit.ports:
                continue
            if rest and isinstance(change.edit, Restart):
                change.edit = change.edit._replace(ports=rest)
            else:
                self._drop(change, replaced(change.edit, later))
        if not isinstance(later, Start):
            return
        for settled in list(self._settling):  # clients may never meet the closed port of a stop
            if isinstance(settled.edit, Stop) and settled.edit.ports[0] in later.ports:
                self._settling.remove(settled)
                self._answer(settled.wishes, replaced(settled.edit, later))

    def _pending_reload(self) -> Change | None:
        return next((change for change in self.changes if isinstance(change.edit, Reload)), None)

    def _reload(self, wishes: list[int]) -> None:
        self.changes.append(Change(self._new_reload(), wishes, self._now))

    def _new_reload(self) -> Reload:
        number = next(self._numbers)
        self.releases[number] = Release()
        return Reload(number, self._services, self._swapped)

    # -- what users are shown --------------------------------------------------------------------

    @property
    def is_reloading(self) -> bool:
        return self._pending_reload() is not None or any(
            isinstance(settled.edit, Reload) for settled in self._settling
        )

    def not_ready_because(self) -> str | None:
        """Why clients of the app do not all get responses, or will not soon; None if they do."""
        if self.stopping is not None:
            return "stopping"
        if not self.is_started:
            return "the app is being loaded"
        for spec in self.settled.specs():
            if spec.slot.service.is_of_app and not self._up(spec):
                return f"{label(spec.slot)} is {self.state_of(spec.slot)}"
        return None

    def has_change(self, port: str) -> bool:
        """Whether something else than what is settled is wished for this port."""
        return any(not isinstance(c.edit, Reload) and port in c.edit.ports for c in self.changes)

    def state_of(self, slot: Slot) -> str:
        """One of "stopped", "given up", "up", "waiting" (for a restart) and "starting"."""
        spec = self.spec_of(slot)
        history = self._history(spec)
        if not slot.is_running:
            return "stopped"
        if self.problem_of(slot) is not None:
            return "given up"
        if self._is_full(spec):
            return "up"
        return "waiting" if history.news and history.news[0] == AGAIN else "starting"

    def problem_of(self, slot: Slot) -> WebdemoError | None:
        """Why the service is given up, or None."""
        failed = self.releases[self.settled.release].failed
        if failed is not None and slot.service.is_of_app:
            return failed
        return self._history(self.spec_of(slot)).given_up

    def process_state(self, number: int) -> str:
        process = self.processes.get(number)
        return process.state.value if process is not None else State.STARTING.value

    def pending(self) -> Iterator[tuple[str, float, str]]:
        """For each change: what it is, since when it is wished, and what it waits for."""
        for change in self.changes:
            new = self._new_specs(change)
            waits = [f"{label(spec.slot)} to come up" for spec in new if not self._is_full(spec)] or [
                "the old ones to end"
            ]
            if not self._is_loaded(change, new):
                waits = ["the app to be loaded"]
            yield describe(change.edit), change.since, waits[0]

    # -- facts -----------------------------------------------------------------------------------

    def happened(self, fact: Fact, now: float) -> None:
        self._now = now
        match fact:
            case facts.LoaderReady(number, reason):
                self._loader_ready(number, reason)
            case facts.LoaderEnded(number, how, error):
                loader = self.loaders.pop(number, None)
                if loader is not None and loader.state in (LoaderState.LOADING, LoaderState.READY):
                    self._loader_failed(loader, how, error or loader_error(how))
            case facts.ProcessReady(number):
                if process := self._in_state(State.STARTING, number):
                    process.enter(State.READY, now)
                    self._actions.append(facts.Probe(number))
            case facts.ProcessUp(number):
                if process := self._in_state(State.READY, number):
                    process.enter(State.UP, now)
                    self._history(process.spec).ever_up = True
            case facts.ProcessHung(number, seconds):
                process = self._in_state(State.UP, number)
                if process is not None and not process.is_hung:
                    self._hung(process, seconds)
            case ProcessEnded(number):
                process = self.processes.pop(number, None)
                if process is not None and process.state in ALIVE:
                    self._died(process, fact)
            case facts.PortOpened(name):
                if self.ports[name].state is PortState.OPENING:
                    self.ports[name].enter(PortState.OPEN, now)
            case facts.PortFailed(name, error):
                self._port_failed(name, error)
            case facts.QueueLength(name, connections):
                self.ports[name].queue, self.ports[name].queue_since = connections, now

    def _in_state(self, state: State, number: int) -> Process | None:
        """The process with this number, if it is in this state."""
        process = self.processes.get(number)
        return process if process is not None and process.state is state else None

    def _loader_ready(self, number: int, not_shared_because: str | None) -> None:
        loader = self.loaders.get(number)
        if loader is None or loader.state is not LoaderState.LOADING:
            return
        loader.enter(LoaderState.READY, self._now)
        release = self.releases[loader.release]
        if not loader.share:
            release.retry = Retry()
        if not_shared_because is not None:
            release.shares = False

    def _loader_failed(self, loader: Loader, how: str, error: WebdemoError) -> None:
        """What follows when a loader has failed: for the changes that need it, and for what is settled."""
        release = self.releases[loader.release]
        for change in list(self.changes):
            new = self._new_specs(change)
            if any(spec.release == loader.release and self._shares(spec) is loader.share for spec in new):
                if loader.release != self.settled.release:
                    self._tell(events.LoadFailed(error, self._serves()))
                self._fail(change, error)
        if loader.release != self.settled.release:
            return
        if loader.share and loader.can_fork:
            # Its code is gone: what is on disk now may be another release.
            release.is_lost = True
            self._tell(events.LoaderLost(how, max(0.0, self._reload_retry.at - self._now)))
        elif loader.share:
            release.failed = error
            self._tell(events.LoadFailed(error, old_code_serves=False))
        elif any(not self._shares(spec) for spec in self._settled_specs()):
            pause = _postpone(release.retry, self._now, _LONGEST_RELOAD_PAUSE_SECONDS)
            self._tell(events.LoaderLost(how, pause))

    def _hung(self, process: Process, seconds: float) -> None:
        process.is_hung = True
        self._tell(events.Hung(label(process.spec.slot), seconds), process)
        self._actions.append(facts.WriteStacks(process.number))
        if process.spec in self._settled_specs():
            self.restarts[process.spec.slot.ports] += 1
            history = self._history(process.spec)
            history.news = history.news or (AGAIN, self._now)

    def _died(self, process: Process, end: ProcessEnded) -> None:
        """Decide what follows from the unexpected end of a process."""
        if process.spec in self._settled_specs():
            self._crashed(process, end)
            return
        for change in list(self.changes):
            if process.spec in self._new_specs(change):
                if process.state is State.UP:
                    self._crashed(process, end)
                    return
                self._did_not_come_up(change, process, end)

    def _did_not_come_up(self, change: Change, process: Process, end: ProcessEnded) -> None:
        error, name = end.error, label(process.spec.slot)
        if error is None:
            error = WebdemoError(
                f"The new {name} did not come up: it {end.how}.",
                remedy="The old one keeps running; the log says more.",
            )
            self._tell(events.ReplaceFailed(name, end.how), process)
        else:
            self._tell(events.LoadFailed(error, self._serves()))
        self._fail(change, error)

    def _crashed(self, process: Process, end: ProcessEnded) -> None:
        spec, error = process.spec, end.error
        history = self._history(spec)
        history.deaths += 1
        is_quick = self._now - process.ordered_at < QUICK_SECONDS
        history.quick_deaths = history.quick_deaths + 1 if is_quick else 0
        self.restarts[spec.slot.ports] += 1
        never_came_up = not history.ever_up and end.has_begun
        if never_came_up and error is not None:
            self._tell(events.LoadFailed(error, old_code_serves=False))
        if never_came_up and (error is not None or history.quick_deaths >= MOST_QUICK_DEATHS):
            self._give_up(spec, error or gave_up(spec.slot, history.deaths), process)
            return
        pause = _pause(history.quick_deaths - 1, _LONGEST_PAUSE_SECONDS)
        history.retry_at = self._now + pause
        history.news = history.news or (AGAIN, self._now + pause)
        self._tell(events.Died(label(spec.slot), end.how, pause, history.deaths), process)

    def _give_up(self, spec: Spec, error: WebdemoError, *processes: Process) -> None:
        history = self._history(spec)
        history.given_up = error
        self._tell(events.GivenUp(label(spec.slot), history.deaths), *processes)

    def _port_failed(self, name: str, error: WebdemoError) -> None:
        self.ports[name].enter(PortState.CLOSED, self._now)
        for change in list(self.changes):
            if any(name in spec.slot.ports for spec in self._new_specs(change)):
                self._fail(change, error)
        for spec in self._settled_specs():
            if name in spec.slot.ports:
                self._tell(events.LoadFailed(error, old_code_serves=False))
                self._give_up(spec, error)

    # -- the comparison --------------------------------------------------------------------------

    def next_actions(self, now: float) -> list[Action]:
        """Compare, and return what is to be done now, in this order. The state already takes it as done."""
        self._now, self.next_look = now, None
        self._expire()
        while self._settle_one():
            pass
        self._expire_changes()
        wanted = self._wanted()
        self._compare_loaders(wanted)
        self._compare_ports(wanted)
        self._compare_processes(wanted)
        self._compare_placeholder()
        self._tell_news()
        self._answer_settled()
        self._end_if_over()
        self._forget(wanted)
        actions, self._actions = self._actions, []
        return actions

    def _is_due(self, at: float) -> bool:
        """Whether this time has come. If not, the comparison depends on it, and is repeated then."""
        if self._now >= at:
            return True
        self.next_look = at if self.next_look is None else min(at, self.next_look)
        return False

    def _expire(self) -> None:
        """Whatever has exceeded its time ends."""
        limits = self.limits
        for process in list(self.processes.values()):
            match process.state:
                case State.STARTING | State.READY if self._is_due(process.since + limits.start_seconds):
                    self._kill(process)
                    how = f"did not answer within {limits.start_seconds:g} s"
                    self._died(process, ProcessEnded(process.number, how))
                case State.DRAINING if self._is_due(process.since + limits.grace_seconds):
                    self._kill(process)
                    self._tell(events.CutOff(limits.grace_seconds), process)
                    if self.stopping is not None:
                        self.exit_code = self.exit_code or 1
                case State.KILLED if self._is_due(process.since + _KILL_AGAIN_SECONDS):
                    self._kill(process)
        for loader in list(self.loaders.values()):
            match loader.state:
                case LoaderState.LOADING if self._is_due(loader.since + limits.start_seconds):
                    self._kill_loader(loader)
                    error = loader_error(f"did not load it within {limits.start_seconds:g} s")
                    self._loader_failed(loader, "took too long", error)
                case LoaderState.CLOSING if self._is_due(loader.since + limits.loader_seconds):
                    self._kill_loader(loader)
                case LoaderState.KILLED if self._is_due(loader.since + _KILL_AGAIN_SECONDS):
                    self._kill_loader(loader)
        settled = self.releases[self.settled.release]
        if (
            settled.is_lost
            and self.stopping is None
            and self._pending_reload() is None
            and self._is_due(self._reload_retry.at)
        ):
            _postpone(self._reload_retry, self._now, _LONGEST_RELOAD_PAUSE_SECONDS)
            self._reload([])

    def _expire_changes(self) -> None:
        seconds = self.limits.change_seconds
        while overdue := next((c for c in self.changes if self._is_due(c.since + seconds)), None):
            self._fail(overdue, late(overdue.edit, seconds))
        for change in self.changes:
            if change.again is not None and self._is_due(change.again_by):
                # Still not there: the later reload replaces it.
                change.edit = self._new_reload()
                change.wishes += change.again
                change.again = None
                change.since = self._now
                self._patience_seconds = min(2 * self._patience_seconds, self.limits.start_seconds)

    def _settle_one(self) -> bool:
        """Settle one change whose processes are all up; False if there is none."""
        for change in self.changes:
            target = change.edit.apply(self.settled)
            new = self._new_specs(change)
            if self._is_loaded(change, new) and all(self._is_full(spec) for spec in self._must_prove(change)):
                self._settle(change, target, new)
                return True
        return False

    def _is_loaded(self, change: Change, new: list[Spec]) -> bool:
        if not isinstance(change.edit, Reload):
            return True
        needed = {self._shares(spec) for spec in new}
        return all(self._loader(change.edit.release, share, can_fork=True) for share in needed)

    def _must_prove(self, change: Change) -> list[Spec]:
        """The new specs that must be up before the change is settled.

        A service that opens its port itself can only start when the old one is gone. With a new release, a
        service that does not serve now has nothing to lose, and does not hold up the others.
        """
        new = [spec for spec in self._new_specs(change) if not spec.slot.service.opens_own_sockets]
        if isinstance(change.edit, Reload):
            served = {port for s in self.settled.specs() if self._serving(s) for port in s.slot.ports}
            return [spec for spec in new if spec.slot.has_any(served)]
        return new

    def _settle(self, change: Change, target: Desired, new: list[Spec]) -> None:
        before = self.settled
        self.settled = target
        self.changes.remove(change)
        for slot in target.slots:
            earlier = before.slot_of(slot.ports[0])
            if earlier is not None and slot.ports not in self.restarts:
                self.restarts[slot.ports] = self.restarts[earlier.ports]
            if not slot.is_running and (earlier is None or earlier.is_running):
                self._tell(events.StoppedService(label(slot)))
        for spec in new:
            self._history(spec).news = name_of(change.edit), change.since
        if isinstance(change.edit, Reload):
            self._patience_seconds = _PATIENCE_SECONDS
            self._reload_retry = Retry()
        until = self._now + self.limits.change_seconds
        ports = [port for spec in new for port in spec.slot.ports]
        wanted = {*target.specs(), *(spec for other in self.changes for spec in self._new_specs(other))}
        old = [
            process
            for process in self.processes.values()
            if process.state in ALIVE and process.spec not in wanted and process.spec.slot.has_any(ports)
        ]
        self._settling.append(Answering(change.edit, change.wishes, ports, old, until))
        self._reload_again(change)

    def _fail(self, change: Change, error: WebdemoError) -> None:
        if change not in self.changes:
            return
        self._drop(change, error)
        self._reload_again(change)
        if isinstance(change.edit, Reload) and self.releases[self.settled.release].is_gone:
            for other in list(self.changes):  # they waited for code that can be loaded
                if not all(map(self._can_start, self._new_specs(other))):
                    self._fail(other, error)

    def _drop(self, change: Change, error: WebdemoError) -> None:
        self.changes.remove(change)
        self._answer(change.wishes, error)

    def _reload_again(self, change: Change) -> None:
        if change.again is not None and self.stopping is None:
            self._reload(change.again)

    def _wanted(self) -> dict[Spec, Change | None]:
        """The specs that should have processes: those of what is settled, then those of the changes."""
        if self._is_over():
            return {}
        wanted: dict[Spec, Change | None] = dict.fromkeys(self._settled_specs())
        for change in self.changes:
            for spec in filter(self._can_start, self._new_specs(change)):
                wanted.setdefault(spec, change)
        return wanted

    def _is_over(self) -> bool:
        """Whether the run is stopping, and load balancers have had the drain delay to notice."""
        if self.stopping is None:
            return False
        if self.stopping.is_immediate or not any(p.state is State.UP for p in self.processes.values()):
            return True
        return self._is_due(self.stopping.since + self.limits.drain_delay_seconds)

    def _compare_loaders(self, wanted: dict[Spec, Change | None]) -> None:
        needed = {(spec.release, self._shares(spec)): None for spec in wanted}
        for number, share in sorted(needed, key=lambda key: (key[0], not key[1])):
            release = self.releases[number]
            may_start = not release.is_lost if share else self._is_due(release.retry.at)
            if may_start and self._loader(number, share) is None:
                loader = Loader(next(self._numbers), number, share, self._now)
                self.loaders[loader.number] = loader
                self._actions.append(facts.StartLoader(loader.number, number, share))
        used = {process.loader for process in self.processes.values()}
        for loader in self.loaders.values():
            if (loader.release, loader.share) in needed:
                continue
            if loader.state is LoaderState.LOADING:
                self._kill_loader(loader)
            elif loader.state is LoaderState.READY and loader.number not in used:
                loader.enter(LoaderState.CLOSING, self._now)
                self._actions.append(facts.CloseLoader(loader.number))

    def _compare_ports(self, wanted: dict[Spec, Change | None]) -> None:
        wanted_open = {port for spec in wanted for port in spec.slot.ports}
        if self.limits.waits_for_fix and self.stopping is None:
            # Where the placeholder can say 503; elsewhere a client would wait until the code is fixed.
            answered = (slot for slot in self.settled.slots if slot.service.has_placeholder)
            wanted_open.update(port for slot in answered if slot.is_running for port in slot.ports)
        served = {port for p in self.processes.values() if p.state is State.UP for port in p.spec.slot.ports}
        for name, port in self.ports.items():
            is_wanted = name in wanted_open
            if is_wanted and port.state in (PortState.CLOSED, PortState.CLOSING):
                port.enter(PortState.OPENING, self._now)
                self._actions.append(facts.OpenPort(name))
            elif not is_wanted and port.state is PortState.OPEN and name in served:
                port.enter(PortState.CLOSING, self._now)
                self._actions.append(facts.DrainQueue(name))
            elif (not is_wanted and port.state in (PortState.OPEN, PortState.OPENING)) or (
                port.state is PortState.CLOSING and (name not in served or self._is_queue_over(port))
            ):
                port.enter(PortState.CLOSED, self._now)
                self._actions.append(facts.ClosePort(name))

    def _is_queue_over(self, port: Port) -> bool:
        """Whether the accept queue is empty, or its servers have stopped accepting."""
        return (
            port.queue == 0
            or self._is_due(port.queue_since + self.limits.queue_seconds)
            or self._is_due(port.since + self.limits.grace_seconds)
        )

    def _compare_processes(self, wanted: dict[Spec, Change | None]) -> None:
        for process in self.processes.values():
            can_end = self._is_full(process.spec) or process.spec.slot.service.opens_own_sockets
            if process.spec in wanted and not (process.is_hung and can_end):
                process.unwanted_since = None
                continue
            if process.unwanted_since is None:
                process.unwanted_since = self._now
            # One that starts may accept already, its report being on its way: it is not killed either.
            if process.state is State.STARTING or (
                process.state in (State.READY, State.UP)
                and not self._is_queue_waiting(process)
                and not self._is_needed(process, wanted)
            ):
                process.enter(State.DRAINING, self._now)
                self._actions.append(facts.Drain(process.number))
        for spec, change in wanted.items():
            if self._is_due(self._history(spec).retry_at) and self._may_spawn(spec, change):
                self._spawn_missing(spec)

    def _is_needed(self, process: Process, wanted: dict[Spec, Change | None]) -> bool:
        """Whether what has taken over has died: for a while the old process can serve on."""
        since = process.unwanted_since
        if since is None or self._is_due(since + self.limits.start_seconds):
            return False
        return any(
            spec in wanted and not self._serving(spec) and not spec.slot.service.opens_own_sockets
            for spec in self._settled_specs()
            if process.state is State.UP and process.spec.slot.has_any(spec.slot.ports)
        )

    def _is_queue_waiting(self, process: Process) -> bool:
        return any(self.ports[name].state is PortState.CLOSING for name in process.spec.slot.ports) and not (
            self.stopping is not None and self.stopping.is_immediate
        )

    def _may_spawn(self, spec: Spec, change: Change | None) -> bool:
        if not spec.slot.service.opens_own_sockets:
            return all(self.ports[name].state is PortState.OPEN for name in spec.slot.ports)
        holders = {port for p in self.processes.values() for port in p.spec.slot.ports}
        return change is None and holders.isdisjoint(spec.slot.ports)

    def _spawn_missing(self, spec: Spec) -> None:
        loader = self._loader(spec.release, self._shares(spec), can_fork=True)
        missing = spec.slot.service.processes - sum(
            process.spec == spec and process.state in ALIVE and not process.is_hung
            for process in self.processes.values()
        )
        for _ in range(missing if loader is not None else 0):
            assert loader is not None
            process = Process(next(self._numbers), spec, loader.number, self._now, self._now)
            self.processes[process.number] = process
            self._actions.append(facts.Spawn(process.number, spec, loader.number))

    def _compare_placeholder(self) -> None:
        """Respond with 503 where no server will accept connections until a user acts."""
        is_gone = self.releases[self.settled.release].is_gone
        loading = self.limits.placeholder_at_start if not self.is_started else frozenset()
        ports = {
            port
            for spec in self.settled.specs()
            if spec.slot.service.has_placeholder
            for port in spec.slot.ports
            if (is_gone or port in loading or self._history(spec).given_up is not None)
            and self.ports[port].state is PortState.OPEN
        }
        for process in self.processes.values():
            if process.state in (State.READY, State.UP):
                ports.difference_update(process.spec.slot.ports)
        if frozenset(ports) != self._placeholder:
            self._placeholder = frozenset(ports)
            self._actions.append(facts.ServePlaceholder(self._placeholder))

    # -- what follows from the comparison --------------------------------------------------------

    def _tell_news(self) -> None:
        for spec in self._settled_specs():
            history = self._history(spec)
            if history.news is not None and self._is_full(spec):
                if self.is_started:
                    why, since = history.news
                    self._tell(events.Up(label(spec.slot), why, self._now - since), *self._up(spec))
                history.news = None
        if not self.is_started and self.stopping is None:
            specs = self.settled.specs()
            done = [self._is_full(spec) for spec in specs if self._history(spec).given_up is None]
            if done and all(done):
                self.is_started = True
                self._actions.append(facts.AnnounceStart())

    def _answer_settled(self) -> None:
        for settled in list(self._settling):
            specs = [spec for spec in self.settled.specs() if spec.slot.has_any(settled.ports)]
            errors = [self._history(spec).given_up for spec in specs]
            error = next((error for error in errors if error is not None), None)
            if self._is_due(settled.until):
                error = late(settled.edit, self.limits.change_seconds)
            if error is not None or (all(map(self._is_full, specs)) and self._is_seen(settled)):
                self._settling.remove(settled)
                self._answer(settled.wishes, error)

    def _is_seen(self, settled: Answering) -> bool:
        """Whether the old processes have stopped accepting, so that clients meet the new ones."""
        if isinstance(settled.edit, Stop):
            [port] = settled.edit.ports
            is_held = any(port in process.spec.slot.ports for process in self.processes.values())
            return self.ports[port].state is PortState.CLOSED and not is_held
        return all(
            process.number not in self.processes
            or process.state is State.KILLED
            or (process.state is State.DRAINING and self._is_due(process.since + _STOPS_ACCEPTING_SECONDS))
            for process in settled.old
        )

    def _end_if_over(self) -> None:
        if self.stopping is None:
            failed = self.releases[self.settled.release].failed
            if not self.changes and not self.limits.waits_for_fix and (failed or self._has_given_up()):
                self.exit_code = (failed or WebdemoError).exit_code
                self.stop_all("the app cannot be loaded" if failed else "every server gave up", self._now)
            return
        if self._has_ended:
            return
        stopping = self.stopping
        is_overdue = stopping.is_immediate and self._is_due(stopping.since + _ENDS_WHEN_KILLED_SECONDS)
        if is_overdue or (not self.processes and not self.loaders):
            self._has_ended = True
            for settled in self._settling:
                self._answer(settled.wishes, None)
            self._settling.clear()
            self._tell(events.Stopped(self._now - stopping.since))
            self._actions.append(facts.End(self.exit_code))

    def _has_given_up(self) -> bool:
        """Whether the app's services are all given up."""
        specs = [spec for spec in self.settled.specs() if spec.slot.service.is_of_app]
        return bool(specs) and all(self._history(spec).given_up for spec in specs)

    def _forget(self, wanted: dict[Spec, Change | None]) -> None:
        kept = {*wanted, *self.settled.specs()}
        self._histories = {spec: h for spec, h in self._histories.items() if spec in kept}
        releases = {self.settled.release, *(loader.release for loader in self.loaders.values())}
        releases |= {spec.release for spec in wanted}
        releases |= {change.edit.release for change in self.changes if isinstance(change.edit, Reload)}
        self.releases = {number: r for number, r in self.releases.items() if number in releases}

    # -- helpers ---------------------------------------------------------------------------------

    def spec_of(self, slot: Slot) -> Spec:
        return Spec(self.settled.release, slot)

    def _settled_specs(self) -> list[Spec]:
        """The specs of what is settled, without what was given up."""
        if self.releases[self.settled.release].failed is not None:
            return []
        return [spec for spec in self.settled.specs() if self._history(spec).given_up is None]

    def _new_specs(self, change: Change) -> list[Spec]:
        """The specs that the change adds to what is settled."""
        settled = set(self.settled.specs())
        return [spec for spec in change.edit.apply(self.settled).specs() if spec not in settled]

    def _history(self, spec: Spec) -> History:
        return self._histories.setdefault(spec, History())

    def _shares(self, spec: Spec) -> bool:
        return spec.slot.service.shares_import and self.releases[spec.release].shares

    def _can_start(self, spec: Spec) -> bool:
        """Whether its release can still be loaded, or is."""
        release = self.releases[spec.release]
        return release.failed is None and not (release.is_lost and self._shares(spec))

    def _loader(self, release: int, share: bool, *, can_fork: bool = False) -> Loader | None:
        for loader in self.loaders.values():
            if (loader.release, loader.share) == (release, share) and (
                loader.can_fork or (not can_fork and loader.state is LoaderState.LOADING)
            ):
                return loader
        return None

    def _up(self, spec: Spec) -> list[Process]:
        """Its processes that serve."""
        return [
            process
            for process in self.processes.values()
            if process.spec == spec and process.state is State.UP and not process.is_hung
        ]

    def _is_full(self, spec: Spec) -> bool:
        return len(self._up(spec)) >= spec.slot.service.processes

    def _serving(self, spec: Spec) -> bool:
        return any(process.spec == spec and process.state is State.UP for process in self.processes.values())

    def _serves(self) -> bool:
        return any(self._serving(spec) for spec in self.settled.specs())

    def _kill(self, process: Process) -> None:
        process.enter(State.KILLED, self._now)
        self._actions.append(facts.Kill(process.number))

    def _kill_loader(self, loader: Loader) -> None:
        loader.enter(LoaderState.KILLED, self._now)
        self._actions.append(facts.KillLoader(loader.number))

    def _tell(self, event: events.Event, *processes: Process) -> None:
        self._actions.append(Tell(event, tuple(process.number for process in processes)))

    def _answer(self, wishes: Iterable[int], error: WebdemoError | None) -> None:
        self._actions += [facts.Answer(wish, error) for wish in wishes]


def _pause(failures: int, longest: float) -> float:
    """Seconds to wait after so many failures in a row, the first not counted: 0, 0.1, 0.2, 0.4 ..."""
    return 0.0 if failures <= 0 else float(min(0.1 * 2 ** min(failures - 1, 20), longest))


def _postpone(retry: Retry, now: float, longest: float) -> float:
    pause = _pause(retry.failures, longest)
    retry.failures += 1
    retry.at = now + pause
    return pause
