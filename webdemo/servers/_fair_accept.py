"""Which of the processes that share a socket accepts a connection that waits.

Left alone, whichever happens to run takes all that come at once, and clients that keep their connections
stay with it: the other processes have nothing to do. Here who has more connections than another one gives
way to it, for so short a time that one which is busy, or gone, holds nobody up.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from webdemo.servers import Siblings

GIVE_WAY_SECONDS = 0.002
LOOK_AGAIN_SECONDS = 0.0002

# Where connections come without a pause, and none is kept, to give way costs more than it is worth:
# patience ends then, and comes back in quiet times.
_PATIENCE_SECONDS = 0.1
_QUIET_SECONDS = 0.02
_BACK_IN_QUIET_SECONDS = 0.2  # for each second


class Turns:
    """One process's view; made for a service that has several."""

    def __init__(self, siblings: Siblings, clock: Callable[[], float] = time.monotonic) -> None:
        self._siblings = siblings
        self._clock = clock
        self._patience = _PATIENCE_SECONDS
        self._asked_at = clock()
        self._gives_way_since: float | None = None

    def is_ours(self) -> bool:
        """Whether to accept the connection that waits; to be asked again soon if it is not."""
        now = self._clock()
        passed = now - self._asked_at
        self._asked_at = now
        if passed > _QUIET_SECONDS:
            self._patience = min(self._patience + passed * _BACK_IN_QUIET_SECONDS, _PATIENCE_SECONDS)
        elif self._gives_way_since is not None:
            self._patience -= passed
        if self._patience <= 0 or not self._siblings.have_fewer():
            self._gives_way_since = None
            return True
        if self._gives_way_since is None:
            self._gives_way_since = now
            return False
        if now - self._gives_way_since < GIVE_WAY_SECONDS:
            return False
        self._gives_way_since = None
        return True

    def nobody_waits(self) -> None:
        """The connection that was asked about has gone to a sibling."""
        self._gives_way_since = None

    def wait(self) -> None:
        """Block until the connection that waits may be accepted; a sibling may have been faster."""
        while not self.is_ours():
            time.sleep(LOOK_AGAIN_SECONDS)
