"""Fair accept: which of the processes that share a socket accepts a pending connection.

Without it, the process that happens to run takes all connections that arrive together, and with
keep-alive they stay with it while its siblings are idle. Here a process with more connections than a
sibling defers to it, so briefly that a busy or dead sibling delays nothing noticeably.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from webdemo.servers import Siblings

GIVE_WAY_SECONDS = 0.002
LOOK_AGAIN_SECONDS = 0.0002

# With a constant stream of short connections, deferring costs more than it gains. So there is a budget for
# it, "patience", which is used up under load and refills in quiet times.
_PATIENCE_SECONDS = 0.1
_QUIET_SECONDS = 0.02
_BACK_IN_QUIET_SECONDS = 0.2  # refilled for each second of quiet


class Turns:
    """Decides when this process, one of several of its service, should accept."""

    def __init__(self, siblings: Siblings, clock: Callable[[], float] = time.monotonic) -> None:
        self._siblings = siblings
        self._clock = clock
        self._patience = _PATIENCE_SECONDS
        self._asked_at = clock()
        self._gives_way_since: float | None = None

    def is_ours(self) -> bool:
        """Whether to accept the pending connection; if False, ask again after LOOK_AGAIN_SECONDS."""
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

    def start_over(self) -> None:
        """A sibling has accepted the pending connection: the next one gets its own wait."""
        self._gives_way_since = None

    def wait(self) -> None:
        """Block until the pending connection may be accepted; a sibling may have taken it by then."""
        while not self.is_ours():
            time.sleep(LOOK_AGAIN_SECONDS)
