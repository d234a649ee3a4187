"""Reports which files the app writes, so that their changes do not reload it. Runs in the app's processes.

An audit hook sees each path before Python code opens it for writing, creates, renames or removes it, in any
thread. What extension modules and other programs write is not seen.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

_MOST_KNOWN = 10_000
_SQLITE_SUFFIXES = ("-journal", "-wal", "-shm")
# Audit events, and how many of their first arguments are paths that are written.
_PATHS = {
    "open": 1, "os.rename": 2, "os.link": 2, "os.symlink": 2, "os.mkdir": 1, "os.remove": 1, "os.rmdir": 1,
    "os.truncate": 1, "os.utime": 1, "os.chmod": 1, "sqlite3.connect": 1,
}  # fmt: skip

_report: Callable[[tuple[str, ...]], object] | None = None
_known: set[Path] = set()


def report(write: Callable[[tuple[str, ...]], object]) -> None:
    """From now on call `write` with the absolute paths, before they are written, and once for each.

    It is called in any thread, and must not block on a lock.
    """
    global _report
    if _report is None:
        sys.addaudithook(_audit)  # for good: no hook can be removed
    _report = write


def _audit(event: str, arguments: tuple[object, ...]) -> None:
    if event not in _PATHS or (event == "open" and not _is_write(arguments[2])):
        return
    with contextlib.suppress(Exception):  # it would be raised by the app's call
        for path in arguments[: _PATHS[event]]:
            if isinstance(path, (str, bytes, os.PathLike)):
                _written(Path(os.fsdecode(path)).absolute(), event)


def _is_write(flags: object) -> bool:
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR))


def _written(path: Path, event: str) -> None:
    if path in _known or path.suffix == ".pyc" or _report is None:
        return
    if len(_known) >= _MOST_KNOWN:
        _known.clear()
    _known.add(path)
    if event == "open" and path.is_dir():  # of a temporary file without a name
        return
    real = str(path.parent.resolve() / path.name)
    journals = [real + suffix for suffix in _SQLITE_SUFFIXES] if event == "sqlite3.connect" else []
    _report((real, *journals))
