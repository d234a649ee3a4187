"""Starts the process of a loader: forked at the very start of a run, or a new Python. Runs in the supervisor.

The first one is forked before the command line is parsed, so that its imports and the opening of the
sockets happen in parallel. At that moment only modules that both need are imported, and no thread runs.
Later ones, for a reload, are new Python processes, because the supervisor's state has changed by then.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from webdemo.errors import SystemRefusal

_CHECKOUT = Path(__file__).resolve().parents[2]

# For the supervisor only: with them a server would talk to systemd in its place.
_NOT_FOR_CHILDREN = (
    "NOTIFY_SOCKET",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
)
NO_PROCESS = "No process can be started"
# What most apps need, in the order in which it is imported before the first order arrives.
AHEAD = ("werkzeug.exceptions", "webdemo.web.app", "webdemo.web.static.app", "importlib.metadata")
_CHANNEL = 3  # the channel's descriptor in a new Python
_SECONDS_BETWEEN_LOOKS = 0.005


class Interpreter:
    """The process, our end of its channel's socket pair, and the read end of its stdout and stderr."""

    def __init__(self, pid: int, sock: socket.socket, output: int) -> None:
        self.pid = pid
        self.socket = sock
        self.output = output
        self.has_ended = False
        self._exit_code: int | None = None

    def wait(self, timeout_seconds: float) -> int | None:
        """Wait for its end; kill it after the timeout. Returns its exit code, or None if unknown."""
        deadline = time.monotonic() + timeout_seconds
        while not self._collect(os.WNOHANG):
            if time.monotonic() >= deadline:
                os.kill(self.pid, signal.SIGKILL)
                self._collect(0)
                break
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        return self._exit_code

    def _collect(self, options: int) -> bool:
        if not self.has_ended:
            try:
                pid, status = os.waitpid(self.pid, options)
            except ChildProcessError:  # it has been reaped elsewhere
                self.has_ended = True
            else:
                self.has_ended = bool(pid)
                self._exit_code = os.waitstatus_to_exitcode(status) if pid else None
        return self.has_ended

    def end(self) -> None:
        """Discard it: close its channel, and kill it."""
        self.socket.close()
        os.close(self.output)
        self.wait(0)


# -- one that is forked early ---------------------------------------------------------------------

_early: list[Interpreter] = []


def fork_early() -> socket.socket | None:
    """Fork one for the first `take_early`. Returns None; in the child, its end of the channel."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # if inherited as ignored, exit codes would be lost
    try:
        read, write = os.pipe()
    except OSError:  # no descriptor is left: `take_early` will raise
        return None
    try:
        ours, theirs = socket.socketpair()
    except OSError:
        os.close(read)
        os.close(write)
        return None
    gc.freeze()  # garbage collections would write to objects, and so copy shared pages
    try:
        pid = os.fork()
    except OSError:  # `take_early` will try a new Python, and raise
        ours.close()
        os.close(read)
        pid = -1
    if pid == 0:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        ours.close()
        os.close(read)
        for descriptor in (1, 2):
            os.dup2(write, descriptor)
        os.close(write)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        for name in _NOT_FOR_CHILDREN:
            os.environ.pop(name, None)
        return theirs
    theirs.close()
    os.close(write)
    if pid > 0:
        _early.append(Interpreter(pid, ours, read))
    return None


def end_early() -> None:
    """Discard the early one, unless it was taken."""
    while _early:
        _early.pop().end()


def take_early() -> Interpreter:
    """The early one, or a new Python. Raises SystemRefusal."""
    while _early:
        early = _early.pop()
        if not select.select([early.socket], [], [], 0)[0]:  # else it has died: it sends nothing by itself
            return early
        early.end()
    return fresh()


def may_be_ahead(module: str) -> bool:
    """Whether a spare may import it: it is webdemo's, and not of the demo site, which is an app as others."""
    return module.startswith("webdemo.") and not module.startswith("webdemo.demo")


def end_if_old(changed: Iterable[str]) -> None:
    """Discard the spare if it may have imported one of these files as they were."""
    paths = (Path(path).with_suffix("") for path in changed)
    names = (path.relative_to(_CHECKOUT).parts for path in paths if path.is_relative_to(_CHECKOUT))
    if any(may_be_ahead(".".join(name)) for name in names):
        end_early()


def keep_spare(modules: Iterable[str]) -> None:
    """Start one that has imported these, so that the next reload takes less time; none if impossible."""
    if not _early:
        with contextlib.suppress(SystemRefusal):
            _early.append(fresh(*modules))


# -- a fresh one ----------------------------------------------------------------------------------


def fresh(*ahead: str) -> Interpreter:
    """Start a new Python that runs webdemo.worker.loader, and imports these modules. Raises SystemRefusal."""
    try:
        with contextlib.ExitStack() as kept, contextlib.ExitStack() as given:
            ours, theirs = socket.socketpair()
            kept.callback(ours.close)
            given.callback(theirs.close)
            read, write = os.pipe()
            kept.callback(os.close, read)
            given.callback(os.close, write)
            pid = os.posix_spawn(
                sys.executable,
                [*python(), "-m", "webdemo.worker.loader", *ahead],
                {name: value for name, value in os.environ.items() if name not in _NOT_FOR_CHILDREN},
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_DUP2, write, 1),
                    (os.POSIX_SPAWN_DUP2, write, 2),
                    (os.POSIX_SPAWN_DUP2, theirs.fileno(), _CHANNEL),
                ],
            )
            kept.pop_all()
            return Interpreter(pid, ours, read)
    except OSError as exc:
        raise SystemRefusal(NO_PROCESS, exc) from exc


def python() -> list[str]:
    """The command for a new Python with the same interpreter options as this one.

    Its sys.path lacks the current folder (-P), unless that is the checkout that webdemo runs from.
    """
    letters = {
        "bytes_warning": "b",
        "dont_write_bytecode": "B",
        "ignore_environment": "E",
        "isolated": "I",
        "no_user_site": "s",
        "no_site": "S",
        "optimize": "O",
    }
    try:
        in_checkout = Path.cwd() == _CHECKOUT
    except FileNotFoundError:  # the current folder was deleted
        in_checkout = False
    safe_path = sys.flags.safe_path or not in_checkout
    given = [f"-{letter * getattr(sys.flags, name)}" for name, letter in letters.items()]
    extra = (name if value is True else f"{name}={value}" for name, value in sys._xoptions.items())
    return [
        sys.executable,
        *(flag for flag in given if flag != "-"),
        *(["-P"] if safe_path else []),
        *(f"-W{option}" for option in sys.warnoptions),
        *(f"-X{option}" for option in extra),
    ]


def channel_of_fresh() -> socket.socket:
    """The new Python's end of the channel; called in it."""
    os.set_inheritable(_CHANNEL, False)
    return socket.socket(fileno=_CHANNEL)
