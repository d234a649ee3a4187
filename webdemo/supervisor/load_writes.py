"""Tells the files that importing the app writes from those that its developer saves.

Runs in the main process. An app that writes a file in its folder while it is imported would be reloaded for
ever. So a file that is written during two loads in a row is left out from then on; one whose content stays
the same causes no load.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

_LARGEST_COMPARED = 1 << 20
_CLOCK_SECONDS = 0.02  # file times are coarser than the clock


class Version(NamedTuple):
    """A file as it is now; `modified` is in seconds since the epoch."""

    path: str
    modified: float
    content: str

    @classmethod
    def of(cls, path: str) -> Version:
        """A file that is gone, or no file, is modified at 0."""
        try:
            status = Path(path).stat()
            data = Path(path).read_bytes() if status.st_size <= _LARGEST_COMPARED else b""
        except OSError:
            return cls(path, 0.0, "")
        return cls(path, status.st_mtime, f"{status.st_size} {hashlib.blake2b(data).hexdigest()}")


class LoadWrites:
    """Told of each load and each change; decides which changes load the app again. Times as in Version."""

    def __init__(self, now: float) -> None:
        self._loads = 1  # in progress
        self.began = now  # the last load
        self._ended = now
        self._before: set[str] = set()  # written during the load before
        self._during: set[str] = set()  # written during the last one
        self._contents: dict[str, str] = {}
        self._left_out: set[str] = set()

    def load_began(self, now: float) -> None:
        if not self._loads:
            self._before, self._during = self._during, set()
            self.began = now
        self._loads += 1

    def load_ended(self, now: float) -> None:
        self._loads = max(0, self._loads - 1)
        self._ended = now

    def take(self, changes: Iterable[Version]) -> tuple[list[str], list[str]]:
        """The paths whose change loads the app again, and those that are left out from now on."""
        counting, left_out = [], []
        for path, modified, content in changes:
            known, self._contents[path] = self._contents.get(path), content
            until = float("inf") if self._loads else self._ended + _CLOCK_SECONDS
            if not self.began - _CLOCK_SECONDS <= modified <= until:
                if path in self._left_out and not path.endswith(".py"):
                    continue
                self._left_out.discard(path)  # its developer saves it
            elif path in self._left_out or content == known:
                continue
            elif path in self._before:
                self._left_out.add(path)
                left_out.append(path)
                continue
            else:
                self._during.add(path)
            counting.append(path)
        return counting, left_out
