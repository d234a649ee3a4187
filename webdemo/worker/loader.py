"""The loader: imports the app once, and forks a server process for each service.

It is a process of its own, and each reload starts another one, so that the supervisor never contains app
code, and the old code goes with the old loader. Its children share the memory of what was imported. If the
app cannot be shared by fork, each child imports it instead of the loader.

When the supervisor dies, the loader stops its children and itself.
"""

from __future__ import annotations

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
from pathlib import Path
from typing import TYPE_CHECKING, Any

from webdemo import servers
from webdemo.errors import SystemRefusal, WebdemoError
from webdemo.worker import app_import, interpreter, lifetime, server_process
from webdemo.worker.channel import Channel, DescriptorsMissing
from webdemo.worker.messages import Message

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

# Imported one by one, because the supervisor's message may arrive after each.
_AHEAD = ("werkzeug.exceptions", "webdemo.web.app", "webdemo.web.static.app", "importlib.metadata")

_Order = tuple[dict[str, Any], list[int], "WSGIApplication | None"]


class Loader:
    """Carries out the supervisor's orders, to fork and to signal; reports when children start and exit."""

    def __init__(self, channel: Channel, grace_seconds: float) -> None:
        self._channel = channel
        self._grace_seconds = grace_seconds
        self._app: WSGIApplication | None = None
        self._has_opened_files = False
        self._children: dict[int, int] = {}  # pid -> webdemo's number of the process

    def load(
        self, target: app_import.Target, server_names: list[str], *, share: bool, wants_sources: bool
    ) -> bool:
        """Import the app and the servers; report whether the app can be shared by fork, or why it failed.

        Without `share` each server process imports them itself, and only the servers' versions are looked up.
        Returns False if the app cannot be loaded.
        """
        began = time.perf_counter()
        adapters = [servers.find(name) for name in server_names]
        reason = None
        if share:
            for adapter in adapters:
                for module in adapter.modules:
                    importlib.import_module(module)
            before = app_import.open_files()
            try:
                self._app = app_import.load(target)
            except WebdemoError as exc:
                self._send(server_process.failure(exc))
                return False
            reason = app_import.started_at_import(before)
            self._has_opened_files = sys.platform != "linux" or bool(app_import.open_files() - before)
        self._send(
            {
                "event": "loaded",
                "seconds": time.perf_counter() - began if share else 0.0,
                "not_shared_because": reason,
                "sources": app_import.source_folders() if share and wants_sources else [],
                "versions": {a.distribution: a.version() for a in adapters if a.distribution},
            }
        )
        gc.freeze()  # garbage collections would write to objects, and so copy pages shared with children
        return True

    def run(self) -> _Order | None:
        """Obey the supervisor until it dies, then return None; in a new child, return its order."""
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
                        if order := self._obey(message, descriptors):
                            signal.set_wakeup_fd(-1)
                            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                            return order
                except DescriptorsMissing as exc:
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

    def _obey(self, message: Message, descriptors: list[int]) -> _Order | None:
        if message["do"] == "signal":
            for pid, number in self._children.items():
                if number == message["process"]:
                    send_signal(pid, message["signal"])  # not reaped yet, so the pid cannot have been reused
            return None
        sys.stdout.flush()
        sys.stderr.flush()
        # Defer a SIGTERM until the child has its handler: server_process.serve unblocks it.
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        try:
            pid = os.fork()
        except OSError as exc:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
            for fd in descriptors:
                os.close(fd)
            self._refuse(message, SystemRefusal(interpreter.NO_PROCESS, exc))
            return None
        if pid == 0:
            # A process group for it and the workers that it forks, so that they can be killed together.
            os.setpgid(0, 0)
            self._channel.close()
            lifetime.flush_files_at_the_end(frozen_ones_too=self._has_opened_files)
            shared = None if message["own_import"] else self._app
            return message, descriptors, shared
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        for fd in descriptors:
            os.close(fd)
        self._children[pid] = message["process"]
        self._send({"event": "spawned", "process": message["process"], "pid": pid})
        return None

    def _refuse(self, message: Message, error: WebdemoError) -> None:
        """Report that the child could not be started."""
        self._send(server_process.failure(error) | {"event": "refused", "process": message["process"]})

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
            number = self._children.pop(pid)
            self._send({"event": "exited", "process": number, "code": code})

    def _send(self, message: Message) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._channel.send(message)  # if the supervisor is gone, the next receive raises EOFError

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


def send_signal(pid: int, number: int) -> None:
    """Signal a server process; SIGKILL goes to its whole process group, workers included."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # it has no process group yet
        if number == signal.SIGKILL:
            os.killpg(pid, number)
            return
    os.kill(pid, number)


def import_ahead(channel: Channel) -> None:
    """Import modules that most runs need, until a message from the supervisor arrives."""
    for module in _AHEAD:
        if select.select([channel], [], [], 0)[0]:
            return
        importlib.import_module(module)


def close_inherited() -> None:
    """Close inherited descriptors: a socket passed to the supervisor must not stay open here."""
    for descriptor in [int(path.name) for path in Path("/dev/fd").iterdir()]:
        with contextlib.suppress(OSError):  # the descriptor used for this listing
            if descriptor > 2 and os.get_inheritable(descriptor):
                os.close(descriptor)


def main(sock: socket.socket, *, is_early: bool = False) -> int:
    """Run a loader with `sock` as its channel, and in each child a server process; returns the exit code."""
    gc.disable()  # until the fork, as the documentation of gc.freeze advises: no holes in shared pages
    os.setsid()  # Ctrl-C is for the supervisor, which drains the servers
    close_inherited()
    for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)  # the supervisor decides
    del sys.argv[1:]  # webdemo's arguments, not the app's
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    order = _load_and_fork(Channel(sock), is_early=is_early)
    if isinstance(order, int):
        return lifetime.with_code(order)
    gc.enable()
    return lifetime.with_code(server_process.serve(*order))


def _load_and_fork(channel: Channel, *, is_early: bool) -> int | _Order:
    """The loader's exit code; in a new child, its order."""
    if is_early:
        import_ahead(channel)
    while True:
        select.select([channel], [], [])
        try:
            if first := next(channel.receive(), None):
                break
        except EOFError:
            return 0
    start, _ = first
    loader = Loader(channel, start["grace_seconds"])
    target = app_import.Target(**start["target"])
    if not loader.load(target, start["servers"], share=start["share"], wants_sources=start["wants_sources"]):
        channel.close()
        return server_process.FAILED
    order = loader.run()
    if order is None:
        channel.close()
        return 0
    return order


if __name__ == "__main__":
    lifetime.prepare()
    sys.exit(main(interpreter.channel_of_fresh()))
