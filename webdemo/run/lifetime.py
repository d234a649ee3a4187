"""When a process began; and its end, as soon as all handlers of `atexit` have run.

To take down every module and object takes longer than all else that a stop does, and the system frees
the memory anyway.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import time

BEGAN = time.monotonic()
"""Nearly: Python is up, and has imported next to nothing."""

_ending: tuple[int, int] | None = None


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


def _end() -> None:
    if _ending is None or _ending[0] != os.getpid():
        return
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):  # closed, or there is none
            stream.flush()
    os._exit(_ending[1])
