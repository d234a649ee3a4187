"""Claims of numbered slots: file locks, which the system releases however a process ends. POSIX only."""

from __future__ import annotations

import fcntl


class Claims:
    """The claims in the file of a descriptor."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def take(self, slot: int) -> bool:
        """Claim the slot for this process; returns whether no other process has claimed it."""
        return self._lock(slot, fcntl.LOCK_EX)

    def release(self, slot: int) -> None:
        fcntl.lockf(self._fd, fcntl.LOCK_UN, 1, slot)

    def is_taken(self, slot: int) -> bool:
        """Whether another process, which is alive, has claimed the slot. Not for one's own claims."""
        if not self._lock(slot, fcntl.LOCK_SH):
            return True
        self.release(slot)
        return False

    def _lock(self, slot: int, kind: int) -> bool:
        try:
            fcntl.lockf(self._fd, kind | fcntl.LOCK_NB, 1, slot)
        except OSError:
            return False
        return True
