"""Gunicorn: an arbiter (the master process) and its workers, with or without threads."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import stat
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from webdemo.errors import UsageError, WebdemoError
from webdemo.net import BACKLOG
from webdemo.net.descriptors import open_descriptors
from webdemo.portable import AF_UNIX
from webdemo.servers import LEAST_SECONDS, LINGER_SECONDS, MOST_THREADS, Adapter, Job, Stopping, option
from webdemo.servers._draining import end_reading
from webdemo.servers._sending import HeadWithBody

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


@dataclass(frozen=True, slots=True)
class Options:
    threads: int = option(4, "Threads for each worker; 1 makes it a sync worker.", least=1, most=MOST_THREADS)
    worker_class: str = option("", "Gunicorn's kind of worker, for example sync, gthread or gevent.")
    timeout: int = option(30, "Seconds without a heartbeat after which a worker is replaced.")
    keepalive: int = option(5, "Seconds an idle connection is kept open.", least=1)
    connections: int = option(
        1000, "Connections of a worker open at once; further ones wait, and idle ones are closed.", least=1
    )
    header_timeout: float = option(
        20.0, "Seconds in which a request's header must arrive, once it has begun.", least=LEAST_SECONDS
    )
    max_requests: int = option(0, "Requests after which a worker is replaced; 0: never.", most=10**12)

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

        def load(self) -> Any:  # in each worker
            from gunicorn.errors import AppImportError

            try:
                return remember_connections(job.load_in_worker() if job.load_in_worker else job.app, busy)
            except WebdemoError as exc:  # it has been reported
                raise AppImportError(exc.problem) from exc

    defer_stops_of_new_workers()
    check_temporary_folder()
    # The arbiter installs its own signal handlers; it drains on SIGTERM.
    Application().run()


def check_temporary_folder() -> None:
    """Raise WebdemoError if there is none for the heartbeat files of Gunicorn's workers."""
    try:
        tempfile.gettempdir()
    except FileNotFoundError as exc:
        raise WebdemoError(
            "Gunicorn needs a folder for temporary files, and cannot write to any of the usual ones.",
            remedy="Set TMPDIR to a folder that it can write to, for example TMPDIR=/dev/shm",
        ) from exc


def settings(job: Job, busy: set[int]) -> dict[str, Any]:
    """Gunicorn's settings by their documented names. Hands the sockets over to Gunicorn (detached)."""
    from webdemo.servers._gunicorn_request import strict_request

    options = job.options
    hooks = arbiter_hooks(job) | {
        "post_worker_init": partial(
            drain_idle, job.stopping, {local_part(sock) for sock in job.sockets}, busy
        ),
        "pre_request": strict_request,
        "post_request": partial(after_request, busy),
    }
    worker_class = options.worker_class or ("gthread" if options.threads > 1 else "sync")
    if worker_class == "gthread":
        from webdemo.servers._gunicorn_worker import threaded_worker

        worker_class = threaded_worker(job, busy)
    tls = {}
    if job.certificate is not None:
        tls = {"certfile": str(job.certificate.chain), "keyfile": str(job.certificate.key)}
    return {
        "bind": [f"fd://{sock.detach()}" for sock in job.sockets],
        "backlog": BACKLOG,
        "workers": job.workers,
        "worker_class": worker_class,
        "threads": options.threads,
        "timeout": options.timeout,
        "graceful_timeout": int(job.grace_seconds),
        "keepalive": options.keepalive,
        "worker_connections": options.connections,
        "max_requests": options.max_requests,
        "control_socket_disable": True,  # two Gunicorns of one user would use the same one
        # The run layer decides which proxies to trust; Gunicorn would trust every peer on a Unix socket.
        "forwarded_allow_ips": "",
        "secure_scheme_headers": {},
        "forwarder_headers": "",
        "loglevel": "warning",
        "proc_name": "webdemo",
        **hooks,
        **tls,
    }


def arbiter_hooks(job: Job) -> dict[str, Any]:
    """The hooks that the arbiter calls: it reports that it is ready, and pins each worker to a processor."""

    def when_ready(arbiter: Any) -> None:
        # As under systemd, the sockets are inherited: Gunicorn must not remove their files.
        arbiter.systemd = True
        ignore_hang_up()
        job.ready()
        if job.stopping.is_set():  # SIGTERM came before the arbiter had its signal handlers
            signal.raise_signal(signal.SIGTERM)

    cpus_taken: dict[Any, int] = {}  # by worker

    def pre_fork(arbiter: Any, worker: Any) -> None:
        if job.worker_cpus:
            taken = Counter(cpus_taken.values())
            cpus_taken[worker] = min(job.worker_cpus, key=lambda cpu: taken[cpu])

    def post_fork(arbiter: Any, worker: Any) -> None:
        if job.worker_cpus:
            os.sched_setaffinity(0, [cpus_taken[worker]])

    def child_exit(arbiter: Any, worker: Any) -> None:
        cpus_taken.pop(worker, None)

    return {
        "when_ready": when_ready,
        "pre_fork": pre_fork,
        "post_fork": post_fork,
        "child_exit": child_exit,
    }


def defer_stops_of_new_workers() -> None:
    """Block SIGTERM while the arbiter forks; `drain_idle` unblocks it in the worker.

    Until a worker has its own handler it has the arbiter's, by which a SIGTERM is lost: the worker would
    serve until it is killed.
    """
    arbiter = os.getpid()

    def change(how: int) -> None:
        if os.getpid() == arbiter:
            signal.pthread_sigmask(how, [signal.SIGTERM])

    os.register_at_fork(
        before=partial(change, signal.SIG_BLOCK), after_in_parent=partial(change, signal.SIG_UNBLOCK)
    )


def ignore_hang_up() -> None:
    """Let SIGHUP do nothing: reloads are the supervisor's, and the system may send it.

    When a loader dies while one of its children is stopped, the system sends the child's process group SIGHUP
    and SIGCONT, because it is orphaned (POSIX, _exit). Gunicorn's arbiter would reload, its workers end.
    """
    signal.signal(signal.SIGHUP, lambda *_: None)


def drain_idle(stopping: Stopping, local_parts: set[Any], busy: set[int], worker: Any) -> None:
    """Make a stopping worker set the flag, and close idle connections; a sync worker would wait for them."""
    ignore_hang_up()
    drain = signal.getsignal(signal.SIGTERM)
    threading.Thread(target=hang_up_idle, args=[stopping, local_parts, busy], daemon=True).start()

    def stop(number: int, frame: Any) -> None:
        stopping.set()  # starting a thread here could deadlock with the code that the signal interrupted
        drain(number, frame)  # type: ignore[operator,misc]

    signal.signal(signal.SIGTERM, stop)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])


def after_request(
    busy: set[int], worker: Any, request: Any, environ: WSGIEnvironment | None, response: Any
) -> None:
    if environ:  # None if `strict_request` refused the request
        busy.discard(environ["gunicorn.socket"].fileno())
        response.sock.finish()


def remember_connections(app: WSGIApplication, busy: set[int]) -> WSGIApplication:
    """Wrap the app: `busy` has a connection's descriptor from the app's call until `post_request`."""

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        busy.add(environ["gunicorn.socket"].fileno())
        response = start_response.__self__  # type: ignore[attr-defined]  # it is a method
        response.sock = HeadWithBody(response.sock)
        return app(environ, start_response)

    return application


def hang_up_idle(stopping: Stopping, local_parts: set[Any], busy: set[int]) -> None:
    """Wait for `stopping`, then keep ending the wait for a request on idle connections to these listeners."""
    stopping.wait()
    while True:
        time.sleep(LINGER_SECONDS)
        for fd in open_descriptors():
            with contextlib.suppress(OSError):  # closed meanwhile
                if fd not in busy and stat.S_ISSOCK(os.fstat(fd).st_mode):
                    with socket.socket(fileno=os.dup(fd)) as sock:
                        listens = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
                        if not listens and local_part(sock) in local_parts:
                            end_reading(sock)


def local_part(sock: socket.socket) -> Any:
    """The part of a local address that a listener shares with the connections accepted from it."""
    return sock.family, sock.getsockname() if sock.family == AF_UNIX else sock.getsockname()[1]


adapter = Adapter(
    name="gunicorn",
    serve=serve,
    summary="worker processes with threads; for production",
    distribution="gunicorn",
    modules=(
        "gunicorn.app.base",
        "gunicorn.arbiter",
        "gunicorn.glogging",
        "concurrent.futures.thread",
        "webdemo.servers._gunicorn_request",
        "webdemo.servers._gunicorn_worker",
    ),
    options=Options,
    tls=True,
    own_workers=True,
    framing=True,
    fields=True,
    spread=True,
    bounds=(
        "with threads=1, does not answer beside an idle or slow client for `timeout` seconds",
        "does not answer beside as many slow clients as it has threads, for `header_timeout` seconds",
        "waits without end for a body whose client pauses",
    ),
)
