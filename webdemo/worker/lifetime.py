"""When a process began; and its end, as soon as all handlers of `atexit` have run.

To take down every module and object takes longer than all else that a stop does, and the system frees
the memory anyway.
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
"""Nearly: Python is up, and has imported next to nothing."""

_FILES = (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom)

_ending: tuple[int, int] | None = None
_flushes: Callable[[], list[object]] | None = None  # looks for the files to flush


def prepare() -> None:
    """To be called first in a program.

    Standard streams that are closed become /dev/null: else a socket would get their numbers. And the
    first handler registered is the last to run; where some are there already (a tracer's, say) processes
    end in the usual way.
    """
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one
            setattr(sys, name, os.fdopen(descriptor, "r" if name == "stdin" else "w"))
    if not atexit._ncallbacks():
        atexit.register(_end)


def with_code(exit_code: int) -> int:
    """This process is about to end with this exit code. Processes forked from it are not."""
    global _ending
    _ending = os.getpid(), exit_code
    return exit_code


def flush_files_at_the_end(*, frozen_ones_too: bool) -> None:
    """In this process and those forked from it, leave nothing unwritten in any file that is open.

    Those that were opened before gc.freeze() are looked for on demand: to look at all that is frozen takes as
    long as all the rest of a stop.
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
        with contextlib.suppress(OSError, ValueError, AttributeError):  # closed, or there is none
            file.flush()  # type: ignore[attr-defined]
    if _ending is not None and _ending[0] == os.getpid():
        os._exit(_ending[1])
