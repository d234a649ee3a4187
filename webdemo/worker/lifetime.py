"""The start time of a process, and its quick exit as soon as all `atexit` handlers have run.

Runs in every process. Tearing down all modules and objects would take longer than the rest of a stop, and
the system frees the memory anyway.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import io
import os
import sys
import time
from collections.abc import Callable

BEGAN = time.monotonic()
"""Monotonic seconds; approximately the start: Python is up, and has imported next to nothing."""

_FILES = (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom)

_ending: tuple[int, int] | None = None
_flushes: Callable[[], list[object]] | None = None  # returns objects, the files to flush among them


def prepare() -> None:
    """Prepare the process; call it first.

    Closed standard streams are opened as /dev/null, because otherwise a socket would get their descriptors.
    Our atexit handler is registered first, so that it runs last; if others are registered already (a
    tracer's, for example), processes exit the usual way.
    """
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free descriptor: this one
            setattr(sys, name, os.fdopen(descriptor, "r" if name == "stdin" else "w"))
    if not atexit._ncallbacks():
        atexit.register(_end)


def with_code(exit_code: int) -> int:
    """Announce that this process, but no child of it, is about to exit with this code; returns the code."""
    global _ending
    _ending = os.getpid(), exit_code
    return exit_code


def flush_files_at_the_end(*, frozen_ones_too: bool) -> None:
    """Flush all open files at the exit of this process and of those forked from it.

    Files opened before gc.freeze() only if `frozen_ones_too`: going through all frozen objects takes as long
    as the rest of a stop.
    """
    global _flushes
    _flushes = _all_objects if frozen_ones_too else gc.get_objects


def _all_objects() -> list[object]:
    gc.unfreeze()
    return gc.get_objects()


def _end() -> None:
    files: list[object] = [sys.stdout, sys.stderr]
    if _flushes is not None:
        files += [thing for thing in _flushes() if type(thing) in _FILES]
    for file in files:
        with contextlib.suppress(OSError, ValueError, AttributeError):  # closed, or None
            file.flush()  # type: ignore[attr-defined]
    if _ending is not None and _ending[0] == os.getpid():
        os._exit(_ending[1])
