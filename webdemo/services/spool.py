"""The spool of caught mail: a private folder with one file per message.

Written by the mail catcher, read by the demo app's server processes. The rule: a message's file is either
complete or absent, even if a process is killed, and several processes may add and read at the same time.
The size is limited: new messages push out the oldest. A message's id is its file name; ids sort by arrival.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from webdemo.errors import UsageError

_ID = re.compile(r"[0-9]{20}-[0-9a-f]{8}\Z")
_SUFFIX = ".eml"
_UNFINISHED = ".part"
_ABANDONED_SECONDS = 3600.0


class Caught(NamedTuple):
    """A message in the spool; `time` in seconds since the epoch, `size` in bytes."""

    id: str
    time: float
    size: int


def default_folder() -> Path:
    """This user's folder, shared by all their webdemos unless configured otherwise."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime:
        return Path(runtime, "webdemo-mail")
    return Path(tempfile.gettempdir(), f"webdemo-mail-{os.getuid()}")


class Spool:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def make(self) -> None:
        """Create the folder if missing. Raises UsageError, also if other users can write to it."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self._is_ours():
                return
            problem = "can be changed by other users"
        except OSError as exc:
            problem = f"cannot be created: {exc.strerror}"
        raise UsageError(
            f"The folder for mail, {self.folder}, {problem}.", remedy="Choose another: smtp://:2525?spool=DIR"
        )

    def add(self, message: bytes, *, most_messages: int, most_bytes: int) -> str:
        """Store a message, remove the oldest ones beyond the limits, and return its id. Raises OSError."""
        self.folder.mkdir(mode=0o700, exist_ok=True)
        name = f"{time.time_ns():020d}-{os.urandom(4).hex()}"
        unfinished = self.folder / (name + _UNFINISHED)
        try:
            descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(message)
            unfinished.rename(self.folder / (name + _SUFFIX))
        except OSError:
            unfinished.unlink(missing_ok=True)
            raise
        self._remove_oldest(most_messages, most_bytes)
        return name

    def messages(self) -> list[Caught]:
        """The messages, newest first; empty if the folder is missing or not ours."""
        if not self._is_ours():
            return []
        found = [
            Caught(path.stem, status.st_mtime, status.st_size)
            for path, status in self._files()
            if path.suffix == _SUFFIX and _ID.match(path.stem)
        ]
        return sorted(found, reverse=True)

    def read(self, message_id: str, *, most_bytes: int = -1) -> bytes | None:
        """A message, or its first `most_bytes` bytes; None if it does not exist (any more)."""
        if not _ID.match(message_id) or not self._is_ours():
            return None
        try:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            with os.fdopen(os.open(self.folder / (message_id + _SUFFIX), flags), "rb") as file:
                return file.read(most_bytes)
        except OSError:
            return None

    def _remove_oldest(self, most_messages: int, most_bytes: int) -> None:
        kept = total = 0
        for message in self.messages():
            kept, total = kept + 1, total + message.size
            if kept > 1 and (kept > most_messages or total > most_bytes):
                (self.folder / (message.id + _SUFFIX)).unlink(missing_ok=True)
        for path, status in self._files():
            if path.suffix == _UNFINISHED and time.time() - status.st_mtime > _ABANDONED_SECONDS:
                path.unlink(missing_ok=True)

    def _files(self) -> Iterator[tuple[Path, os.stat_result]]:
        with contextlib.suppress(OSError):
            for path in self.folder.iterdir():
                with contextlib.suppress(OSError):  # another process may have removed it
                    yield path, path.lstat()

    def _is_ours(self) -> bool:
        """Whether the folder is this user's, and no other user can write to it."""
        try:
            status = self.folder.lstat()
        except OSError:
            return False
        return stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o022
