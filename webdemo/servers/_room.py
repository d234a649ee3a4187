"""Accept a connection only while there is room for it.

A server that accepts without a free descriptor fails, finds the socket still readable, and tries again
without end. Here it leaves new connections in the listening socket's queue: when its connections are at their
limit, or when all but a reserve of its descriptors are used, which the app needs for its files. Connections
that have waited for a request for a while are closed then. It is said once a minute.
"""

from __future__ import annotations

import errno
import os
import resource
import socket
import sys
import time
from collections.abc import Callable
from typing import Any
from weakref import WeakSet

from webdemo.servers._fair_accept import Turns

# Until a full server looks again.
PAUSE_SECONDS = 0.05

_SAY_AGAIN_SECONDS = 60.0
_SHORTAGES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_SMALLEST_RESERVE = 8
_LARGEST_RESERVE = 256


class Room:
    """The room that a process has for connections; asked before each accept, and told of what came of it."""

    def __init__(
        self,
        close_idle: Callable[[], None] = lambda: None,
        *,
        count: Callable[[], int] | None = None,
        most: int = sys.maxsize,
        option: str = "connections",
    ) -> None:
        self.open = WeakSet[socket.socket]()  # what was accepted, until it is discarded or forgotten
        self._close_idle = close_idle  # those on which no request has begun for a while
        self._count = count or self._count_open
        self._most = most
        self._option = option
        self._runs_short = False
        self._said_at = -_SAY_AGAIN_SECONDS

    def is_left(self) -> bool:
        """Whether to accept; if not, ask again after PAUSE_SECONDS."""
        if self._count() >= self._most:
            self._say(
                f"{self._most} connections are open, the limit: further ones wait, and idle ones are closed. "
                f"Raise it with the server's option {self._option}."
            )
        elif self._runs_short and not _descriptors_are_left():
            self._say(
                f"The limit of {_most_descriptors()} open files is reached: further connections wait, and "
                "idle ones are closed. Raise it with ulimit -n."
            )
        else:
            self._runs_short = False
            return True
        self._close_idle()
        return False

    def accepted(self, connection: socket.socket) -> None:
        self.open.add(connection)
        # Its descriptor is the lowest that was free.
        if connection.fileno() >= _first_reserved():
            self._runs_short = True

    def failed(self, exc: OSError) -> bool:
        """Whether an accept failed for want of something that may soon be free again."""
        if exc.errno not in _SHORTAGES:
            return False
        self._runs_short = True
        self._say(
            f"No further connection can be accepted now, they wait: {exc.strerror}. "
            "Raise the limit of open files with ulimit -n."
        )
        self._close_idle()
        return True

    def _count_open(self) -> int:
        if len(self.open) >= self._most:
            for connection in list(self.open):
                if connection.fileno() < 0:  # closed, and not yet forgotten
                    self.open.discard(connection)
        return len(self.open)

    def _say(self, text: str) -> None:
        now = time.monotonic()
        if now - self._said_at >= _SAY_AGAIN_SECONDS:
            self._said_at = now
            print(text, file=sys.stderr, flush=True)


def _most_descriptors() -> int:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return sys.maxsize if limit == resource.RLIM_INFINITY else limit


def _first_reserved() -> int:
    """The descriptors from this one on are the app's."""
    most = _most_descriptors()
    return most - max(_SMALLEST_RESERVE, min(most // 8, _LARGEST_RESERVE))


def _descriptors_are_left() -> bool:
    try:
        lowest_free = os.dup(sys.__stderr__.fileno() if sys.__stderr__ else 2)
    except OSError:
        return False
    os.close(lowest_free)
    return lowest_free < _first_reserved()


class Listener(socket.socket):
    """A listening socket whose accept waits for room and for this process's turn, but not for long."""

    def __init__(self, sock: socket.socket, room: Room, turns: Turns | None = None) -> None:
        """The same socket, which `sock` is no longer."""
        super().__init__(fileno=sock.detach())
        self.setblocking(False)
        self.room = room
        self.turns = turns

    def accept(self) -> tuple[socket.socket, Any]:
        """Raises BlockingIOError, after a pause, if there is no room."""
        if not self.room.is_left():
            self.pause()
            raise BlockingIOError(errno.EAGAIN, "no room for a connection")
        if self.turns is not None:
            self.turns.wait()
        try:
            connection, address = super().accept()
        except OSError as exc:
            if not self.room.failed(exc):
                raise
            self.pause()
            raise BlockingIOError(errno.EAGAIN, "no room for a connection") from exc
        self.room.accepted(connection)
        return connection, address

    def pause(self) -> None:
        """Keep the server from asking again at once: the socket stays readable."""
        time.sleep(PAUSE_SECONDS)
