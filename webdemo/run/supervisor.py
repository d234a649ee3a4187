"""The supervisor: owns the sockets and the server processes, and imports no app code.

The rules. Sockets are opened before it starts and closed last. A server is replaced by starting the
new one beside it on the same sockets, and draining the old one when the new one has answered; so a
restart, a reload and a swap are one thing, and none of them leaves a port unanswered. Whatever
happens is told as an event.
"""

from __future__ import annotations

import itertools
import os
import secrets
import signal
import threading
import time
import webbrowser
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from webdemo import servers
from webdemo.errors import AppImportFailed, AppUnavailable, UsageError, WebdemoError
from webdemo.net.bind import Bind
from webdemo.net.listener import listen
from webdemo.run import child, edge, events, probe
from webdemo.run.accesslog import COMPLETE
from webdemo.run.channel import Message
from webdemo.run.control import ControlServer, Reply, refusal
from webdemo.run.load import Target
from webdemo.run.loop import Loop
from webdemo.run.notify import Notifier
from webdemo.run.plan import Plan, Service, rebind, service_for
from webdemo.run.processes import LoaderProcess, Process, State, read_events, read_output
from webdemo.run.service import Listener, RunningService
from webdemo.run.watch import Watcher

PROBE_SECONDS = 60.0
_DOUBLED_SIGNAL_SECONDS = 0.5  # platforms send SIGTERM twice; that is not impatience
_READINESS_SECONDS = 1.0  # between failing /readyz and draining, so that a balancer can look away
_LOADER_ENDS_SECONDS = 2.0

Done = Callable[[WebdemoError | None], None]


class Generation:
    """The loaders of one state of the code: one that shares the app by fork, one that does not."""

    def __init__(self) -> None:
        self.share = True
        self.loaders: dict[bool, LoaderProcess] = {}
        self.waiting: set[LoaderProcess] = set()
        self.seconds = 0.0
        self.not_shared_because: str | None = None

    def loader_for(self, service: Service) -> LoaderProcess:
        return self.loaders[self.shares(service)]

    def shares(self, service: Service) -> bool:
        return self.share and servers.find(service.server).before_import is None


class Replacement:
    """New services that are to take over from old ones; all of them or none."""

    def __init__(
        self,
        why: str,
        old: list[RunningService],
        new: list[RunningService],
        done: Done,
        beside: Sequence[RunningService] = (),
    ) -> None:
        self.why = why
        self.old = old
        self.new = new
        self.done = done
        self.beside = list(beside)  # to be listed with the new ones, but not to be started
        self.began = time.monotonic()


class Supervisor:
    """Runs a plan on sockets that are already open. `run` returns the exit code."""

    def __init__(
        self, plan: Plan, listeners: Iterable[tuple[Bind, list[Any]]], emit: Callable[[events.Event], None]
    ) -> None:
        self.plan = plan
        self.loop = Loop()
        self.emit = emit
        self.services: list[RunningService] = []
        self._listeners = {bind: Listener.of(bind, sockets) for bind, sockets in listeners}
        self._token = secrets.token_urlsafe(24)
        self._numbers = itertools.count(1)
        self._processes: dict[int, Process] = {}
        self._generation = Generation()
        self._loaders: list[LoaderProcess] = []
        self._replacements: list[Replacement] = []
        self._draining_read, self._draining_write = os.pipe()
        self._began = time.monotonic()
        self._since = time.time()
        self._started = False
        self._stopping_since: float | None = None
        self._exit_code = 0
        self._stand_ins: list[servers.Stopping] = []
        self._notifier = Notifier()
        self._watcher: Watcher | None = None
        self._watched: set[str] = set()
        self._loading = False
        self._changed_while_loading = False
        self._needs_terminal = False

    # -- the run ---------------------------------------------------------------------------------

    def run(self) -> int:
        """Serve until a signal or a failure ends it."""
        self.loop.on_signal(signal.SIGTERM, partial(self._asked_to_stop, "SIGTERM"))
        self.loop.on_signal(signal.SIGINT, partial(self._asked_to_stop, "Ctrl-C"))
        stays_after_logout = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN  # started by nohup
        self._needs_terminal = _has_terminal() and not stays_after_logout
        self.loop.on_signal(signal.SIGHUP, self._hang_up)
        self.loop.on_signal(signal.SIGCHLD, self._reap)
        self.services = [
            RunningService(service, [self._listeners[bind] for bind in service.binds])
            for service in self.plan.services
        ]
        control = ControlServer(self.loop, self.command)
        if self.plan.health:
            self._stand_in()
        self._load(self._generation, self._first_load, self._first_load_failed)
        if self._notifier.watchdog_seconds is not None:
            self._watchdog()
        try:
            self.loop.run()
        finally:
            control.close()
            self._close()
        return self._exit_code

    def _first_load(self) -> None:
        generation = self._generation
        self.emit(events.Loaded(generation.seconds, generation.not_shared_because))
        for service in self.services:
            self._start(service)
        self._end_stand_in()

    def _first_load_failed(self, error: WebdemoError) -> None:
        self.emit(events.LoadFailed(error, old_code_serves=False))
        if self.plan.reload:
            # A typing error is no reason to go: the next change may mend it.
            self._stand_in()
            self._watch([str(Path.cwd())])
            return
        self._end_stand_in()
        self._exit_code = error.exit_code
        self._drain("the app cannot be loaded")

    def _close(self) -> None:
        if self._watcher is not None:
            self._watcher.stop()
        for listener in self._listeners.values():
            listener.close()
        for loader in self._loaders:
            loader.close()
        for loader in self._loaders:
            loader.wait(self.plan.grace_seconds + _LOADER_ENDS_SECONDS)
        os.close(self._draining_read)
        os.close(self._draining_write)

    # -- code: loaders ---------------------------------------------------------------------------

    def _load(
        self, generation: Generation, then: Callable[[], None], failed: Callable[[WebdemoError], None]
    ) -> None:
        """Start the loaders that the services need; `then` once all have loaded."""

        def start(share: bool) -> None:
            loader = LoaderProcess(
                self.loop,
                self.plan.target,
                share=share,
                grace_seconds=self.plan.grace_seconds,
                on_message=heard,
                on_output=self._output,
            )
            generation.loaders[share] = loader
            generation.waiting.add(loader)
            self._loaders.append(loader)

        def heard(loader: LoaderProcess, message: Message) -> None:
            event = message["event"]
            if event == "loaded":
                self._watch(message["sources"])
                generation.waiting.discard(loader)
                generation.seconds += message["seconds"]
                if message["not_shared_because"]:
                    generation.share = False
                    generation.not_shared_because = message["not_shared_because"]
                    generation.loaders.pop(True).close()
                    if False not in generation.loaders:
                        start(share=False)
                if not generation.waiting:
                    self._loading = False
                    then()
            elif event == "failed" and loader in generation.waiting:
                give_up(error_of(message))
            elif event == "gone":
                if loader in generation.waiting:
                    give_up(_ended_while_loading(self.plan.target, message["code"]))
                self._loader_gone(loader)
            else:
                self._heard_of_process(message)

        def give_up(error: WebdemoError) -> None:
            generation.waiting.clear()
            self._loading = False
            failed(error)

        self._loading = True
        for share in {generation.shares(s.service) for s in self.services}:
            start(share)

    def _loader_gone(self, loader: LoaderProcess) -> None:
        self._loaders.remove(loader)
        orphans = [p for p in self._processes.values() if p.loader is loader]
        if orphans and self._stopping_since is None:
            # They still serve, but nobody would hear of their end: replace them.
            affected = list(dict.fromkeys(p.service for p in orphans))
            self._reload("reload", only=affected)

    def _hang_up(self) -> None:
        if self._needs_terminal and not _has_terminal():
            self._asked_to_stop("the terminal was closed")
        else:
            self.reload(lambda _: None)

    # -- server processes ------------------------------------------------------------------------

    def _start(self, running: RunningService) -> None:
        running.state = "starting"
        while len(running.processes) < running.service.processes:
            self._spawn(running)

    def _spawn(self, running: RunningService) -> None:
        service = running.service
        loader = self._generation.loader_for(service)
        process = Process(next(self._numbers), running, loader)
        adapter = servers.find(service.server)
        if adapter.opens_own_sockets:
            for listener in running.listeners:
                if not listener.sockets:  # the process that is gone had the port to itself
                    listener.sockets = listen(replace(listener.bind, port=listener.port))
        events_read, events_write = os.pipe()
        output_read, output_write = os.pipe()
        order = child.order(
            server=service.server,
            options=dict(service.options),
            workers=service.workers if adapter.own_workers else 1,
            cpus=list(service.cpus),
            certificate=service.certificate,
            grace_seconds=self.plan.grace_seconds,
            settings=self._edge_settings(process, running),
            target=self.plan.target,
        )
        loader.children += 1
        running.processes.append(process)
        self._processes[process.number] = process
        sockets = [sock.fileno() for sock in running.sockets()]
        loader.send(
            {"do": "spawn", "process": process.number, "own_import": not loader.share, **order},
            [events_write, output_write, self._draining_read, *sockets],
        )
        os.close(events_write)
        os.close(output_write)
        if adapter.opens_own_sockets:
            for listener in running.listeners:
                listener.close()
        read_output(self.loop, output_read, process, self._output)
        read_events(self.loop, events_read, partial(self._told_by, process), partial(self._hung_up, process))

    def _edge_settings(self, process: Process, running: RunningService) -> edge.EdgeSettings:
        return edge.EdgeSettings(
            process_id=process.number,
            token=self._token,
            server=running.service.server,
            version=running.version,
            binds={listener.name(): f":{listener.name()}" if listener.port else listener.name()
                   for listener in running.listeners},
            health=self.plan.health,
            access_log=self.plan.access_log,
            colour=self.plan.colour,
            trusted_proxies=self.plan.trusted_proxies,
            rfc7239=self.plan.forwarded == "forwarded",
        )  # fmt: skip

    def _told_by(self, process: Process, message: Message) -> None:
        if message["event"] == "ready" and process.state is State.STARTING:
            self._watch(message["sources"])
            process.state = State.READY
            self._probe(process)
        elif message["event"] == "failed":
            process.failure = message

    def _probe(self, process: Process) -> None:
        """Ask the port, in a thread, until this process has answered."""
        running = process.service
        place = running.listeners[0].places[0]
        others = [
            p for p in self._processes.values()
            if p is not process and set(p.service.listeners) & set(running.listeners)
        ]  # fmt: skip

        def ask() -> None:
            answered = probe.wait_for(
                place,
                self._token,
                process.number,
                tls=running.service.tls,
                alone=not others,
                give_up_at=time.monotonic() + PROBE_SECONDS,
            )
            self.loop.post(partial(self._probed, process, answered))

        threading.Thread(target=ask, daemon=True).start()

    def _probed(self, process: Process, answered: bool) -> None:
        if process.state is not State.READY:
            return
        if not answered:
            process.signal(signal.SIGKILL)
            return
        process.state = State.UP
        running = process.service
        if running.is_up():
            again = running.state == "waiting"
            running.state = "up"
            self._is_up(running, again)

    def _is_up(self, running: RunningService, again: bool) -> None:
        for replacement in self._replacements:
            if running in replacement.new:
                if all(new.state == "up" for new in replacement.new):
                    self._take_over(replacement)
                return
        if not self._started:
            self._tell_start()
        elif again:
            seconds = time.monotonic() - running.processes[-1].ordered_at
            self.emit(events.Up(str(running), running.pids, "again", seconds))

    def _tell_start(self) -> None:
        if all(s.state in ("up", "given up") for s in self.services) and self._stopping_since is None:
            self._started = True
            self.emit(events.Started(tuple(self.rows()), time.monotonic() - self._began))
            self._notifier.ready()
            if self.plan.open_browser:
                url = next((u for row in self.rows() for u in row.urls if u.startswith("http")), None)
                if url:
                    threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()

    def _heard_of_process(self, message: Message) -> None:
        process = self._processes.get(message["process"])
        if process is None:
            return
        if message["event"] == "spawned":
            process.pid = message["pid"]
        elif message["event"] == "exited":
            self._ended(process, message["code"])

    def _hung_up(self, process: Process) -> None:
        """Its pipe is closed; if its loader is gone too, nobody else will tell of its end."""
        if not process.loader.alive and process.state is not State.DEAD:
            self._ended(process, None)

    def _ended(self, process: Process, code: int | None) -> None:
        expected = process.state is State.DRAINING
        process.state = State.DEAD
        running = process.service
        del self._processes[process.number]
        process.loader.children -= 1
        if process.loader.retired:
            process.loader.retire()
        if self._stopping_since is not None:
            self._finish_if_empty()
            return
        if expected:
            return
        replacement = next((r for r in self._replacements if running in r.new), None)
        if replacement is not None:
            self._give_back(replacement, process, code)
        else:
            self._start_again(running, process, code)

    def _start_again(self, running: RunningService, process: Process, code: int | None) -> None:
        wait = running.wait_after_death(time.monotonic() - process.ordered_at)
        if process.failure is not None and not self._started:
            self.emit(events.LoadFailed(error_of(process.failure), old_code_serves=False))
            wait = None
        if wait is None:
            self._give_up(running)
            return
        self.emit(events.Died(str(running), process.pid or 0, how_it_ended(code), wait))
        running.state = "waiting"

        def again() -> None:
            if running in self.services and running.state == "waiting" and self._stopping_since is None:
                running.processes.remove(process)
                self._spawn(running)

        self.loop.after(wait, again)

    def _give_up(self, running: RunningService) -> None:
        running.state = "given up"
        for listener in running.listeners:
            listener.close()
        for process in running.processes:
            self._drain_process(process)
        self.emit(events.GivenUp(str(running), running.restarts, running.tail()))
        if all(s.state == "given up" for s in self.services):
            self._exit_code = 1
            self._drain("every server gave up")
        elif not self._started:
            self._tell_start()

    # -- replacing: restart, reload, swap --------------------------------------------------------

    def reload(self, done: Done) -> None:
        """Load the app anew, and replace every server when the new code is there."""
        self._reload("reload", done=done)

    def _reload(
        self, why: str, *, only: list[RunningService] | None = None, done: Done = lambda _: None
    ) -> None:
        old_generation, generation = self._generation, Generation()
        self._notifier.reloading()

        def loaded() -> None:
            if self._stopping_since is not None:
                return
            self._generation = generation
            old = [s for s in self.services if s.state in ("up", "starting", "waiting")]
            new = [RunningService(s.service, s.listeners) for s in old]

            def settled(error: WebdemoError | None) -> None:
                if error is not None:
                    self._generation = old_generation
                retired = generation if error else old_generation
                for loader in retired.loaders.values():
                    loader.retire()
                over(error)

            self._replace(Replacement(why, old, new, settled))

        def failed(error: WebdemoError) -> None:
            self.emit(events.LoadFailed(error, old_code_serves=True))
            for loader in generation.loaders.values():
                loader.close()
            over(error)

        def over(error: WebdemoError | None) -> None:
            self._notifier.ready()
            done(error)
            if self._changed_while_loading:
                self._changed_while_loading = False
                self._reload("reload")

        self._load(generation, loaded, failed)

    def _watch(self, folders: list[str]) -> None:
        """With --reload: watch these folders as well, and load the app anew when something changes."""
        if not self.plan.reload or set(folders) <= self._watched or self._stopping_since is not None:
            return
        self._watched |= {*folders, *self.plan.reload_paths}
        if self._watcher is not None:
            self._watcher.stop()
        self._watcher = Watcher(
            self._watched,
            lambda paths: self.loop.post(partial(self._files_changed, paths)),
            on_polling=lambda text: self.loop.post(partial(self.emit, events.Note(text))),
        )
        self._watcher.start()

    def _files_changed(self, paths: tuple[str, ...]) -> None:
        if self._stopping_since is not None:
            return
        if self._loading or self._replacements:
            self._changed_while_loading = True
            return
        self.emit(events.Changed(paths))
        if self._started:
            self._reload("reload")
        else:
            self._generation = Generation()
            self._load(self._generation, self._first_load, self._first_load_failed)

    def _watchdog(self) -> None:
        self._notifier.watchdog()
        self.loop.after(self._notifier.watchdog_seconds or 1.0, self._watchdog)

    def _replace(self, replacement: Replacement) -> None:
        self._replacements.append(replacement)
        if not replacement.new:
            self._take_over(replacement)
        for running in replacement.new:
            self._start(running)

    def _take_over(self, replacement: Replacement) -> None:
        """The new services have answered: they are the services now, and the old ones drain."""
        self._replacements.remove(replacement)
        at = min(
            (self.services.index(s) for s in replacement.old if s in self.services),
            default=len(self.services),
        )
        self.services = [s for s in self.services if s not in replacement.old]
        self.services[at:at] = [*replacement.new, *replacement.beside]
        for old, new in zip(replacement.old, replacement.new, strict=False):
            new.restarts = old.restarts
        for running in replacement.old:
            for process in running.processes:
                self._drain_process(process)
        seconds = time.monotonic() - replacement.began
        for running in replacement.new:
            self.emit(events.Up(str(running), running.pids, replacement.why, seconds))
        for running in replacement.beside:
            self.emit(events.StoppedService(str(running)))
        replacement.done(None)

    def _give_back(self, replacement: Replacement, process: Process, code: int | None) -> None:
        """A new service did not come up: the new ones go, the old ones stay."""
        self._replacements.remove(replacement)
        for running in replacement.new:
            for other in running.processes:
                other.signal(signal.SIGKILL)
                other.state = State.DRAINING if other.state is not State.DEAD else State.DEAD
        why = how_it_ended(code)
        if process.failure is not None:
            error = error_of(process.failure)
            self.emit(events.LoadFailed(error, old_code_serves=True))
        else:
            error = AppUnavailable(
                f"The new {process.service} did not come up: it {why}.",
                remedy="The old one goes on serving; the log says more.",
            )
            self.emit(events.ReplaceFailed(str(process.service), why, tuple(process.tail)))
        replacement.done(error)

    def _drain_process(self, process: Process) -> None:
        """Let it finish what is in flight; kill it when the grace time is over."""
        if process.state in (State.DEAD, State.DRAINING):
            return
        # One that has not begun to serve has nothing to finish, and may not yet hear the signal.
        has_begun = process.state in (State.READY, State.UP)
        process.state = State.DRAINING
        process.signal(signal.SIGTERM if has_begun else signal.SIGKILL)

        def cut_off() -> None:
            if process.state is State.DRAINING:
                self.emit(events.CutOff((process.pid or 0,), self.plan.grace_seconds))
                process.signal(signal.SIGKILL)
                if self._stopping_since is not None:
                    self._exit_code = self._exit_code or 1

        self.loop.after(self.plan.grace_seconds, cut_off)

    # -- commands --------------------------------------------------------------------------------

    def command(self, message: dict[str, Any], reply: Callable[[Reply], None]) -> None:
        """Carry out a command of the control socket; raises UsageError for one that cannot be."""
        what = message.get("do")
        commands: dict[Any, Callable[[], None]] = {
            "status": lambda: reply({"ok": True} | self.status()),
            "reload": lambda: self.reload(done),
            "restart": lambda: self._restart(message.get("port"), done),
            "stop": lambda: self._stop(message.get("port"), done),
            "start": lambda: self._start_port(str(message.get("port")), done),
            "swap": lambda: self._swap(str(message.get("port")), str(message.get("server")), done),
        }

        def done(error: WebdemoError | None) -> None:
            reply({"ok": True} if error is None else refusal(error))

        if what not in commands:
            raise UsageError(f"There is no command {what!r}.", remedy=f"These are: {', '.join(commands)}.")
        if self._stopping_since is not None and what != "status":
            raise UsageError("This webdemo is stopping.", remedy="Start a new one.")
        commands[what]()

    def status(self) -> dict[str, Any]:
        """Everything that `webdemo ps` shows, JSON-able."""
        return {
            "pid": os.getpid(),
            "target": str(self.plan.target),
            "since": self._since,
            "stopping": self._stopping_since is not None,
            "services": [s.status() for s in self.services],
        }

    def _restart(self, port: str | None, done: Done) -> None:
        if port and self._find(port)[0].state in ("stopped", "given up"):
            self._start_port(port, done)
            return
        old = [self._find(port)[0]] if port else [s for s in self.services if s.state == "up"]
        for running in old:
            self._check_free(running)
        new = [RunningService(s.service, s.listeners) for s in old]
        self._replace(Replacement("restart", old, new, done))

    def _stop(self, port: str | None, done: Done) -> None:
        if port is None:
            done(None)
            self._drain("asked to")
            return
        running, listener = self._find(port)
        self._check_free(running)
        if running.state == "stopped":
            raise UsageError(f"{running} is stopped already.", remedy=f"Start it: webdemo start {port}")
        parted = self._part(running, listener)
        stopped = RunningService(
            replace(running.service, binds=(listener.bind,)), [listener], state="stopped"
        )

        def close(error: WebdemoError | None) -> None:
            if error is None:
                listener.close()
            done(error)

        self._replace(Replacement("stop", [running], parted, close, beside=[stopped]))

    def _start_port(self, port: str, done: Done) -> None:
        running, _ = self._find(port)
        if running.state not in ("stopped", "given up"):
            raise UsageError(f"{running} is {running.state} already.", remedy="See: webdemo ps")
        for other in running.listeners:
            if not other.sockets:
                other.sockets = listen(replace(other.bind, port=other.port) if other.port else other.bind)
        new = RunningService(running.service, running.listeners)
        self._replace(Replacement("start", [running], [new], done))

    def _swap(self, port: str, server: str, done: Done) -> None:
        running, listener = self._find(port)
        self._check_free(running)
        if running.state == "stopped":
            raise UsageError(f"{running} is stopped.", remedy=f"Start it first: webdemo start {port}")
        bind = rebind(listener.bind, server)
        service = replace(service_for(bind, default_server=running.service.server), binds=(listener.bind,))
        for name in (running.service.server, service.server):
            if servers.find(name).opens_own_sockets:
                raise UsageError(
                    f"The server {name} opens its port itself, so it cannot be swapped without a gap.",
                    remedy="Stop webdemo and start it with the other server.",
                )
        if service.tls and service.certificate is None:
            service = replace(service, certificate=running.service.certificate)
        new = RunningService(service, [listener])
        self._replace(Replacement("swap", [running], [*self._part(running, listener), new], done))

    def _part(self, running: RunningService, listener: Listener) -> list[RunningService]:
        """The service without one of its listeners, as a new one; none if there is no other."""
        rest = [other for other in running.listeners if other is not listener]
        if not rest:
            return []
        return [RunningService(replace(running.service, binds=tuple(o.bind for o in rest)), rest)]

    def _find(self, port: str) -> tuple[RunningService, Listener]:
        for running in self.services:
            for listener in running.listeners:
                if listener.name() == str(port):
                    return running, listener
        known = ", ".join(listener.name() for s in self.services for listener in s.listeners)
        raise UsageError(f"Nothing of this webdemo listens on {port}.", remedy=f"It has {known}.")

    def _check_free(self, running: RunningService) -> None:
        if any(running in r.old for r in self._replacements):
            raise UsageError(f"{running} is being replaced right now.", remedy="Try again in a moment.")

    # -- the end ---------------------------------------------------------------------------------

    def _asked_to_stop(self, why: str) -> None:
        now = time.monotonic()
        if self._stopping_since is None:
            self._drain(why)
        elif now - self._stopping_since > _DOUBLED_SIGNAL_SECONDS:
            self._exit_code = self._exit_code or 1
            for process in self._processes.values():
                process.signal(signal.SIGKILL)
            for loader in self._loaders:
                if loader.children:
                    loader.close()  # it obeys first, and then ends
                else:
                    loader.kill()  # it may be importing
            self.loop.stop()

    def _drain(self, why: str) -> None:
        """End the run: fail readiness, close the sockets, finish what is in flight."""
        if self._stopping_since is not None:
            return
        self._stopping_since = time.monotonic()
        self._notifier.stopping()
        self.emit(events.Draining(why, self.plan.grace_seconds))
        os.write(self._draining_write, b"!")
        serving = any(s.state == "up" for s in self.services)
        self.loop.after(_READINESS_SECONDS if self.plan.health and serving else 0, self._drain_all)

    def _drain_all(self) -> None:
        for listener in self._listeners.values():
            listener.close()
        for process in list(self._processes.values()):
            self._drain_process(process)
        self._finish_if_empty()

    def _finish_if_empty(self) -> None:
        if not self._processes and self._stopping_since is not None:
            self.emit(events.Stopped(time.monotonic() - self._stopping_since))
            self.loop.stop()

    # -- small things ----------------------------------------------------------------------------

    def rows(self) -> list[events.Row]:
        return [
            events.Row(
                server=s.service.server,
                version=s.version,
                urls=tuple(url for listener in s.listeners for url in listener.urls()),
                pids=s.pids,
                workers=s.service.workers,
                state=s.state,
            )
            for s in self.services
        ]

    def _output(self, source: str, line: bytes) -> None:
        complete = line.startswith(COMPLETE)
        text = line.removeprefix(COMPLETE).decode("utf-8", "replace")
        self.emit(events.Output(source, text, complete))

    def _stand_in(self) -> None:
        """Answer health checks while the app is being loaded: alive, and not ready."""
        from webdemo.servers import wsgiref

        if self._stand_ins:
            return
        app = edge.health(edge.not_loaded, lambda: False) if self.plan.health else edge.not_loaded
        for running in self.services:
            if not running.service.tls:
                stopping = servers.Stopping()
                job = servers.Job(app, [s.dup() for s in running.sockets()], servers.NoOptions(), 1, None,
                                  lambda: None, stopping, 1.0)  # fmt: skip
                threading.Thread(target=wsgiref.serve, args=(job,), daemon=True).start()
                self._stand_ins.append(stopping)

    def _end_stand_in(self) -> None:
        for stopping in self._stand_ins:
            stopping.set()
        self._stand_ins.clear()

    def _reap(self) -> None:
        """Collect what has ended: retired loaders and, as PID 1, whatever was left to us."""
        ours = {loader.pid: loader for loader in self._loaders}
        while True:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if ended is None:
                return
            if ended.si_pid in ours:
                ours[ended.si_pid].wait(0)
            else:
                os.waitpid(ended.si_pid, os.WNOHANG)


def error_of(message: Message) -> WebdemoError:
    """A loader's or a child's failure as an error."""
    if message["traceback"]:
        return AppImportFailed(message["problem"], remedy=message["remedy"], traceback=message["traceback"])
    kind = UsageError if message["exit_code"] == UsageError.exit_code else AppUnavailable
    return kind(message["problem"], remedy=message["remedy"])


def how_it_ended(code: int | None) -> str:
    if code is None:
        return "ended"
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"


def _ended_while_loading(target: Target, code: int) -> WebdemoError:
    return AppUnavailable(
        f"The app {str(target)!r} cannot be loaded: the process that imported it {how_it_ended(code)}.",
        remedy="Import it by hand to see why: python -c 'import ...'",
    )


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY))
    except OSError:
        return False
    return True
