"""A model of the machine: it carries out the reconciler's actions with a made-up clock, and checks promises.

What happens is decided by numbers, so that a history can be generated, shrunk and replayed.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterator
from typing import NamedTuple

from webdemo.errors import WebdemoError
from webdemo.supervisor import facts
from webdemo.supervisor.actual import Limits, LoaderState, PortState, State
from webdemo.supervisor.desired import Restart, Spec, Start, Stop, Swap
from webdemo.supervisor.events import Event
from webdemo.supervisor.facts import Action, Fact
from webdemo.supervisor.reconciler import Reconciler

DRAIN_DELAY_SECONDS = 1.5
LIMITS = Limits(start_seconds=10.0, grace_seconds=3.0, drain_delay_seconds=DRAIN_DELAY_SECONDS)


class Service(NamedTuple):
    """What stands for plan.Service here."""

    name: str
    processes: int = 1
    shares_import: bool = True
    opens_own_sockets: bool = False
    is_of_app: bool = True
    has_placeholder: bool = True

    def __str__(self) -> str:
        return self.name


SHARING = Service("waitress")
TWO = Service("gunicorn", processes=2)
OWN_IMPORT = Service("gevent", shares_import=False)
OWN_SOCKET = Service("paste", opens_own_sockets=True)
SECURE = Service("cheroot", has_placeholder=False)

SERVICES = (SHARING, TWO, OWN_IMPORT)

Slots = tuple[tuple[Service, tuple[str, ...]], ...]

RUNS: tuple[Slots, ...] = (
    ((SHARING, ("8000",)),),
    ((SHARING, ("8000", "8001")), (OWN_IMPORT, ("8002",))),
    ((TWO, ("8000",)), (SHARING, ("8001",)), (OWN_IMPORT, ("8002", "8003"))),
    ((OWN_SOCKET, ("8000",)), (SHARING, ("8001",))),
    ((OWN_IMPORT, ("8000",)),),
    ((SECURE, ("8000",)), (SHARING, ("8001",))),
)

GOOD, BROKEN, HANGS, UNSHARED = "good", "broken", "hangs", "unshared"
CODES = (GOOD, GOOD, GOOD, BROKEN, HANGS, UNSHARED)

ERROR = WebdemoError("The app cannot be loaded.", remedy="Fix it.")


class ModelProcess:
    def __init__(self, spec: Spec, read_code_at: float) -> None:
        self.spec = spec
        self.read_code_at = read_code_at
        self.is_frozen = False
        self.is_up = False
        self.is_draining = False
        self.may_be_stopped = False  # killed or declared hung by the test


class ModelLoader:
    def __init__(self, share: bool, read_code_at: float) -> None:
        self.share = share
        self.read_code_at = read_code_at
        self.is_frozen = False


class Wish(NamedTuple):
    what: str
    ports: tuple[str, ...]
    server: str
    at: float


class Broken(AssertionError):
    """A promise was broken."""


class Machine:
    """Runs a reconciler. `numbers` decide how long things take."""

    def __init__(
        self, slots: Slots, numbers: Iterator[int] | None = None, limits: Limits = LIMITS, *, code: str = GOOD
    ) -> None:
        self.reconciler = Reconciler(slots, limits)
        self.configured = slots
        self.limits = limits
        self.now = 100.0
        self.code = code
        self.broken_server = ""  # this one never comes up
        self.failing_forks = 0
        self.failing_loaders = 0
        self.failing_ports = 0
        self.processes: dict[int, ModelProcess] = {}
        self.loaders: dict[int, ModelLoader] = {}
        self.open_ports = {port for _, ports in slots for port in ports}
        self.wishes: dict[int, Wish] = {}
        self.answers: dict[int, WebdemoError | None] = {}
        self.told: list[Action | Event] = []
        self.exit_code: int | None = None
        self.steps = 0
        self.log: list[str] = []
        self._numbers = numbers or iter(())
        self._schedule: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._past: list[Fact] = []
        self._once_settled: set[Spec] = set()
        self._once_up: set[Spec] = set()
        self.act()

    # -- time ------------------------------------------------------------------------------------

    def number(self) -> int:
        return next(self._numbers, 0)

    def after(self, seconds: float, then: Callable[[], None]) -> None:
        heapq.heappush(self._schedule, (self.now + seconds, next(self._order), then))

    def advance(self, seconds: float) -> None:
        """Let time pass, with everything that is due."""
        end = self.now + seconds
        self.act()
        while self.exit_code is None:
            look = self.reconciler.next_look
            due = self._schedule[0][0] if self._schedule else None
            at = min((t for t in (look, due) if t is not None), default=None)
            if at is None or at > end:
                break
            self.now = max(self.now, at)
            if due is not None and due <= self.now:
                heapq.heappop(self._schedule)[2]()
            self.act()
        self.now = max(self.now, end)
        self.act()

    def tell(self, fact: Fact) -> None:
        self.log.append(f"{self.now:8.2f} fact {fact}")
        self._past.append(fact)
        self.reconciler.happened(fact, self.now)

    def tell_again(self, number: int) -> None:
        """An old fact arrives once more; it must not matter."""
        fact = self._past[-1 - number % len(self._past)] if self._past else None
        if fact is not None and not isinstance(fact, facts.PortOpened | facts.PortFailed | facts.ProcessHung):
            self.reconciler.happened(fact, self.now)

    # -- actions ---------------------------------------------------------------------------------

    def act(self) -> None:
        """Carry out what the reconciler orders until it orders nothing."""
        for _ in range(60):
            self.steps += 1
            actions = self.reconciler.next_actions(self.now)
            for action in actions:
                self.log.append(f"{self.now:8.2f} {action}")
                self._carry_out(action)
            if not actions:
                break
        else:
            raise Broken("the reconciler never comes to rest")
        self._check_always()

    def _carry_out(self, action: Action) -> None:
        match action:
            case facts.StartLoader(number, _, share):
                self._start_loader(number, share=share)
            case facts.CloseLoader(number):
                if not self.loaders[number].is_frozen:
                    self._end_loader_after(0.01, number)
            case facts.KillLoader(number):
                self._end_loader_after(0.005, number)
            case facts.Spawn(number, spec, loader):
                self._spawn(number, spec, loader)
            case facts.Probe(number):
                if not self.processes[number].is_frozen:
                    self.after(0.02, lambda: self._up(number))
            case facts.Drain(number):
                self._drain(number)
            case facts.Kill(number):
                self._check_may_stop(number)
                self._end_after(0.005, number)
            case facts.OpenPort(port):
                if self.failing_ports and port not in self.open_ports:
                    self.failing_ports -= 1
                    self.tell(facts.PortFailed(port, ERROR))
                else:
                    self.open_ports.add(port)
                    self.tell(facts.PortOpened(port))
            case facts.DrainQueue(port):
                if self.number() % 2 == 0:
                    self.after(0.1, lambda: self.tell(facts.QueueLength(port, 0)))
            case facts.ClosePort(port):
                self._check_may_close(port)
                self.open_ports.discard(port)
            case facts.Answer(wish, error):
                if wish in self.answers:
                    raise Broken(f"the wish {wish} is answered twice")
                self.answers[wish] = error
                self._check_truth(wish, error)
            case facts.End(code):
                self.exit_code = code
            case facts.Tell(event):
                self.told.append(event)
            case _:
                self.told.append(action)

    def _start_loader(self, number: int, *, share: bool) -> None:
        if self.failing_loaders:
            self.failing_loaders -= 1
            self.tell(facts.LoaderEnded(number, error=ERROR))
            return
        self.loaders[number] = ModelLoader(share, self.now)
        seconds = 0.1 + (self.number() % 8) / 4
        code = self.code
        if not share or code in (GOOD, UNSHARED):
            reason = "it starts a thread" if share and code == UNSHARED else None
            self.after(seconds, lambda: self._loader_says(number, facts.LoaderReady(number, reason)))
        elif code == BROKEN:
            self.after(seconds, lambda: self._loader_fails(number))

    def _loader_says(self, number: int, fact: Fact) -> None:
        if number in self.loaders and not self.loaders[number].is_frozen:
            self.tell(fact)

    def _loader_fails(self, number: int) -> None:
        if self.loaders.pop(number, None) is not None:
            self.tell(facts.LoaderEnded(number, error=ERROR))

    def _end_loader_after(self, seconds: float, number: int) -> None:
        def end() -> None:
            if self.loaders.pop(number, None) is not None:
                self.tell(facts.LoaderEnded(number))

        self.after(seconds, end)

    def _spawn(self, number: int, spec: Spec, loader_number: int) -> None:
        loader = self.loaders.get(loader_number)
        if loader is None:  # it died just now
            self.after(0.01, lambda: self.tell(facts.ProcessEnded(number, has_begun=False)))
            self.processes[number] = ModelProcess(spec, self.now)
            return
        own_import = not loader.share
        self.processes[number] = ModelProcess(spec, self.now if own_import else loader.read_code_at)
        if not set(spec.slot.ports) <= self.open_ports and not spec.slot.service.opens_own_sockets:
            raise Broken(f"{spec} is started without its sockets")
        if loader.is_frozen:
            return
        if self.failing_forks:
            self.failing_forks -= 1
            self.after(0.01, lambda: self._end(number, "could not be started", has_begun=False))
            return
        seconds = 0.05 + (self.number() % 8) / 10
        if str(spec.slot.service) == self.broken_server:
            self.after(seconds, lambda: self._end(number, "ended with exit code 1"))
        elif own_import and self.code == BROKEN:
            self.after(seconds, lambda: self._end(number, "ended with exit code 1", ERROR))
        elif not (own_import and self.code == HANGS):
            self.after(seconds, lambda: self._ready(number))

    def _ready(self, number: int) -> None:
        if number in self.processes and not self.processes[number].is_frozen:
            self.tell(facts.ProcessReady(number))

    def _up(self, number: int) -> None:
        process = self.processes.get(number)
        if process is not None and not process.is_frozen:
            process.is_up = not process.is_draining
            if process.is_up:
                self._once_up.add(process.spec)
            self.tell(facts.ProcessUp(number))

    def _drain(self, number: int) -> None:
        self._check_may_stop(number)
        self._check_replaced(number)
        process = self.processes[number]
        process.is_draining = True
        process.is_up = False
        if not process.is_frozen:
            seconds = (self.number() % 8) / 2
            self._end_after(seconds, number)

    def _end_after(self, seconds: float, number: int) -> None:
        self.after(seconds, lambda: self._end(number, "ended"))

    def _end(
        self, number: int, how: str, error: WebdemoError | None = None, *, has_begun: bool = True
    ) -> None:
        if self.processes.pop(number, None) is not None:
            self.tell(facts.ProcessEnded(number, how, error, has_begun))

    # -- what may happen -------------------------------------------------------------------------

    def kill_process(self, number: int) -> None:
        if self.processes:
            self._end(list(self.processes)[number % len(self.processes)], "was ended by SIGKILL")

    def freeze_process(self, number: int) -> None:
        if self.processes:
            self.processes[list(self.processes)[number % len(self.processes)]].is_frozen = True

    def declare_hung(self, number: int) -> None:
        if self.processes:
            key = list(self.processes)[number % len(self.processes)]
            self.processes[key].may_be_stopped = True
            self.tell(facts.ProcessHung(key, 1.0))

    def kill_loader(self, number: int) -> None:
        if self.loaders:
            key = list(self.loaders)[number % len(self.loaders)]
            del self.loaders[key]
            self.tell(facts.LoaderEnded(key, "was ended by SIGKILL"))
            self.act()

    def freeze_loader(self, number: int) -> None:
        if self.loaders:
            self.loaders[list(self.loaders)[number % len(self.loaders)]].is_frozen = True

    def crash_all(self) -> None:
        for number, process in list(self.processes.items()):
            if process.is_up:
                self._end(number, "ended with exit code 1")

    def wish(self, what: str, number: int = 0) -> int:
        """Wish for something; returns the wish's number, or 0."""
        reconciler = self.reconciler
        every = [port for slot in reconciler.settled.slots for port in slot.ports]
        port = every[number % len(every)]
        server = ""
        ports: tuple[str, ...] = (port,)
        match what:
            case "reload":
                wish, ports = reconciler.reload(self.now), tuple(every)
            case "restart":
                wish = reconciler.wish(Restart(ports), self.now)
            case "restart all":
                ports = tuple(every)
                wish = reconciler.wish(Restart(ports), self.now)
            case "stop":
                wish = reconciler.wish(Stop(ports), self.now)
            case "start":
                wish = reconciler.wish(Start(ports), self.now)
            case "swap":
                slot = reconciler.settled.slot_of(port)
                if slot is None or slot.service.opens_own_sockets or not slot.is_running:
                    return 0  # the command line refuses it
                service = SERVICES[number // 7 % len(SERVICES)]
                server = str(service)
                wish = reconciler.wish(Swap(ports, service), self.now)
            case "settings":
                slot = reconciler.settled.slot_of(port)
                if slot is None or slot.service.opens_own_sockets:
                    return 0  # needs a restart
                service = SERVICES[number // 7 % len(SERVICES)]
                before = [
                    kept
                    for services in (self.configured, reconciler.settled.services)
                    for kept, ports in services
                    if port in ports
                ]
                server = str(service) if service not in before else ""  # else an earlier swap may stay
                others = [(kept, tuple(p for p in ports if p != port)) for kept, ports in self.configured]
                self.configured = (*((kept, ports) for kept, ports in others if ports), (service, (port,)))
                reconciler.configure(self.configured, self.limits)
                wish = reconciler.reload(self.now)
            case _:
                for key in reconciler.kill(port):
                    self.processes[key].may_be_stopped = True
                self.act()
                return 0
        self.wishes[wish] = Wish(what, ports, server, self.now)
        self.log.append(f"{self.now:8.2f} wish {wish} {self.wishes[wish]}")
        self.act()
        return wish

    # -- promises --------------------------------------------------------------------------------

    @property
    def _has_drain_delay_ended(self) -> bool:
        """Until then all is served as before; without a server that is up there is nothing to wait for."""
        stopping = self.reconciler.stopping
        return stopping is not None and (
            stopping.is_immediate
            or self.now >= stopping.since + self.limits.drain_delay_seconds
            or not any(process.is_up for process in self.processes.values())
        )

    def _check_may_stop(self, number: int) -> None:
        """A process that is needed is not stopped."""
        process = self.processes.get(number)
        if process is None or not process.is_up or process.may_be_stopped or self._has_drain_delay_ended:
            return
        if process.spec in self.reconciler.settled.specs() and self._is_live(process.spec):
            raise Broken(f"a process that is needed is stopped: {process.spec}")

    def _is_live(self, spec: Spec) -> bool:
        return spec in self.reconciler._settled_specs()

    def _check_replaced(self, number: int) -> None:
        """A process is drained only where another one that stays has taken over its ports."""
        drained = self.processes[number]
        since = self.reconciler.processes[number].unwanted_since
        if since is not None and self.now >= since + self.limits.start_seconds:
            return  # it has served on for as long as it may
        if not drained.is_up or drained.spec.slot.service.opens_own_sockets or self._has_drain_delay_ended:
            return
        for port in drained.spec.slot.ports:
            slot = self.reconciler.settled.slot_of(port)
            if slot is None or not slot.is_running or slot.service.opens_own_sockets:
                continue
            spec = self.reconciler.spec_of(slot)
            if self._is_live(spec) and not any(
                other.is_up and other.spec == spec
                for other in self.processes.values()
                if other is not drained
            ):
                was_needed = drained.spec.release == spec.release or port in drained.spec.slot.ports
                never_settled = drained.spec not in self._once_settled
                if was_needed and not never_settled:
                    raise Broken(f"{port} is left without a server")

    def _check_may_close(self, port: str) -> None:
        slot = self.reconciler.settled.slot_of(port)
        assert slot is not None
        if (
            slot.is_running
            and self._is_live(self.reconciler.spec_of(slot))
            and not self._has_drain_delay_ended
        ):
            raise Broken(f"{port} is closed though it is desired")

    def _check_always(self) -> None:
        reconciler = self.reconciler
        self._once_settled.update(reconciler.settled.specs())
        settled = reconciler.settled.specs()
        if not reconciler.stopping:
            for spec in settled:
                closed = [
                    port
                    for port in spec.slot.ports
                    if reconciler.ports[port].state in (PortState.CLOSED, PortState.CLOSING)
                ]
                if closed and self._is_live(spec):
                    raise Broken(f"{closed} is not open")
        for spec in self._once_up.intersection(settled):
            if reconciler.releases[spec.release].failed is None and reconciler.problem_of(spec.slot):
                raise Broken(f"{spec} came up, and is given up")
        for spec in {process.spec for process in reconciler.processes.values()}:
            alive = [
                process
                for process in reconciler.processes.values()
                if process.spec == spec
                and process.state in (State.STARTING, State.READY, State.UP)
                and not process.is_hung
            ]
            if len(alive) > spec.slot.service.processes:
                raise Broken(f"{len(alive)} processes of {spec}")
        for port in reconciler.ports:
            specs = {
                process.spec
                for process in reconciler.processes.values()
                if process.state in (State.STARTING, State.READY, State.UP)
                and port in process.spec.slot.ports
            }
            if len(specs) > 2 * (2 + len(reconciler.changes)):
                raise Broken(f"{len(specs)} generations behind {port}")

    def _check_truth(self, wish: int, error: WebdemoError | None) -> None:
        """What an answer says is so, unless a later wish asked for something else."""
        asked = self.wishes[wish]
        later = [
            other
            for number, other in self.wishes.items()
            if number > wish and not set(other.ports).isdisjoint(asked.ports)
        ]
        if error is not None or later or self.reconciler.stopping:
            return
        if asked.what == "stop":
            if asked.ports[0] in self.open_ports:
                raise Broken(f"{asked} is answered, and the port is open")
            if any(asked.ports[0] in process.spec.slot.ports for process in self.processes.values()):
                raise Broken(f"{asked} is answered, and a process holds the port")
            return
        for port in asked.ports:
            slot = self.reconciler.settled.slot_of(port)
            if slot is None or not slot.is_running or not self._is_live(self.reconciler.spec_of(slot)):
                continue
            serving = [p for p in self.processes.values() if p.is_up and port in p.spec.slot.ports]
            if not serving:
                raise Broken(f"{asked} is answered, and nothing serves {port}")
            for process in serving:
                if asked.server and str(process.spec.slot.service) != asked.server:
                    raise Broken(f"{asked} is answered, and {process.spec} serves")
                if asked.what in ("reload", "settings") and process.read_code_at < asked.at:
                    raise Broken(f"{asked} is answered, and {port} serves older code")

    def calm_down(self) -> None:
        """Nothing more goes wrong; then what is desired must come to be, and every wish be answered."""
        self.code = GOOD
        self.broken_server = ""
        self.failing_forks = self.failing_loaders = self.failing_ports = 0
        for loader in self.loaders.values():
            loader.is_frozen = False
        self.advance(3 * self.limits.change_seconds)
        if self.exit_code is not None:
            return
        for number, slot in enumerate(self.reconciler.settled.slots):
            if slot.is_running and not self._is_live(self.reconciler.spec_of(slot)):
                self.wish("start", sum(len(s.ports) for s in self.reconciler.settled.slots[:number]))
        self.wish("reload")
        self.advance(3 * self.limits.change_seconds)
        self.check_calm()

    def check_calm(self) -> None:
        reconciler = self.reconciler
        if unanswered := set(self.wishes) - set(self.answers):
            raise Broken(f"never answered: {[self.wishes[wish] for wish in unanswered]}")
        if reconciler.changes:
            raise Broken(f"still pending: {reconciler.changes}")
        desired = reconciler.settled.specs()
        for spec in desired:
            up = [process for process in self.processes.values() if process.spec == spec]
            if len(up) != spec.slot.service.processes:
                raise Broken(f"{len(up)} processes of {spec}")
        if extra := [p.spec for p in self.processes.values() if p.spec not in desired]:
            raise Broken(f"left over: {extra}")
        if extra_loaders := [
            loader for loader in reconciler.loaders.values() if loader.release != reconciler.settled.release
        ]:
            raise Broken(f"left over: {extra_loaders}")
        if any(loader.state is not LoaderState.READY for loader in reconciler.loaders.values()):
            raise Broken(f"{list(reconciler.loaders.values())}")
        open_ports = {
            port for spec in desired for port in spec.slot.ports if not spec.slot.service.opens_own_sockets
        }
        own = {p for s in desired for p in s.slot.ports if s.slot.service.opens_own_sockets}
        if self.open_ports - own != open_ports:
            raise Broken(f"open: {self.open_ports}, desired: {open_ports}")

    def end(self, *, at_once: bool) -> None:
        """End the run; nothing may be left."""
        if at_once:
            self.reconciler.stop_now(self.now)
        else:
            self.reconciler.stop_all("asked to", self.now)
        self.act()
        self.advance(self.limits.drain_delay_seconds + self.limits.grace_seconds + 10)
        if self.exit_code is None:
            raise Broken("the run does not end")
        if self.processes or self.loaders:
            raise Broken(f"left behind: {self.processes} {self.loaders}")
        if unanswered := set(self.wishes) - set(self.answers):
            raise Broken(f"never answered: {[self.wishes[wish] for wish in unanswered]}")


STEPS: tuple[Callable[[Machine, int], object], ...] = (
    lambda machine, number: machine.advance(number / 100),
    lambda machine, number: machine.advance(number / 100),
    lambda machine, number: machine.advance(number / 10),
    lambda machine, _: machine.wish("reload"),
    lambda machine, number: machine.wish("restart", number),
    lambda machine, _: machine.wish("restart all"),
    lambda machine, number: machine.wish("stop", number),
    lambda machine, number: machine.wish("start", number),
    lambda machine, number: machine.wish("swap", number),
    lambda machine, number: machine.wish("kill", number),
    lambda machine, number: machine.kill_process(number),
    lambda machine, number: machine.freeze_process(number),
    lambda machine, number: machine.declare_hung(number),
    lambda machine, number: machine.kill_loader(number),
    lambda machine, number: machine.freeze_loader(number),
    lambda machine, _: machine.crash_all(),
    lambda machine, number: setattr(machine, "code", CODES[number % len(CODES)]),
    lambda machine, number: setattr(machine, "broken_server", ("", *map(str, SERVICES))[number % 4]),
    lambda machine, number: setattr(machine, "failing_forks", number % 4),
    lambda machine, number: setattr(machine, "failing_loaders", number % 3),
    lambda machine, number: setattr(machine, "failing_ports", number % 3),
    lambda machine, number: machine.tell_again(number),
    lambda machine, number: machine.wish("settings", number),
)


def simulate(history: bytes) -> Machine:
    """Run a history: the run, then pairs of a step and its number. Raises Broken with the log."""
    numbers = iter(history)
    first = next(numbers, 0)
    slots = RUNS[first % len(RUNS)]
    every = frozenset(port for _, ports in slots for port in ports)
    limits = LIMITS._replace(
        waits_for_fix=bool(first & 128), placeholder_at_start=every if first & 64 else frozenset()
    )
    machine = Machine(slots, numbers, limits)
    try:
        while machine.exit_code is None and (step := next(numbers, None)) is not None:
            STEPS[step % len(STEPS)](machine, machine.number())
            machine.act()
        if machine.exit_code is None:
            machine.calm_down()
        if machine.exit_code is None:
            machine.end(at_once=bool(first & 32))
    except Exception as exc:
        exc.add_note("\n".join(machine.log[-120:]))
        raise
    return machine
