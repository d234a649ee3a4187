"""The loader: imports the app once, and forks a server process for each service.

It is a separate process, and each reload starts another one, so that the supervisor never contains app
code, and the old code goes with the old loader. Its children share the memory of what was imported. If the
app cannot be shared by fork, each child imports it instead of the loader.

When the supervisor dies, the loader stops its children and itself.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import os
import select
import selectors
import signal
import socket
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from webdemo import standard_streams
from webdemo.errors import SystemRefusal, WebdemoError
from webdemo.net.descriptors import open_descriptors
from webdemo.servers import registry
from webdemo.worker import (
    app_import,
    app_processes,
    interpreter,
    own_writes,
    server_process,
    sharing,
    startup,
)
from webdemo.worker.channel import Channel, DescriptorsMissing
from webdemo.worker.messages import (
    LOADER_REPORTS,
    ORDERS,
    Exited,
    Failed,
    Load,
    Loaded,
    LoaderReport,
    Order,
    Refused,
    Signal,
    Sources,
    Spawn,
    Spawned,
    Wrote,
)
from webdemo.worker.output import replace_streams
from webdemo.worker.signals import send_signal

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

_OF_SERVERS = ("encodings.idna", "webdemo.stats.claims")
"""Every server needs them: imported before the fork, so that their memory is shared. The socket module would
import encodings.idna when it first meets an address."""


_Child = tuple[Spawn, list[int], "WSGIApplication | None"]
"""What a new child has to serve: its order, its descriptors, and the app if it is shared."""

_LoaderChannel = Channel[LoaderReport, Order]


class Loader:
    """Carries out the supervisor's orders, to fork and to signal; reports when children start and exit."""

    def __init__(self, channel: _LoaderChannel, grace_seconds: float) -> None:
        self._channel = channel
        self._grace_seconds = grace_seconds
        self._app: WSGIApplication | None = None
        self._children: dict[int, int] = {}  # pid -> webdemo's number of the process

    def load(self, order: Load) -> bool:
        """Import the app and the servers; report whether the app can be shared by fork, or why it failed.

        Without `share` each server process imports them itself, and only the servers' versions are looked up.
        Returns False if the app cannot be loaded.
        """
        began = time.perf_counter()
        if order.folder:
            os.chdir(order.folder)
        adapters = [registry.find(name) for name in order.servers]
        reason = name = None
        sources = Sources()
        if order.share:
            if order.reload:
                own_writes.report(lambda paths: self._send(Wrote(paths)))
            observed = sharing.Observed()
            try:
                for adapter in adapters:
                    adapter.import_modules()
                for module in _OF_SERVERS:
                    importlib.import_module(module)
                with app_processes.importing_app(), observed.importing():
                    name, self._app = app_import.load(order.target)
            except WebdemoError as exc:
                self._send(Failed.of(exc))
                return False
            reason = observed.why_not_shared()
            if order.reload:
                sources = server_process.sources_of(self._app)
        self._send(
            Loaded(
                seconds=time.perf_counter() - began if order.share else 0.0,
                not_shared_because=reason,
                sources=sources,
                versions={a.distribution: a.version() for a in adapters if a.distribution},
                app=name,
                ahead=tuple(filter(interpreter.may_be_ahead, sys.modules)) if order.reload else (),
            )
        )
        gc.freeze()  # garbage collections would write to objects, and so copy pages shared with children
        return True

    def run(self) -> _Child | None:
        """Obey the supervisor until it dies, then return None; in a new child, what it has to serve."""
        woken, waker = socket.socketpair()
        woken.setblocking(False)
        waker.setblocking(False)
        signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        with woken, waker, selectors.DefaultSelector() as selector:
            selector.register(self._channel, selectors.EVENT_READ)
            selector.register(woken, selectors.EVENT_READ)
            while True:
                try:
                    for message, descriptors in self._channel.receive():
                        match message:
                            case Signal(process, number):
                                self._signal(process, number)
                            case Spawn():
                                if child := self._fork(message, descriptors):
                                    signal.set_wakeup_fd(-1)
                                    of_app = app_processes.handler_of_app(signal.SIGCHLD)
                                    signal.signal(signal.SIGCHLD, of_app)
                                    return child
                except DescriptorsMissing as exc:
                    if isinstance(exc.message, Spawn):
                        self._refuse(exc.message, exc)
                    continue
                except EOFError:
                    signal.set_wakeup_fd(-1)
                    self._end_children()
                    return None
                selector.select()
                with contextlib.suppress(BlockingIOError):
                    woken.recv(4096)
                self._reap()

    def _signal(self, process: int, number: int) -> None:
        for pid, child in self._children.items():
            if child == process:
                send_signal(pid, number)  # not reaped yet, so the pid cannot have been reused

    def _fork(self, order: Spawn, descriptors: list[int]) -> _Child | None:
        """Fork a server process; returns in it what it has to serve, and None in the loader."""
        standard_streams.flush()  # else the child would write what is buffered once more
        # Defer a SIGTERM until the child has its handler: server_process.serve unblocks it.
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        try:
            pid = os.fork()
        except OSError as exc:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
            for fd in descriptors:
                os.close(fd)
            self._refuse(order, SystemRefusal(interpreter.NO_PROCESS, exc))
            return None
        if pid == 0:
            # A process group for it and the workers that it forks, so that they can be killed together.
            os.setpgid(0, 0)
            self._channel.close()
            return order, descriptors, None if order.own_import else self._app
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        for fd in descriptors:
            os.close(fd)
        self._children[pid] = order.process
        if hasattr(os, "pidfd_open"):
            with contextlib.suppress(OSError):  # an old kernel, or no free descriptor
                pidfd = os.pidfd_open(pid)
                self._send(Spawned(order.process), [pidfd])
                os.close(pidfd)
        return None

    def _refuse(self, order: Spawn, error: WebdemoError) -> None:
        """Report that the child could not be started."""
        self._send(Refused(order.process, Failed.of(error)))

    def _reap(self) -> None:
        for pid in list(self._children):
            code = None
            try:
                if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                    continue
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(pid, signal.SIGTERM)  # drain workers that it left behind
                _, status = os.waitpid(pid, 0)
                code = os.waitstatus_to_exitcode(status)
            except ChildProcessError:  # code that the app has imported reaps all children
                pass
            self._send(Exited(self._children.pop(pid), code))

    def _send(self, report: LoaderReport, descriptors: Sequence[int] = ()) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            # If the supervisor is gone, the next receive raises EOFError.
            self._channel.send(report, descriptors)

    def _end_children(self) -> None:
        """The supervisor has died: drain the children, and kill those that outlive the grace time."""
        for pid in self._children:
            send_signal(pid, signal.SIGTERM)
        deadline = time.monotonic() + self._grace_seconds
        while self._children and time.monotonic() < deadline:
            self._reap()
            time.sleep(0.02)
        for pid in self._children:
            send_signal(pid, signal.SIGKILL)


def import_ahead(channel: _LoaderChannel, modules: Sequence[str]) -> None:
    """Import these, until a message from the supervisor arrives."""
    for module in modules:
        if select.select([channel], [], [], 0)[0]:
            return
        with contextlib.suppress(ImportError):  # reported when it is needed
            importlib.import_module(module)


def close_inherited() -> None:
    """Close inherited descriptors: a socket passed to the supervisor must not stay open here."""
    for descriptor in open_descriptors():
        with contextlib.suppress(OSError):  # the descriptor used for this listing
            if descriptor > 2 and os.get_inheritable(descriptor):
                os.close(descriptor)


def main(sock: socket.socket, ahead: Sequence[str] = ()) -> int:
    """Run a loader with `sock` as its channel, and in each child a server process; returns the exit code.

    `ahead`: modules to import until the first order arrives.
    """
    gc.disable()  # until the fork, as the documentation of gc.freeze advises: no holes in shared pages
    os.setsid()  # Ctrl-C is for the supervisor, which drains the servers
    close_inherited()
    for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        # The supervisor decides. Not SIG_IGN, which programs started by the app would inherit.
        signal.signal(name, lambda *_: None)
    app_processes.keep([sock.fileno()])
    del sys.argv[1:]  # webdemo's arguments, not the app's
    replace_streams()
    child = _load_and_fork(Channel(sock, LOADER_REPORTS, ORDERS), ahead)
    if isinstance(child, int):
        return child
    gc.enable()
    atexit.register(_prepare_teardown)
    return server_process.serve(*child)


def _prepare_teardown() -> None:
    """Let the interpreter's teardown reach the app's objects, so that files are flushed."""
    gc.collect()
    gc.disable()  # its first collection would traverse the objects that others reach soon after
    gc.unfreeze()


def _load_and_fork(channel: _LoaderChannel, ahead: Sequence[str]) -> int | _Child:
    """The loader's exit code; in a new child, what it has to serve."""
    import_ahead(channel, ahead)
    while True:
        select.select([channel], [], [])
        try:
            if first := next(channel.receive(), None):
                break
        except EOFError:
            return 0
    load, _ = first
    assert isinstance(load, Load)
    loader = Loader(channel, load.grace_seconds)
    if not loader.load(load):
        channel.close()
        return server_process.FAILED
    child = loader.run()
    if child is None:
        channel.close()
        return 0
    return child


if __name__ == "__main__":
    startup.open_closed_streams()
    sys.exit(main(interpreter.channel_of_fresh(), sys.argv[1:]))
