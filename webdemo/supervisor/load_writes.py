"""Tells the files that the app writes from those that its developer saves. Runs in the main process.

The rule: a file that the app's processes report to write (worker/own_writes.py) loads nothing; a module only
while the app is loaded. What another program writes during the import would reload the app for ever: so a
file that is no module and is written during two loads in a row is left out from then on. A file that is
written during a load with the same content causes no load.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

_LARGEST_COMPARED = 1 << 20
_CLOCK_SECONDS = 0.02  # file times are coarser than the clock, and behind it
_LOADS = 2  # in a row, during which a file is written that is then left out
_MOST_OWN = 100_000
_MOST_NOTES = 5


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
        import hashlib  # slow to import, and needed with --reload only

        return cls(path, status.st_mtime, f"{status.st_size} {hashlib.blake2b(data).hexdigest()}")


class LoadWrites:
    """Told of each load and each change; decides which changes load the app again. Times as in Version."""

    def __init__(self, now: float) -> None:
        self.began = now  # the last load
        self._ended = now
        self._loads = 1  # in progress
        self._during: set[str] = set()  # written during the last load
        self._in_a_row: dict[str, int] = {}  # in how many loads before it, without a gap
        self._contents: dict[str, str] = {}
        self._left_out: set[str] = set()
        self._own: dict[str, None] = {}  # what the app writes itself, oldest first
        self._noted: set[str] = set()

    def wrote(self, paths: Iterable[str]) -> None:
        """The app is about to write these."""
        self._own |= dict.fromkeys(paths)
        while len(self._own) > _MOST_OWN:
            del self._own[next(iter(self._own))]

    def without_own(self, paths: Sequence[str]) -> tuple[tuple[str, ...], list[str]]:
        """The paths that the app does not write itself; and notes on the others, one for a folder."""
        counting = tuple(path for path in paths if path not in self._own or path.endswith(".py"))
        notes = []
        for path in set(paths).difference(counting):
            folder = str(Path(path).parent)
            if folder not in self._noted and len(self._noted) < _MOST_NOTES:
                self._noted.add(folder)
                notes.append(f"{path} is written by the app itself: its changes reload nothing.")
        return counting, notes

    def load_began(self, now: float) -> None:
        """A load that has not ended is replaced by this one."""
        self._in_a_row = {path: self._in_a_row.get(path, 0) + 1 for path in self._during}
        self._during = set()
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
            until = float("inf") if self._loads else self._ended
            during_load = self.began - _CLOCK_SECONDS <= modified <= until
            if path in self._left_out or (during_load and (content == known or path in self._own)):
                continue
            if during_load and not path.endswith(".py"):
                self._during.add(path)
                if self._in_a_row.get(path, 0) + 1 >= _LOADS:
                    self._left_out.add(path)
                    left_out.append(path)
                    continue
            counting.append(path)
        return counting, left_out
