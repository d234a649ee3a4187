"""The signal on which a server process writes the stacks of its threads to its stderr."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
from contextlib import suppress

# One that apps do not use; SIGUSR1 and SIGUSR2 belong to servers and apps.
_SIGNAL = signal.SIGRTMAX - 1 if sys.platform == "linux" else None


def write_when_asked() -> None:
    """From now on, in this process and those that it forks; in C, so that it works in a deadlock too."""
    if _SIGNAL is not None:
        faulthandler.register(_SIGNAL, file=2, all_threads=True)


def ask(pid: int) -> None:
    """The process must have called `write_when_asked`: others would be ended by the signal."""
    if _SIGNAL is not None:
        with suppress(ProcessLookupError):
            os.kill(pid, _SIGNAL)
