"""The loader: imports the app once, and forks a process for each server.

It is a process of its own, and each reload has another one, so that the supervisor never holds app
code and the old code goes when the old loader does. Its children share the memory of what was
imported. When the app cannot be shared by fork, the loader does not import it and each child does.

It ends its children and itself when the supervisor is gone.
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

# In this order: each takes a moment, after which there may be something to do.
_AHEAD = ("werkzeug.exceptions", "webdemo.web.app", "webdemo.web.static.app", "importlib.metadata")

_Order = tuple[dict[str, Any], list[int], "WSGIApplication | None"]


class Loader:
    """Carries out the supervisor's orders: spawn, signal; reports what became of each child."""

    def __init__(self, channel: Channel, grace_seconds: float) -> None:
        self._channel = channel
        self._grace_seconds = grace_seconds
        self._app: WSGIApplication | None = None
        self._has_opened_files = False
        self._children: dict[int, int] = {}  # pid -> our number for it

    def load(
        self, target: app_import.Target, server_names: list[str], *, share: bool, wants_sources: bool
    ) -> bool:
        """Import the app; tell whether it can be shared by fork, or why it cannot be had.

        The servers are imported as well, so that each of their processes finds them there. Without
        `share` that is left to each process, and only the servers' versions are looked up.
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
        gc.freeze()  # what is there now stays: no collection will touch it, so the children share its pages
        return True

    def run(self) -> _Order | None:
        """Serve the supervisor until it is gone: None; in a new child: its order."""
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
                    send_signal(pid, message["signal"])  # not reaped yet, so the pid is still its own
            return None
        sys.stdout.flush()
        sys.stderr.flush()
        # A child hears a SIGTERM that comes before it is ready for it, but later: see child.serve.
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
            # A group for it and the workers it makes: whoever is killed takes those along.
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
        """There can be no such child."""
        self._send(server_process.failure(error) | {"event": "refused", "process": message["process"]})

    def _reap(self) -> None:
        for pid in list(self._children):
            code = None
            try:
                if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                    continue
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(pid, signal.SIGTERM)  # workers that it left behind drain
                _, status = os.waitpid(pid, 0)
                code = os.waitstatus_to_exitcode(status)
            except ChildProcessError:  # what the app has imported collects every child
                pass
            number = self._children.pop(pid)
            self._send({"event": "exited", "process": number, "code": code})

    def _send(self, message: Message) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._channel.send(message)  # if nobody hears it, the next receive finds out

    def _end_children(self) -> None:
        """The supervisor is gone: its servers drain, or are killed when the time is over."""
        for pid in self._children:
            send_signal(pid, signal.SIGTERM)
        deadline = time.monotonic() + self._grace_seconds
        while self._children and time.monotonic() < deadline:
            self._reap()
            time.sleep(0.02)
        for pid in self._children:
            send_signal(pid, signal.SIGKILL)


def send_signal(pid: int, number: int) -> None:
    """Signal a server process; SIGKILL reaches the workers it has made as well."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # it has no group yet
        if number == signal.SIGKILL:
            os.killpg(pid, number)
            return
    os.kill(pid, number)


def import_ahead(channel: Channel) -> None:
    """Import what most runs need, until the supervisor says what is wanted."""
    for module in _AHEAD:
        if select.select([channel], [], [], 0)[0]:
            return
        importlib.import_module(module)


def close_inherited() -> None:
    """Close what webdemo was started with: sockets that are the supervisor's are not ours to keep."""
    for descriptor in [int(path.name) for path in Path("/dev/fd").iterdir()]:
        with contextlib.suppress(OSError):  # the one that listed them
            if descriptor > 2 and os.get_inheritable(descriptor):
                os.close(descriptor)


def main(sock: socket.socket, *, is_early: bool = False) -> int:
    """Be a loader, told what to do through `sock`; in each of its children: be a server. The exit code."""
    gc.disable()  # until the fork, as the documentation of gc.freeze advises: no holes in shared pages
    os.setsid()  # Ctrl-C is for the supervisor, which tells the servers to drain
    close_inherited()
    for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)  # the supervisor decides
    del sys.argv[1:]  # they are webdemo's, not the app's
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    order = _load_and_fork(Channel(sock), is_early=is_early)
    if isinstance(order, int):
        return lifetime.with_code(order)
    gc.enable()
    return lifetime.with_code(server_process.serve(*order))


def _load_and_fork(channel: Channel, *, is_early: bool) -> int | _Order:
    """The loader's exit code; in a new child: its order."""
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
