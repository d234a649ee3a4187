"""The supervisor: owns the sockets, decides what runs, and imports no app code. Runs in the main process.

The rules. Sockets are opened before it starts and closed last. A server is replaced by starting the new
one beside it on the same sockets, and draining the old one once the new one has answered; restart, reload
and swap are this one operation, and none of them leaves a port unanswered. Everything that happens is
emitted as an event.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from webdemo.errors import ControlUnavailable, WebdemoError
from webdemo.net.bind import Bind
from webdemo.stats.figures import INTERVAL_SECONDS, Figures
from webdemo.stats.usage import UsageTable
from webdemo.supervisor import events, fleet, generation
from webdemo.supervisor.commands import Commands, Done, Replacement
from webdemo.supervisor.control import ControlServer
from webdemo.supervisor.fleet import Fleet
from webdemo.supervisor.generation import Generation
from webdemo.supervisor.loop import Loop
from webdemo.supervisor.notify import Notifier
from webdemo.supervisor.placeholder import StandIn
from webdemo.supervisor.plan import Plan
from webdemo.supervisor.processes import LoaderProcess, how_it_ended
from webdemo.supervisor.service import Listener, RunningService, ServerProcess, State
from webdemo.worker import interpreter, startup
from webdemo.worker.codec import InvalidMessage

if TYPE_CHECKING:
    from webdemo.supervisor.watch import Watcher

_DOUBLED_SIGNAL_SECONDS = 0.5  # some platforms send SIGTERM twice; that is not a request to stop at once
_READINESS_SECONDS = 1.0  # between failing /readyz and draining, for load balancers to notice
_ACCEPTING_SECONDS = 1.0  # for connections in the accept queue when the run ends
_STOPS_ACCEPTING_SECONDS = 0.25  # by then every draining server has stopped accepting
_SECONDS_BETWEEN_LOOKS = 0.005
_LOADER_ENDS_SECONDS = 2.0


class Supervisor:
    """Runs a plan on sockets that are already open. `run` returns the exit code."""

    def __init__(
        self,
        plan: Plan,
        listeners: Iterable[tuple[Bind, list[socket.socket]]],
        emit: Callable[[events.Event], None],
    ) -> None:
        self.plan = plan
        self.emit = emit
        self.since = time.time()
        self.loop = Loop(self._report)
        self.listeners = {bind: Listener.of(bind, sockets) for bind, sockets in listeners}
        self.services = [
            RunningService(service, [self.listeners[bind] for bind in service.binds])
            for service in plan.services
        ]
        self._fleet = Fleet(
            self.loop,
            plan,
            fleet.Hooks(
                on_output=self._output,
                on_sources=self._watch,
                on_answer=self._answered,
                on_end=self._ended,
                on_cut_off=self._cut_off,
                services=lambda: tuple(running.facts() for running in self._app_services()),
            ),
        )
        self.figures = Figures(self._fleet.counters, UsageTable().look)
        self._generation = self._new_generation()
        self._other_generations: list[Generation] = []
        self._loading = False
        self._replacements: list[Replacement] = []
        self._stand_in = StandIn(self.loop, health=plan.health)
        self._notifier = Notifier()
        self._watcher: Watcher | None = None
        self._watched: set[str] = set()
        self._changed_meanwhile = False
        self._started = False
        self._stopping_since: float | None = None
        self._exit_code = 0
        self._patience_seconds = plan.grace_seconds + _LOADER_ENDS_SECONDS  # for the loaders to end

    @property
    def is_stopping(self) -> bool:
        return self._stopping_since is not None

    # -- the run ---------------------------------------------------------------------------------

    def run(self) -> int:
        """Serve until a command, a signal or a failure ends the run."""
        stays_after_logout = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN  # started by nohup
        needs_terminal = _has_terminal() and not stays_after_logout
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            # The loop restores these handlers when it ends: a late signal must not change the exit code.
            signal.signal(number, signal.SIG_IGN)
        self.loop.on_signal(signal.SIGTERM, partial(self._asked_to_stop, "SIGTERM"))
        self.loop.on_signal(signal.SIGINT, partial(self._asked_to_stop, "Ctrl-C"))
        self.loop.on_signal(signal.SIGHUP, partial(self._hung_up, needs_terminal))
        self.loop.on_signal(signal.SIGCHLD, self._reap)
        self._load_first()  # the rest is done while the app is being imported
        control = self._open_control()
        if self.plan.health:
            self._stand_in.serve(self.services)
        self.loop.after(INTERVAL_SECONDS, self._sample)
        if self._notifier.watchdog_seconds is not None:
            self._watchdog()
        try:
            self.loop.run()
        finally:
            if control is not None:
                control.close()
            self._close()
        return self._exit_code

    def _open_control(self) -> ControlServer | None:
        """The control socket; without one the run continues, with a note."""
        try:
            return ControlServer(self.loop, Commands(self).obey)
        except ControlUnavailable as exc:
            self.emit(events.Note(f"{exc.problem} Commands such as `webdemo ps` do not reach this run."))
            return None

    def _close(self) -> None:
        if self._watcher is not None:
            self._watcher.stop()
        for listener in self.listeners.values():
            listener.close()
        loaders = [loader for g in (self._generation, *self._other_generations) for loader in g.loaders]
        for loader in loaders:
            loader.close()
        for loader in loaders:
            loader.wait(self._patience_seconds)
        self._fleet.close()

    def _load_first(self) -> None:
        self._loading = True
        wanted = [running.service for running in self.services]
        self._generation.load(wanted, self._loaded_first, self._first_load_failed)
        interpreter.end_early()  # unused if no service shares the app

    def _loaded_first(self) -> None:
        self._loading = False
        self.emit(events.Loaded(self._generation.seconds, self._generation.not_shared_because))
        for running in self.services:
            self._start(running)
        self._stand_in.end()

    def _first_load_failed(self, error: WebdemoError) -> None:
        self._loading = False
        self.emit(events.LoadFailed(error, old_code_serves=False))
        if self.plan.reload:
            # With --reload a syntax error does not end the run: the next change may fix it.
            self._stand_in.serve(self.services)
            self._watch([str(Path.cwd())])
        else:
            self._stand_in.end()
            self._exit_code = error.exit_code
            self.drain("the app cannot be loaded")

    def _start(self, running: RunningService) -> None:
        running.state = "starting"
        while len(running.processes) < running.service.processes:
            self._fleet.spawn(running, self._generation)

    def _new_generation(self) -> Generation:
        return Generation(
            self.loop,
            self.plan.target,
            generation.Hooks(
                on_output=self._output,
                on_process=self._fleet.heard,
                on_sources=self._watch,
                on_lost=self._loader_lost,
            ),
            grace_seconds=self.plan.grace_seconds,
            wants_sources=self.plan.reload,
        )

    # -- process events --------------------------------------------------------------------------

    def _answered(self, process: ServerProcess) -> None:
        running = process.service
        if not running.is_up():
            return
        was_waiting = running.state == "waiting"
        running.state = "up"
        replacement = next((r for r in self._replacements if running in r.new), None)
        if replacement is not None:
            if all(new.state == "up" for new in replacement.new):
                self._take_over(replacement)
        elif not self._started:
            self._tell_start()
        elif was_waiting:
            seconds = time.monotonic() - process.ordered_at
            self.emit(events.Up(str(running), running.pids, "again", seconds))

    def _tell_start(self) -> None:
        if self.is_stopping or not all(s.state in ("up", "given up") for s in self.services):
            return
        self._started = True
        rows = tuple(running.row() for running in self._app_services())
        self.emit(events.Started(rows, time.monotonic() - startup.BEGAN))
        self._notifier.ready()
        url = next((url for row in rows for url in row.urls if url.startswith("http")), None)
        if self.plan.open_browser and url:
            import webbrowser

            self.loop.in_thread(partial(webbrowser.open, url))

    def _ended(self, process: ServerProcess, code: int | None) -> None:
        running = process.service
        if self.is_stopping:
            self._finish_if_empty()
        elif not process.was_draining:
            replacement = next((r for r in self._replacements if running in r.new), None)
            if replacement is not None:
                self._give_back(replacement, process, code)
            else:
                self._start_again(running, process, code)

    def _start_again(self, running: RunningService, process: ServerProcess, code: int | None) -> None:
        lived_seconds = time.monotonic() - process.ordered_at
        wait = running.wait_after_death(lived_seconds, may_give_up=process.has_begun)
        if process.failure is not None and not self._started:
            self.emit(events.LoadFailed(process.failure.error(), old_code_serves=False))
            wait = None
        if wait is None:
            self._give_up(running)
            return
        self.emit(events.Died(str(running), process.pid or 0, _how_it_ended(process, code), wait))
        running.state = "waiting"

        def again() -> None:
            if running in self.services and running.state == "waiting" and not self.is_stopping:
                running.processes.remove(process)
                self._fleet.spawn(running, self._generation)

        self.loop.after(wait, again)

    def _give_up(self, running: RunningService) -> None:
        running.state = "given up"
        for listener in running.listeners:
            listener.close()
        for process in running.processes:
            self._fleet.drain(process)
        self.emit(events.GivenUp(str(running), running.restarts, running.tail()))
        if all(s.state == "given up" for s in self._app_services()):
            self._exit_code = WebdemoError.exit_code
            self.drain("every server gave up")
        elif not self._started:
            self._tell_start()

    def _cut_off(self, process: ServerProcess) -> None:
        self.emit(events.CutOff((process.pid or 0,), self.plan.grace_seconds))
        if self.is_stopping:
            self._exit_code = self._exit_code or 1

    def _loader_lost(self, _: LoaderProcess) -> None:
        # Its servers still serve, but their exits would go unnoticed: replace them.
        if not self.is_stopping:
            self.reload(lambda _: None)

    # -- replacing: restart, reload, swap --------------------------------------------------------

    def replace(self, replacement: Replacement) -> None:
        """Start the new services; once all have answered, drain the old ones."""
        self._replacements.append(replacement)
        if not replacement.new:
            self._take_over(replacement)
        for running in replacement.new:
            self._start(running)

    def is_being_replaced(self, running: RunningService) -> bool:
        return any(running in replacement.old for replacement in self._replacements)

    def _take_over(self, replacement: Replacement) -> None:
        self._replacements.remove(replacement)
        at = min((self.services.index(s) for s in replacement.old if s in self.services), default=0)
        self.services = [s for s in self.services if s not in replacement.old]
        self.services[at:at] = [*replacement.new, *replacement.beside]
        old = [process for running in replacement.old for process in running.processes]
        for process in old:
            self._fleet.drain(process)
        seconds = time.monotonic() - replacement.began
        for running in replacement.new:
            self.emit(events.Up(str(running), running.pids, replacement.why, seconds))
        for running in replacement.beside:
            self.emit(events.StoppedService(str(running)))
        self._when_gone(old, partial(replacement.done, None))

    def _when_gone(self, processes: Sequence[ServerProcess], then: Callable[[], None]) -> None:
        """Call `then` once these have ended or stopped accepting, so that new requests reach the new ones."""
        give_up_at = time.monotonic() + _STOPS_ACCEPTING_SECONDS

        def look() -> None:
            if all(process.state is State.DEAD for process in processes) or time.monotonic() > give_up_at:
                then()
            else:
                self.loop.after(_SECONDS_BETWEEN_LOOKS, look)

        look()

    def _give_back(self, replacement: Replacement, process: ServerProcess, code: int | None) -> None:
        """A new service did not come up: drain the new ones and keep the old ones."""
        self._replacements.remove(replacement)
        for running in replacement.new:
            for other in running.processes:
                self._fleet.drain(other)
        how = how_it_ended(code)
        error: WebdemoError
        if process.failure is not None:
            error = process.failure.error()
            self.emit(events.LoadFailed(error, old_code_serves=True))
        else:
            error = WebdemoError(
                f"The new {process.service} did not come up: it {how}.",
                remedy="The old one goes on serving; the log says more.",
            )
            self.emit(events.ReplaceFailed(str(process.service), how, tuple(process.tail)))
        replacement.done(error)

    def reload(self, done: Done) -> None:
        """Load the app's current code, then replace every server."""
        if self._loading or not self._started:
            self._changed_meanwhile = True
            done(None)
            return
        old, new = self._generation, self._new_generation()
        self._other_generations.append(new)
        self._loading = True
        self._notifier.reloading()

        def loaded() -> None:
            self._loading = False
            if self.is_stopping:
                return
            self._generation = new
            self._other_generations[self._other_generations.index(new)] = old
            services = [s for s in self.services if s.state in ("up", "waiting")]
            successors = [s.successor() for s in services]
            self.replace(Replacement("reload", services, successors, settled))

        def settled(error: WebdemoError | None) -> None:
            if error is not None:
                self._generation = old
                self._other_generations[self._other_generations.index(old)] = new
            (new if error is not None else old).retire()
            over(error)

        def failed(error: WebdemoError) -> None:
            self._loading = False
            self.emit(events.LoadFailed(error, old_code_serves=True))
            new.close()
            over(error)

        def over(error: WebdemoError | None) -> None:
            self._other_generations = [g for g in self._other_generations if g.is_alive()]
            self._notifier.ready()
            done(error)
            if self._changed_meanwhile:
                self._changed_meanwhile = False
                self.reload(lambda _: None)

        new.load([running.service for running in self.services], loaded, failed)

    def _watch(self, folders: Sequence[str]) -> None:
        """With --reload: watch these folders as well, and reload the app when something changes."""
        if not self.plan.reload or set(folders) <= self._watched or self.is_stopping:
            return
        from webdemo.supervisor.watch import Watcher  # slow to import, and needed with --reload only

        self._watched |= {*folders, *self.plan.reload_paths}
        if self._watcher is not None:
            self._watcher.stop()
        self._watcher = Watcher(
            self._watched,
            lambda paths: self.loop.post(partial(self._changed, paths)),
            barrier=self.loop.barrier,
            on_polling=lambda text: self.loop.post(partial(self.emit, events.Note(text))),
        )
        self._watcher.start()

    def _changed(self, paths: tuple[str, ...]) -> None:
        if self.is_stopping:
            return
        self.emit(events.Changed(paths))
        if self._loading or self._replacements:
            self._changed_meanwhile = True
        elif self._started:
            self.reload(lambda _: None)
        else:
            self._other_generations.append(self._generation)
            self._generation = self._new_generation()
            self._load_first()

    # -- shutdown --------------------------------------------------------------------------------

    def drain(self, why: str) -> None:
        """Shut down gracefully: fail readiness, close the sockets, finish the requests in flight."""
        if self.is_stopping:
            return
        self._stopping_since = time.monotonic()
        self._notifier.stopping()
        self.emit(events.Draining(why, self.plan.grace_seconds))
        self._fleet.fail_readiness()
        serving = any(s.state == "up" for s in self.services)
        self.loop.after(_READINESS_SECONDS if self.plan.health and serving else 0, self._close_the_door)

    def _close_the_door(self) -> None:
        """Stop taking new connections; give the servers a moment to accept those that are queued already."""
        for listener in self.listeners.values():
            listener.let_nobody_in()
        give_up_at = time.monotonic() + _ACCEPTING_SECONDS

        def look() -> None:
            serving = [s for s in self.services if s.state == "up"]
            waiting = any(listener.waiting() for s in serving for listener in s.listeners)
            if waiting and time.monotonic() < give_up_at:
                self.loop.after(_SECONDS_BETWEEN_LOOKS, look)
            else:
                self._drain_all()

        look()

    def _drain_all(self) -> None:
        self._stand_in.end()
        for listener in self.listeners.values():
            listener.close()
        for process in list(self._fleet.processes.values()):
            self._fleet.drain(process)
        self._finish_if_empty()

    def _finish_if_empty(self) -> None:
        if self._stopping_since is not None and not self._fleet.processes:
            self.emit(events.Stopped(time.monotonic() - self._stopping_since))
            self.loop.stop()

    def _asked_to_stop(self, why: str) -> None:
        if self._stopping_since is None:
            self.drain(why)
        elif time.monotonic() - self._stopping_since > _DOUBLED_SIGNAL_SECONDS:
            self._exit_code = self._exit_code or 1
            for process in self._fleet.processes.values():
                process.signal(signal.SIGKILL)
            self._patience_seconds = 0.1
            self.loop.stop()

    def _hung_up(self, needs_terminal: bool) -> None:
        if needs_terminal and not _has_terminal():
            self._asked_to_stop("the terminal was closed")
        else:
            self.reload(lambda _: None)

    # -- helpers ---------------------------------------------------------------------------------

    def _app_services(self) -> list[RunningService]:
        """The services of the app, without the dashboard."""
        return [running for running in self.services if running.service.target is None]

    def _output(self, source: str, text: str, is_access: bool) -> None:
        self.emit(events.Output(source, text, complete=is_access))

    def _report(self, exc: BaseException) -> None:
        text = "".join(traceback.format_exception(exc))
        if isinstance(exc, InvalidMessage):
            problem = f"a message cannot be read: {exc.problem}"
        else:
            problem = f"{type(exc).__name__}: {exc}"
        self.emit(events.InternalError(problem, text))

    def _sample(self) -> None:
        self.loop.after(INTERVAL_SECONDS, self._sample)
        served = [running.served() for running in self.services]
        self.figures.sample(served, monotonic=time.monotonic(), wall=time.time())

    def _watchdog(self) -> None:
        self.loop.after(self._notifier.watchdog_seconds or 1.0, self._watchdog)
        self._notifier.watchdog()

    def _reap(self) -> None:
        """Reap exited children: loaders and, as PID 1, orphans that were reparented to us."""
        loaders = [loader for g in (self._generation, *self._other_generations) for loader in g.loaders]
        ours = {loader.pid: loader for loader in loaders}
        while True:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if ended is None:
                return
            if ended.si_pid in ours:
                ours[ended.si_pid].wait(0)
            with contextlib.suppress(ChildProcessError):  # raised if the `wait` above has reaped it
                os.waitpid(ended.si_pid, os.WNOHANG)


def _how_it_ended(process: ServerProcess, code: int | None) -> str:
    """How a process ended, or why it could not be started."""
    if process.failure is None or process.has_begun:
        return how_it_ended(code)
    return f"could not be started ({process.failure.problem.removesuffix('.')})"


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY))
    except OSError as exc:
        return exc.errno in (errno.EMFILE, errno.ENFILE)  # says nothing about the terminal
    return True
