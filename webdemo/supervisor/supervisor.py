"""The supervisor: connects the reconciler, which decides, with the machine. Runs in the main process.

The rules. It imports no app code. Sockets are opened before it starts and closed last. Commands, signals and
file changes become wishes; everything that happens is emitted as an event.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from webdemo.errors import ControlUnavailable, WebdemoError
from webdemo.net.bind import Bind
from webdemo.stats.figures import INTERVAL_SECONDS, Figures
from webdemo.stats.usage import UsageTable
from webdemo.supervisor import events, executor, facts
from webdemo.supervisor.actual import Limits
from webdemo.supervisor.changes import FileChanges
from webdemo.supervisor.commands import Commands, Done
from webdemo.supervisor.control import ControlServer
from webdemo.supervisor.desired import PortEdit, Services
from webdemo.supervisor.executor import Executor
from webdemo.supervisor.facts import Action, Fact
from webdemo.supervisor.listeners import Listener
from webdemo.supervisor.loop import Loop
from webdemo.supervisor.notify import Notifier
from webdemo.supervisor.plan import Plan, place
from webdemo.supervisor.processes import signal_name
from webdemo.supervisor.reconciler import Reconciler
from webdemo.supervisor.status import Overview
from webdemo.worker import interpreter, startup
from webdemo.worker.codec import InvalidMessage
from webdemo.worker.messages import Hint, Loaded, Ready, Wrote

if TYPE_CHECKING:
    from webdemo.supervisor.admin import Admin

_DOUBLED_SIGNAL_SECONDS = 0.5  # some platforms send SIGTERM twice; that is not a request to stop at once
_SLOW_LOAD_SECONDS = 1.0


class Supervisor:
    """Runs a plan on sockets that are already open. `run` returns the exit code."""

    def __init__(
        self,
        plan: Plan,
        listeners: Iterable[tuple[Bind, list[socket.socket]]],
        emit: Callable[[events.Event], None],
        admin: list[socket.socket] | None = None,
        reread: Callable[[], tuple[Plan, str]] | None = None,
        is_commanded: bool = True,
    ) -> None:
        """`admin`: the sockets of the admin address, which are closed at the end. `reread`: called before a
        reload; returns its settings, and what has changed. Without `is_commanded` there is no control socket,
        so that no command sees the run."""
        self.emit = emit
        self.since = time.time()
        self.loop = Loop(self._report)
        opened = Listener.of_all(listeners)
        self._ports = {place(listener.bind): listener.name for listener in opened}
        self.plan = plan
        # Who waits in a queue that another process keeps gets the app, not a 503.
        placeholder = (
            listener.name for listener in opened if plan.features.health and not listener.is_inherited
        )
        limits = Limits(placeholder_at_start=frozenset(placeholder))
        self.reconciler = Reconciler(self._services(plan), _limited(limits, plan))
        self.executor = Executor(
            self.loop,
            plan,
            {listener.name: listener for listener in opened},
            executor.Hooks(
                on_fact=self._happened,
                emit=emit,
                on_report=self._reported,
                services=lambda: self.reconciler.settled.slots,
            ),
        )
        self.overview = Overview(self.reconciler, self.executor)
        self.figures = Figures(self.executor.counters, UsageTable().look)
        self._changes = FileChanges(
            self.loop,
            plan,
            self.executor,
            emit=emit,
            hint=self._hint,
            load_again=self._reload_or_tell,
            is_stopping=lambda: self.reconciler.stopping is not None,
        )
        self._notifier = Notifier()
        self._admin_sockets = admin
        self._reread = reread
        self._is_commanded = is_commanded
        self._is_reloading = False
        self._hints: set[str] = set()
        self._app_name = str(plan.target)
        self._waiting: dict[int, Done] = {}
        self._at_end: list[Done] = []
        self._is_acting = False
        self._wakes_at: float | None = None
        self._signalled_at: float | None = None  # to stop, the first time
        self._exit_code = 0

    # -- the run ---------------------------------------------------------------------------------

    def run(self) -> int:
        """Serve until a command, a signal or a failure ends the run."""
        stays_after_logout = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN  # started by nohup
        needs_terminal = _has_terminal() and not stays_after_logout
        for number, callback in (
            (signal.SIGTERM, partial(self._asked_to_stop, "SIGTERM")),
            (signal.SIGINT, partial(self._asked_to_stop, "Ctrl-C")),
            (signal.SIGHUP, partial(self._hung_up, needs_terminal)),
        ):
            # Ignored at the end, because a late one must not change the exit code.
            self.loop.on_signal(number, callback, ignored_at_end=True)
        for other in _unused_signals():
            unused = events.Note(
                f"{signal_name(other)} does nothing here. To reload: SIGHUP, or webdemo reload"
            )
            self.loop.on_signal(other, partial(self.emit, unused))
        self.loop.on_signal(signal.SIGCHLD, self._reap)
        self.act()  # starts the loaders; the rest is done while the app is being imported
        interpreter.end_early()  # unused if no service shares the app
        self.loop.after(_SLOW_LOAD_SECONDS, self._changes.watch_current_folder)
        control = self._open_control() if self._is_commanded else None
        if sys.platform == "linux" and not Path("/proc/self").exists():
            self.emit(events.Note("/proc is not mounted: memory, CPU and who holds a port are not known."))
            self.emit(events.Note("Mount it: mount -t proc proc /proc"))
        admin = self._open_admin()
        self.loop.every(INTERVAL_SECONDS, self._sample)
        if self._notifier.watchdog_seconds is not None:
            self.loop.every(self._notifier.watchdog_seconds, self._notifier.watchdog)
        try:
            self.loop.run()
        finally:
            if admin is not None:
                admin.close()
            self._changes.close()
            self.executor.close()
            for done in self._at_end:  # the ports are free now
                done(None)
            if control is not None:
                control.close()
        return self._exit_code

    def _open_admin(self) -> Admin | None:
        if self._admin_sockets is None:
            return None
        from webdemo.supervisor.admin import Admin  # few runs need it

        return Admin(self.loop, self._admin_sockets, self)

    def _open_control(self) -> ControlServer | None:
        """The control socket; without one the run continues, with a note."""
        try:
            return ControlServer(self.loop, Commands(self).obey)
        except ControlUnavailable as exc:
            self.emit(events.Note(f"{exc.problem} Commands such as `webdemo ps` do not reach this run."))
            self.emit(events.Note(exc.remedy))
            return None

    # -- wishes ----------------------------------------------------------------------------------

    def wish(self, edit: PortEdit, done: Done) -> None:
        """Make a wish to the reconciler; `done` is called with None when it is fulfilled, or with why not."""
        wish = self.reconciler.wish(edit, time.monotonic())
        self._waiting[wish] = done  # answered in `act` at the earliest
        self.act()

    def reload(self, done: Done) -> None:
        """Replace every server process, with the code as it is now."""
        self._waiting[self.reconciler.reload(time.monotonic())] = done
        self.act()

    def reread(self) -> str:
        """Read the settings again, for the next reload; returns which have changed. Raises UsageError.

        Limits and what is watched change at once, the rest with the next release.
        """
        if self._reread is None or self.reconciler.stopping is not None:
            return ""
        self.plan, changed = self._reread()
        self.executor.renew(self.plan, self.reconciler.releases)
        self.reconciler.configure(self._services(self.plan), _limited(self.reconciler.limits, self.plan))
        self._changes.renew(self.plan)
        if changed:
            self.emit(events.Note(changed))
        return changed

    def _services(self, plan: Plan) -> Services:
        return tuple(
            (service._replace(binds=()), tuple(self._ports[place(bind)] for bind in service.binds))
            for service in plan.services
        )

    def _reload_or_tell(self, done: Done = lambda _: None) -> None:
        try:
            self.reread()
            self.reload(done)
        except WebdemoError as exc:
            self.emit(events.LoadFailed(exc, old_code_serves=True))
            done(exc)

    def stop(self, why: str, done: Done = lambda _: None) -> None:
        """Shut down gracefully: fail readiness, close the sockets, finish the requests in flight."""
        self._at_end.append(done)
        self.reconciler.stop_all(why, time.monotonic())
        self.act()

    def _asked_to_stop(self, why: str) -> None:
        now = time.monotonic()
        if self._signalled_at is None:  # the run may be stopping already, by a command
            self._signalled_at = now
            self.stop(why)
        elif now - self._signalled_at > _DOUBLED_SIGNAL_SECONDS:
            self.reconciler.stop_now(now)
            self.act()

    def _hung_up(self, needs_terminal: bool) -> None:
        if needs_terminal and not _has_terminal():
            self._asked_to_stop("the terminal was closed")
        else:
            self._reload_or_tell()

    # -- facts and actions -----------------------------------------------------------------------

    def _happened(self, fact: Fact) -> None:
        self.reconciler.happened(fact, time.monotonic())
        self.act()

    def act(self) -> None:
        """Carry out what the reconciler orders, until it orders nothing more."""
        if self._is_acting:  # an action has reported a fact at once: the loop below continues with it
            return
        self._is_acting = True
        try:
            while actions := self.reconciler.next_actions(time.monotonic()):
                for action in actions:
                    self.loop.barrier.call(partial(self._carry_out, action))
        finally:
            self._is_acting = False
        self._tell_service_manager()
        at = self.reconciler.next_look
        if at is not None and (self._wakes_at is None or at < self._wakes_at):
            self._wakes_at = at
            self.loop.after(max(0.0, at - time.monotonic()), partial(self._wake, at))

    def _wake(self, at: float) -> None:
        if at == self._wakes_at:
            self._wakes_at = None
        self.act()

    def _tell_service_manager(self) -> None:
        is_reloading = self.reconciler.is_started and self.reconciler.is_reloading
        if is_reloading != self._is_reloading and self.reconciler.stopping is None:
            self._is_reloading = is_reloading
            if is_reloading:
                self._notifier.reloading()
            else:
                self._notifier.ready()

    def _carry_out(self, action: Action) -> None:
        match action:
            case facts.Answer(wish, error):
                if wish in self._waiting:
                    self._waiting.pop(wish)(error)
            case facts.End(exit_code):
                self._exit_code = exit_code
                self.loop.stop()
            case facts.AnnounceStart():
                self._announce_start()
            case facts.Tell(event, processes):
                self._tell(self.executor.completed(event, processes))
            case _:
                self.executor.carry_out(action)

    def _tell(self, event: events.Event) -> None:
        if not (isinstance(event, events.Up) and self._changes.tells_when_loaded):
            self.emit(event)
        match event:
            case events.Up():
                self._changes.serves(self.reconciler.settled.release)
            case events.LoadFailed(error, old_code_serves):
                self._changes.failed(error, old_code_serves=old_code_serves)
            case events.Draining():
                self._notifier.stopping()

    def _announce_start(self) -> None:
        self._notifier.ready()
        self._changes.started()
        self._changes.serves(self.reconciler.settled.release)
        rows = self.overview.rows()
        self.emit(events.Started(rows, time.monotonic() - startup.BEGAN, self._app_name))

    def _reported(self, report: executor.AppReport) -> None:
        match report:
            case Hint(text):
                self._hint(text)
            case Wrote(paths):
                self._changes.wrote(paths)
            case Ready(sources):
                self._changes.add_sources(sources)
            case Loaded():
                self._changes.add_sources(report.sources)
                self._changes.set_needed(report.ahead)
                if report.app is not None:  # the loader has imported it
                    self._app_name = report.app
                    self.emit(events.Loaded(report.seconds, report.not_shared_because))

    # -- helpers ---------------------------------------------------------------------------------

    def _hint(self, text: str) -> None:
        if text not in self._hints:
            self._hints.add(text)
            self.emit(events.Note(text))

    def _report(self, exc: BaseException) -> None:
        text = "".join(traceback.format_exception(exc))
        if isinstance(exc, InvalidMessage):
            problem = f"a message cannot be read: {exc.problem}"
        else:
            problem = f"{type(exc).__name__}: {exc}"
        self.emit(events.InternalError(problem, text))

    def _sample(self) -> None:
        self.figures.sample(self.overview.served(), monotonic=time.monotonic(), wall=time.time())

    def _reap(self) -> None:
        """Reap exited children: loaders and, as PID 1, orphans that were reparented to us."""
        while True:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if ended is None:
                return
            if not self.executor.reap(ended.si_pid):
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(ended.si_pid, os.WNOHANG)


def _limited(limits: Limits, plan: Plan) -> Limits:
    return limits._replace(
        start_seconds=plan.start_seconds,
        grace_seconds=plan.grace_seconds,
        drain_delay_seconds=plan.drain_delay_seconds,
        waits_for_fix=plan.reload,
    )


def _unused_signals() -> Iterator[int]:
    """Signals that would end the run, without a drain; by some, other servers rotate their log or upgrade."""
    yield from (signal.SIGUSR1, signal.SIGUSR2)
    yield from (signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF, signal.SIGIO)
    if sys.platform == "linux":
        yield from (signal.SIGPWR, signal.SIGSTKFLT)
        yield from range(signal.SIGRTMIN, signal.SIGRTMAX + 1)


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY))
    except OSError as exc:
        return exc.errno in (errno.EMFILE, errno.ENFILE)  # says nothing about the terminal
    return True
