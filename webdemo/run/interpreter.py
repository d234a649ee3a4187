"""A fresh Python that will be a loader: it may be started before it is known what it is to load.

Starting Python and importing what every run needs takes as long as reading the command line and opening
the sockets, so it is done at the same time. This module itself imports next to nothing.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys

# They speak to the supervisor; a server that found them would answer in its place.
_NOT_FOR_CHILDREN = (
    "NOTIFY_SOCKET",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
)


class Interpreter:
    """The process, our end of its channel's sockets, and a descriptor of what it writes."""

    def __init__(self, *options: str) -> None:
        self.socket, theirs = socket.socketpair()
        self.output, write = os.pipe()
        try:
            with theirs:
                self.process = subprocess.Popen(
                    [sys.executable, "-m", "webdemo.run.loader", str(theirs.fileno()), *options],
                    stdin=subprocess.DEVNULL,
                    stdout=write,
                    stderr=write,
                    pass_fds=[theirs.fileno()],
                    env={k: v for k, v in os.environ.items() if k not in _NOT_FOR_CHILDREN},
                    start_new_session=True,  # Ctrl-C is for the supervisor, which tells the servers to drain
                )
        except BaseException:
            self._close_descriptors()
            raise
        finally:
            os.close(write)

    def end(self) -> None:
        """It is not needed."""
        self._close_descriptors()
        self.process.kill()
        self.process.wait()

    def _close_descriptors(self) -> None:
        self.socket.close()
        os.close(self.output)


_early: list[Interpreter] = []


def start_early() -> None:
    """Start one now; whoever asks for one first gets it."""
    with contextlib.suppress(OSError):  # whoever asks for one will be told
        _early.append(Interpreter("--early"))


def take() -> Interpreter:
    """The one that was started early, or a new one."""
    return _early.pop() if _early else Interpreter()


def end_early() -> None:
    """End the one that was started early, if nobody has asked for it."""
    while _early:
        _early.pop().end()
