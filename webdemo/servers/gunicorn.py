"""Gunicorn: an arbiter (the master process) and its workers, with or without threads."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import stat
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from webdemo.errors import UsageError
from webdemo.net import BACKLOG
from webdemo.servers import LINGER_SECONDS, Adapter, Job, Stopping, option
from webdemo.servers._draining import LOOK_FOR_OLD_SECONDS, end_reading, is_readable
from webdemo.servers._fair_accept import Turns
from webdemo.servers._fields import unify
from webdemo.servers._room import PAUSE_SECONDS, Room

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


@dataclass(frozen=True, slots=True)
class Options:
    threads: int = option(4, "Threads for each worker; 1 makes it a sync worker.")
    worker_class: str = option("", "Gunicorn's kind of worker, for example sync, gthread or gevent.")
    timeout: int = option(30, "Seconds after which a worker that shows no life is replaced.")
    keepalive: int = option(5, "Seconds an idle connection is kept open.")
    connections: int = option(
        1000, "Connections of a worker open at once; further ones wait, and idle ones are closed."
    )
    header_timeout: float = option(
        20.0, "Seconds in which a request's header must arrive, once it has begun."
    )
    max_requests: int = option(0, "Requests after which a worker is replaced; 0: never.")

    def __post_init__(self) -> None:
        if self.worker_class:
            _check_kind(self.worker_class)


def _check_kind(worker_class: str) -> None:
    """Raise UsageError for a class that Gunicorn would import: no setting but `app` may name code."""
    from gunicorn.workers import SUPPORTED_WORKERS

    if worker_class not in SUPPORTED_WORKERS:
        raise UsageError(
            f"Gunicorn has no kind of worker called {worker_class!r}.",
            remedy=f"These are known: {', '.join(sorted(SUPPORTED_WORKERS))}.",
        )


def serve(job: Job) -> None:
    import gunicorn.app.base

    busy: set[int] = set()

    class Application(gunicorn.app.base.BaseApplication):  # type: ignore[misc]
        def load_config(self) -> None:
            for name, value in settings(job, busy).items():
                self.cfg.set(name, value)

        def load(self) -> Any:
            return told_of_connections(job.app, busy)

    # The arbiter installs its own signal handlers; it drains on SIGTERM.
    Application().run()


def settings(job: Job, busy: set[int]) -> dict[str, Any]:
    """Gunicorn's settings by their documented names. Hands the sockets over to Gunicorn (detached)."""
    places = {place(sock) for sock in job.sockets}

    def when_ready(arbiter: Any) -> None:
        # As under systemd, the sockets are inherited: Gunicorn must not remove their files.
        arbiter.systemd = True
        job.ready()
        if job.stopping.is_set():  # SIGTERM came before the arbiter had its signal handlers
            signal.raise_signal(signal.SIGTERM)

    cpus_taken: dict[Any, int] = {}  # by worker; in the arbiter process

    def pre_fork(arbiter: Any, worker: Any) -> None:
        if job.worker_cpus:
            taken = Counter(cpus_taken.values())
            cpus_taken[worker] = min(job.worker_cpus, key=lambda cpu: taken[cpu])

    def post_fork(arbiter: Any, worker: Any) -> None:
        if job.worker_cpus:
            os.sched_setaffinity(0, [cpus_taken[worker]])

    def child_exit(arbiter: Any, worker: Any) -> None:
        cpus_taken.pop(worker, None)

    def post_worker_init(worker: Any) -> None:
        """Make a stopping worker close idle connections; a sync worker would wait for them."""
        drain = signal.getsignal(signal.SIGTERM)
        told = Stopping()
        threading.Thread(target=hang_up_idle, args=[told, places, busy], daemon=True).start()

        def stop(number: int, frame: Any) -> None:
            told.set()  # starting a thread here could deadlock with the code that the signal interrupted
            drain(number, frame)  # type: ignore[operator,misc]

        signal.signal(signal.SIGTERM, stop)

    def pre_request(worker: Any, request: Any) -> None:
        try:
            request.headers = unify("1.0" if request.version == (1, 0) else "1.1", request.headers)
        except ValueError as exc:
            from gunicorn.http.errors import InvalidHeader

            raise InvalidHeader(str(exc), req=request) from exc

    def post_request(worker: Any, request: Any, environ: WSGIEnvironment, response: Any) -> None:
        if environ:  # None if `pre_request` refused the request
            busy.discard(environ["gunicorn.socket"].fileno())

    options = job.options
    chosen = {
        "bind": [f"fd://{sock.detach()}" for sock in job.sockets],
        "backlog": BACKLOG,
        "workers": job.workers,
        "threads": options.threads,
        "timeout": options.timeout,
        "graceful_timeout": int(job.grace_seconds),
        "keepalive": options.keepalive,
        "worker_connections": options.connections,
        "max_requests": options.max_requests,
        "when_ready": when_ready,
        "pre_fork": pre_fork,
        "post_fork": post_fork,
        "child_exit": child_exit,
        "post_worker_init": post_worker_init,
        "pre_request": pre_request,
        "post_request": post_request,
        "control_socket_disable": True,  # two Gunicorns of one user would use the same one
        # The run layer decides which proxies to trust; Gunicorn would trust every peer on a Unix socket.
        "forwarded_allow_ips": "",
        "secure_scheme_headers": {},
        "forwarder_headers": "",
        "loglevel": "warning",
        "proc_name": "webdemo",
    }
    worker_class = options.worker_class or ("gthread" if options.threads > 1 else "sync")
    chosen["worker_class"] = threaded_worker(job, busy) if worker_class == "gthread" else worker_class
    if job.certificate is not None:
        chosen |= {"certfile": str(job.certificate.chain), "keyfile": str(job.certificate.key)}
    return chosen


def threaded_worker(job: Job, busy: set[int]) -> type:
    """Gunicorn's gthread worker, in which new connections occupy no thread until their first bytes arrive.

    It enforces `header_timeout`, and defers to a sibling that has fewer connections.
    """
    from gunicorn.workers.gthread import ThreadWorker

    class Worker(ThreadWorker):  # type: ignore[misc]
        def init_process(self) -> None:
            self.siblings = None if job.siblings is None else job.siblings()
            self.turns = None if self.siblings is None else Turns(self.siblings)
            self.room = Room(lambda: self.nr_conns, self.close_idle, most=job.options.connections)
            self.worker_connections: int = sys.maxsize  # Room enforces the limit, and closes idle connections
            self.in_threads: dict[Any, float] = {}  # connections, and when each was passed to a thread
            self.look_at = 0.0
            super().init_process()

        def notify(self) -> None:  # called in every iteration of the worker's loop
            super().notify()
            now = time.monotonic()
            if now > self.look_at:
                self.look_at = now + LOOK_FOR_OLD_SECONDS
                for connection, since in self.in_threads.copy().items():
                    if since > now - job.options.header_timeout:
                        break
                    if connection.sock.fileno() not in busy:
                        end_reading(connection.sock)
            if self.siblings is None:
                return
            if self.alive:
                self.siblings.report(self.nr_conns)
            else:  # it is stopping, or has reached `max_requests`
                self.siblings.leave()

        def accept(self, listener: socket.socket) -> None:
            if not self.room.is_left():
                time.sleep(PAUSE_SECONDS)
                return
            if self.turns is not None:
                self.turns.wait()
            try:
                super().accept(listener)
            except OSError as exc:
                if not self.room.failed(exc):
                    raise
                time.sleep(PAUSE_SECONDS)
            if self.siblings is not None:
                self.siblings.report(self.nr_conns)

        def enqueue_req(self, connection: Any) -> None:
            if not (connection.initialized or connection.data_ready):
                self.room.accepted(connection.sock)
                connection.data_ready = is_readable(connection.sock)  # else a thread would poll once more
                if not connection.data_ready:
                    self.park(connection)
                    return
            self.in_threads[connection] = time.monotonic()
            super().enqueue_req(connection)

        def park(self, connection: Any) -> None:
            """Wait for the first bytes in the poller, as Gunicorn does after a thread has waited in vain."""
            connection.sock.setblocking(False)
            connection.set_timeout()
            self.pending_conns.append(connection)
            self.poller.register(
                connection.sock, selectors.EVENT_READ, partial(self.on_pending_socket_readable, connection)
            )

        def finish_request(self, connection: Any, future: Any) -> None:
            self.in_threads.pop(connection, None)
            super().finish_request(connection, future)

        def close_idle(self) -> None:
            latest = time.monotonic() - LINGER_SECONDS + self.cfg.keepalive
            for waiting in (self.pending_conns, self.keepalived_conns):
                for connection in waiting:
                    if connection.timeout > latest:
                        break
                    connection.timeout = 0

    return Worker


def told_of_connections(app: WSGIApplication, busy: set[int]) -> WSGIApplication:
    """Wrap the app: `busy` has a connection's descriptor from the app's call until `post_request`."""

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        busy.add(environ["gunicorn.socket"].fileno())
        return app(environ, start_response)

    return application


def hang_up_idle(told: Stopping, places: set[Any], busy: set[int]) -> None:
    """Wait for `told`, then keep ending the wait for a request on idle connections to these listeners."""
    told.wait()
    while True:
        time.sleep(LINGER_SECONDS)
        for fd in [int(path.name) for path in Path("/dev/fd").iterdir()]:
            with contextlib.suppress(OSError):  # closed meanwhile
                if fd not in busy and stat.S_ISSOCK(os.fstat(fd).st_mode):
                    with socket.socket(fileno=os.dup(fd)) as sock:
                        listens = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
                        if not listens and place(sock) in places:
                            end_reading(sock)


def place(sock: socket.socket) -> Any:
    """The part of a local address that a listener shares with the connections accepted from it."""
    return sock.family, sock.getsockname() if sock.family == socket.AF_UNIX else sock.getsockname()[1]


adapter = Adapter(
    name="gunicorn",
    serve=serve,
    summary="worker processes with threads; for production",
    distribution="gunicorn",
    modules=("gunicorn.app.base", "gunicorn.arbiter", "gunicorn.glogging", "gunicorn.workers.gthread"),
    options=Options,
    tls=True,
    own_workers=True,
    framing=True,
    spread=True,
    bounds=(
        "with threads=1, does not answer beside an idle or slow client for `timeout` seconds",
        "does not answer beside as many slow clients as it has threads, for `header_timeout` seconds",
        "waits without end for a body whose client pauses",
    ),
)
