"""Which of the processes that share a socket accepts a connection that waits.

Left alone, whichever happens to run takes all that come at once, and clients that keep their connections
stay with it: the other processes have nothing to do. Here who has more connections than another one gives
way to it, for so short a time that one which is busy, or gone, holds nobody up.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any

from webdemo.servers import Siblings

GIVE_WAY_SECONDS = 0.002
LOOK_AGAIN_SECONDS = 0.001
_FORGET_SECONDS = 0.1  # far longer than a busy system takes to look again


class Turns:
    """One process's view; made for a service that has several."""

    def __init__(self, siblings: Siblings, clock: Callable[[], float] = time.monotonic) -> None:
        self._siblings = siblings
        self._clock = clock
        self._gives_way_since = 0.0

    def is_ours(self) -> bool:
        """Whether to accept the connection that waits; to be asked again soon if it is not."""
        if not self._siblings.have_fewer():
            return True
        waited = self._clock() - self._gives_way_since
        if waited > _FORGET_SECONDS:  # that was for another connection
            self._gives_way_since = self._clock()
            return False
        if waited < GIVE_WAY_SECONDS:
            return False
        self._gives_way_since = 0.0
        return True

    def wait(self) -> None:
        """Block until the connection that waits may be accepted; a sibling may have been faster."""
        while not self.is_ours():
            time.sleep(LOOK_AGAIN_SECONDS)


class Listener(socket.socket):
    """A listening socket whose accept waits for this process's turn."""

    turns: Turns

    @classmethod
    def of(cls, sock: socket.socket, turns: Turns) -> Listener:
        """The same socket, which `sock` is no longer."""
        listener = cls(fileno=sock.detach())
        listener.setblocking(False)
        listener.turns = turns
        return listener

    def accept(self) -> tuple[socket.socket, Any]:
        self.turns.wait()
        return super().accept()
