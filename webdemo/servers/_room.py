"""Accept connections only while there is room for them.

A server that accepts without a free descriptor fails, finds the socket still readable, and retries in a
busy loop. Here it leaves new connections in the backlog when it has reached its limit of connections, or
when only a reserve of descriptors is left, which the app needs for its files. It then closes idle
connections, and logs the reason at most once a minute.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

from webdemo.net import ListeningSocket
from webdemo.net.descriptor_limit import most_descriptors
from webdemo.standard_streams import write_log

# How long a full server waits before it checks again.
PAUSE_SECONDS = 0.05

_SAY_AGAIN_SECONDS = 60.0
_SHORTAGES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_SMALLEST_RESERVE = 8
_LARGEST_RESERVE = 256


class Room:
    """The room of a process for connections: call `is_left` before each accept, and report its outcome."""

    def __init__(
        self,
        count: Callable[[], int],
        close_idle: Callable[[], None] = lambda: None,
        *,
        most: int = sys.maxsize,
        option: str = "connections",
    ) -> None:
        """`count`: the open connections, of which `most` are allowed."""
        self._count = count
        self._close_idle = close_idle
        self._most = most
        self._option = option
        self._runs_short = False
        self._first_reserved = _first_reserved()
        self._said_at = -_SAY_AGAIN_SECONDS

    def is_left(self) -> bool:
        """Whether to accept; if not, idle connections are closed: ask again after PAUSE_SECONDS."""
        count = self._count()
        if count >= self._most:
            self._say(
                f"{self._most} connections are open, the limit: further ones wait, and idle ones are closed. "
                f"Raise it with the server's option {self._option}."
            )
        elif count and self._runs_short and not _descriptors_are_left():  # one is always served
            self._say(
                f"The limit of {most_descriptors()} open files is reached: further connections wait, and "
                "idle ones are closed. Raise it with ulimit -n."
            )
        else:
            self._runs_short = False
            return True
        self._close_idle()
        return False

    def accepted(self, connection: socket.socket) -> None:
        # A new descriptor is the lowest free one, so a high one means that few are left.
        if connection.fileno() >= self._first_reserved:
            self._runs_short = True

    def failed(self, exc: OSError) -> bool:
        """Whether an accept failed for lack of descriptors or memory, which is temporary; if so, logs it."""
        if exc.errno not in _SHORTAGES:
            return False
        self._runs_short = True
        self._say(
            f"No further connection can be accepted now, they wait: {exc.strerror}. "
            "Raise the limit of open files with ulimit -n."
        )
        self._close_idle()
        return True

    def has_no_thread(self) -> None:
        """Log that no further thread can be started, so that connections are served one after another."""
        self._say(
            "No further thread can be started: connections are served one after another. "
            "Raise the limit of processes (ulimit -u, or the container's)."
        )

    def _say(self, text: str) -> None:
        now = time.monotonic()
        if now - self._said_at >= _SAY_AGAIN_SECONDS:
            self._said_at = now
            write_log(text)


def _first_reserved() -> int:
    """The first descriptor of the reserve that is kept for the app."""
    most = most_descriptors()
    return most - max(_SMALLEST_RESERVE, min(most // 8, _LARGEST_RESERVE))


def _descriptors_are_left() -> bool:
    try:
        lowest_free = os.open(os.devnull, os.O_RDONLY)
    except OSError:
        return False
    os.close(lowest_free)
    return lowest_free < _first_reserved()


class Listener(ListeningSocket):
    """A listening socket whose accept waits, briefly, for room."""

    def __init__(self, sock: socket.socket, room: Room) -> None:
        """Take over the descriptor of `sock`, which is detached."""
        super().__init__(fileno=sock.detach())
        self.setblocking(False)
        self.room = room

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept a connection. Raises BlockingIOError, after a pause, if there is no room."""
        if self.room.is_left():
            try:
                connection, address = super().accept()
            except OSError as exc:
                if not self.room.failed(exc):
                    raise
            else:
                self.room.accepted(connection)
                return connection, address
        self.pause()
        raise BlockingIOError(errno.EAGAIN, "no room for a connection")

    def pause(self) -> None:
        """Sleep, so that the server does not retry in a busy loop: the socket stays readable."""
        time.sleep(PAUSE_SECONDS)
