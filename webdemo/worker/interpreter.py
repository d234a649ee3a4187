"""A process that is going to be a loader: forked at the very start of a run, or a fresh Python.

The first one is forked before the command line is read, so that importing what every run needs and
opening the sockets take their time at once. Nothing has been imported then but what both need, and no
thread runs. Each later one, for a reload, is a fresh Python: the supervisor has changed by then.
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
from pathlib import Path

from webdemo.errors import SystemRefusal

_CHECKOUT = Path(__file__).resolve().parents[2]

# They speak to the supervisor; a server that found them would answer in its place.
_NOT_FOR_CHILDREN = (
    "NOTIFY_SOCKET",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
)
NO_PROCESS = "No process can be started"
_CHANNEL = 3  # its descriptor in a fresh Python
_SECONDS_BETWEEN_LOOKS = 0.005


class Interpreter:
    """The process, our end of its channel's sockets, and a descriptor of what it writes."""

    def __init__(self, pid: int, sock: socket.socket, output: int) -> None:
        self.pid = pid
        self.socket = sock
        self.output = output
        self._has_ended = False
        self._exit_code: int | None = None

    def wait(self, timeout_seconds: float) -> int | None:
        """Until it has ended, or is killed when the time is over; its exit code, if anybody knows it."""
        if not self._collect(os.WNOHANG) and not _ends_within(self.pid, timeout_seconds):
            os.kill(self.pid, signal.SIGKILL)
        self._collect(0)
        return self._exit_code

    def _collect(self, options: int) -> bool:
        if not self._has_ended:
            try:
                pid, status = os.waitpid(self.pid, options)
            except ChildProcessError:  # somebody else has collected it
                self._has_ended = True
            else:
                self._has_ended = bool(pid)
                self._exit_code = os.waitstatus_to_exitcode(status) if pid else None
        return self._has_ended

    def end(self) -> None:
        """It is not needed."""
        self.socket.close()
        os.close(self.output)
        self.wait(0)


def _ends_within(pid: int, seconds: float) -> bool:
    if hasattr(os, "pidfd_open"):
        with contextlib.suppress(OSError):  # an old kernel, or no descriptor is left
            descriptor = os.pidfd_open(pid)
            try:
                poll = select.poll()
                poll.register(descriptor, select.POLLIN)
                return bool(poll.poll(seconds * 1000))
            finally:
                os.close(descriptor)
    deadline = time.monotonic() + seconds
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if time.monotonic() > deadline:
            return False
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    return True


# -- one that is forked early ---------------------------------------------------------------------

_early: list[Interpreter] = []


def fork_early() -> socket.socket | None:
    """Fork one; who asks for one first gets it. In the new process: its end of the channel."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored, as some parents have it, no end would be told
    ours, theirs = socket.socketpair()
    read, write = os.pipe()
    gc.freeze()  # what is there now stays: no collection will touch it, so both share its pages
    try:
        pid = os.fork()
    except OSError:  # whoever asks for one will be told
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
    """End the one that was forked early, if nobody has asked for it."""
    while _early:
        _early.pop().end()


def take_early() -> Interpreter:
    """The one that was forked early, or a fresh one."""
    return _early.pop() if _early else fresh()


# -- a fresh one ----------------------------------------------------------------------------------


def fresh() -> Interpreter:
    """A Python of its own that runs webdemo.worker.loader; raises SystemRefusal."""
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
                [*python(), "-m", "webdemo.worker.loader"],
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
    """The command for a fresh Python with the options of this one, so that it has the same rules.

    It looks nothing up in the current folder, unless webdemo itself lies there and is not installed.
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
    except FileNotFoundError:  # the current folder is gone
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
    """In a fresh one: its end of the channel."""
    os.set_inheritable(_CHANNEL, False)
    return socket.socket(fileno=_CHANNEL)
