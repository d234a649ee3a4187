"""The cache of files, each entry checked by one `stat` on every access.

A file is cached only when it has been unchanged for two seconds: within that time, another change might
not alter its timestamps. Entries expire after a few seconds, so that new precompressed siblings are
noticed.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

from webdemo.web.static.representations import StoredFile
from webdemo.web.static.tree import Signature

REST_SECONDS = 2.0
LOOK_AGAIN_SECONDS = 5.0
MAX_FILES = 4096
MAX_BYTES = 32 * 1024 * 1024


class KeptFiles:
    """Holds at most MAX_FILES files and MAX_BYTES bytes; evicts the oldest entries first. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._files: dict[str, tuple[StoredFile, bytes, Signature, float]] = {}  # with its path
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, path_info: str) -> StoredFile | None:
        kept = self._files.get(path_info)
        if kept is None:
            return None
        file, path, (modified_ns, size, inode, changed_ns), until = kept
        try:
            status = os.stat(path)  # noqa: PTH116  pathlib has no bytes
        except OSError:
            return None
        if (
            status.st_mtime_ns == modified_ns
            and status.st_size == size
            and status.st_ino == inode
            and status.st_ctime_ns == changed_ns
            and self._clock() <= until
        ):
            return file
        return None

    def keep(self, path_info: str, file: StoredFile) -> None:
        """Cache a file under a path, replacing its entry, unless it is too recent or too large."""
        now = self._clock()
        newest = max(_newest(content.signature, now) for content in file.contents.values())
        with self._lock:
            self._drop(path_info)
            if now - newest / 10**9 < REST_SECONDS or file.memory > MAX_BYTES:
                return
            self._files[path_info] = (file, file.path, file.signature, now + LOOK_AGAIN_SECONDS)
            self._bytes += file.memory
            while self._bytes > MAX_BYTES or len(self._files) > MAX_FILES:
                self._drop(next(iter(self._files)))

    def drop(self, path_info: str) -> None:
        with self._lock:
            self._drop(path_info)

    def _drop(self, path_info: str) -> None:
        kept = self._files.pop(path_info, None)
        if kept is not None:
            self._bytes -= kept[0].memory


def _newest(signature: Signature, now: float) -> int:
    """The latest change in nanoseconds; a modification time in the future says nothing of it."""
    is_past = signature.modified_ns / 10**9 <= now
    return max(signature.changed_ns, signature.modified_ns) if is_past else signature.changed_ns
