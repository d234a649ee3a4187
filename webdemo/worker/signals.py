"""Signals to server processes. Runs in the supervisor and in the loader."""

import contextlib
import os
import signal


def send_signal(pid: int, number: int) -> None:
    """Signal a server process; SIGKILL goes to its whole process group, workers included."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # it has no process group yet
        if number == signal.SIGKILL:
            os.killpg(pid, number)
            return
    os.kill(pid, number)
