"""A server process: forked by the loader, it serves until SIGTERM, and then drains.

It reports to the supervisor through its own pipe: that its server is about to accept, or why it
cannot, and the lines of the access log. Its stdout and stderr go to the supervisor as well, as output of
the app.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

from webdemo import servers, standard_streams
from webdemo.errors import WebdemoError
from webdemo.middleware import stack
from webdemo.net import ListeningSocket
from webdemo.servers import registry
from webdemo.stats.counters import RequestCounter, SharedCounters, SiblingCounts
from webdemo.worker import app_import, app_processes, lifeline, own_writes
from webdemo.worker.messages import (
    SERVER_REPORTS,
    Began,
    Dropped,
    Failed,
    Hint,
    Ready,
    ServerReport,
    Sources,
    Spawn,
    Wrote,
)
from webdemo.worker.output import LossyPipe, use_lossy_output, wait_for_room

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

FAILED = 1


def serve(order: Spawn, descriptors: list[int], app: WSGIApplication | None) -> int:
    """Serve until drained; returns the exit code. If `app` is None, this process imports its own copy.

    `descriptors`: the report pipe, stdout and stderr, the one that is readable when the run ends, the
    lifeline, the counters' shared memory, and the listening sockets.
    """
    reports, output, draining, supervised, counting, *listening = descriptors
    dropped = _take_streams(output, reports)
    drain = _Drain(supervised, order.grace_seconds)
    drain.take_signals()
    lifeline.follow(supervised)
    app_processes.keep([reports, draining, supervised, counting, *listening, drain.stopping.fileno()])
    _apply_settings(order, reports)
    sockets = [_adopt(fd) for fd in listening]
    try:
        counter = RequestCounter(SharedCounters(counting), order.settings.service)

        def wrap(app: WSGIApplication) -> WSGIApplication:
            write = LossyPipe(reports, dropped).write

            def hint(text: str) -> None:
                tell(reports, Hint(text))

            modules = registry.find(order.server).modules_of_client_io
            return stack.wrap(app, order.settings, write, hint, draining, counter, drain.stopping, modules)

        loading = _Loading(order, app, wrap, reports)
        with _certificate(order) as certificate:
            _serve(order, loading, drain, sockets, certificate, counter)
    except WebdemoError as exc:
        tell(reports, Failed.of(exc))
        return FAILED
    except Exception:  # noqa: BLE001 - a server's failure, of any kind, goes to its log
        standard_streams.write_log(traceback.format_exc())
        return FAILED
    finally:
        standard_streams.flush()
    return 0


def _serve(
    order: Spawn,
    loading: _Loading,
    drain: _Drain,
    sockets: list[socket.socket],
    certificate: servers.Certificate | None,
    counter: RequestCounter,
) -> None:
    def ready() -> None:
        drain.accepts = True
        try:
            loading.tell_ready()
        except BrokenPipeError:  # the supervisor has died
            drain.stopping.set()

    adapter = registry.find(order.server)
    adapter.serve(
        servers.Job(
            app=loading.serve_in_worker if adapter.own_workers else loading.load(),
            sockets=sockets,
            options=adapter.parse_options(order.options),
            workers=order.workers,
            worker_cpus=order.worker_cpus,
            certificate=certificate,
            ready=ready,
            stopping=drain.stopping,
            grace_seconds=order.grace_seconds,
            directory=order.target.directory,
            load_in_worker=loading.load_in_worker,
            siblings=partial(drain.siblings, counter) if order.has_siblings else None,
            log=_log if order.settings.features.access_log else lambda line: None,
        )
    )


def _take_streams(output: int, reports: int) -> Callable[[int], None]:
    """Make `output` this process's stdout and stderr; returns what reports dropped lines.

    The loader has opened stdin as /dev/null.
    """
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    os.set_blocking(reports, False)

    def dropped(lines: int) -> None:
        tell(reports, Dropped(lines))

    use_lossy_output(dropped)
    with contextlib.suppress(BrokenPipeError):  # the supervisor has died
        tell(reports, Began(os.getpid()))
    return dropped


def _apply_settings(order: Spawn, reports: int) -> None:
    """The settings that hold for the whole process."""
    if order.reload:

        def wrote(paths: tuple[str, ...]) -> None:
            with contextlib.suppress(OSError):  # the supervisor is stopped or dead: no request waits for it
                os.write(reports, encoded(Wrote(paths)))

        own_writes.report(wrote)
    if order.writes_stacks:
        from webdemo.worker import stacks

        stacks.write_when_asked()
    if order.cpus and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, order.cpus)
    if sys.breakpointhook is sys.__breakpointhook__ and "PYTHONBREAKPOINT" not in os.environ:
        sys.breakpointhook = _no_terminal


class _Drain:
    """The handler of SIGTERM: makes the server drain, and its siblings take all further connections.

    A process that does not accept connections yet ends at once.
    """

    def __init__(self, supervised: int, grace_seconds: float) -> None:
        self.stopping = servers.Stopping()
        self.accepts = False
        self._supervised = supervised
        self._grace_seconds = grace_seconds
        self._siblings: SiblingCounts | None = None

    def take_signals(self) -> None:
        signal.signal(signal.SIGTERM, self)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        for name in (signal.SIGINT, signal.SIGHUP):
            # Not SIG_IGN, which programs started by the app would inherit.
            signal.signal(name, lambda *_: None)

    def __call__(self, *_: object) -> None:
        if not self.accepts:
            os._exit(0)  # not by an exception, which the code that is being imported might catch
        if lifeline.is_cut(self._supervised):
            # Nobody is left to kill this process after the grace time: the kernel does.
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_REAL, self._grace_seconds)
        self.stopping.set()
        if self._siblings is not None:
            self._siblings.leave()

    def siblings(self, counter: RequestCounter) -> SiblingCounts:
        """The connection counts of this process and its siblings; called in the process that accepts."""
        self._siblings = counter.siblings()
        if self.stopping.is_set():
            self._siblings.leave()
        return self._siblings


class _Loading:
    """Gets the app ready in the process where it answers requests: this one, or a worker that it forks."""

    def __init__(
        self,
        order: Spawn,
        shared: WSGIApplication | None,
        wrap: Callable[[WSGIApplication], WSGIApplication],
        reports: int,
    ) -> None:
        self.sources = Sources()  # if this process imports its own copy of the app
        self._adapter = registry.find(order.server)
        self._order = order
        self._shared = shared
        self._wrap = wrap
        self._reports = reports
        self._in_worker: WSGIApplication | None = None

    def load(self) -> WSGIApplication:
        """The app in the middleware; what this process forks from now on is the app's."""
        app = self._shared or stack.not_loaded
        if self._adapter.runs_app and self._shared is None:
            if self._adapter.before_import is not None:
                self._adapter.before_import()
            with app_processes.importing_app():
                app = app_import.load(self._order.target).app
            if self._order.reload:
                self.sources = sources_of(app)
        if not self._adapter.opens_own_sockets:  # such a server may fork workers without our knowledge
            app_processes.begin()
        web = sys.modules.get("webdemo.web.app")
        if web is not None and isinstance(app, web.App):
            app.start_worker()
        return self._wrap(app) if self._adapter.runs_app else app

    def load_in_worker(self) -> WSGIApplication:
        """As `load`, and reports the outcome, which the server process cannot know. Raises WebdemoError."""
        if self._in_worker is None:
            try:
                self._in_worker = self.load()
            except WebdemoError as exc:
                tell(self._reports, Failed.of(exc))
                raise
            if self.sources.folders:
                self.tell_ready()
        return self._in_worker

    def tell_ready(self) -> None:
        tell(self._reports, Ready(self.sources))

    def serve_in_worker(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """The app for servers that do not call `load_in_worker`."""
        return self.load_in_worker()(environ, start_response)


def _no_terminal(*_: object, **__: object) -> None:
    raise RuntimeError("breakpoint() needs the terminal, which the main process has: start with --in-process")


def _certificate(order: Spawn) -> contextlib.AbstractContextManager[servers.Certificate | None]:
    if order.made_certificate is None:
        return contextlib.nullcontext(order.certificate)
    from webdemo.worker.pem_file import as_file

    return as_file(order.made_certificate)


def _log(line: str) -> None:
    print(line, flush=True)


def _adopt(fd: int) -> socket.socket:
    sock = ListeningSocket(fileno=fd)
    sock.setblocking(False)  # another process may accept the connection first
    return sock


def sources_of(app: WSGIApplication) -> Sources:
    from webdemo.worker.reread import reread_folders  # with --reload only

    return Sources(app_import.source_folders(), reread_folders(app))


def encoded(message: ServerReport) -> bytes:
    """The message on its own line, whatever was written before it."""
    return b"\n" + SERVER_REPORTS.encode(message) + b"\n"


def tell(reports: int, message: ServerReport) -> None:
    """Write a message to the report pipe."""
    data = encoded(message)
    while data:
        try:
            data = data[os.write(reports, data) :]
        except BlockingIOError:
            wait_for_room(reports, None)
