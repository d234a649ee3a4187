"""Makes a server process drain when the supervisor has died, whatever has become of the loader.

Only the supervisor holds the write end of the lifeline, a pipe. On Linux the kernel itself sends SIGTERM when
that end is closed, so that no thread is needed; elsewhere a thread waits for it.
"""

from __future__ import annotations

import fcntl
import os
import signal
import threading
from select import POLLIN, poll  # not gevent's, which may switch to another greenlet in a signal handler


def follow(lifeline: int) -> None:
    """Send this process SIGTERM when the supervisor has died."""
    try:
        # Opened again, because the owner and the signal belong to the open file, which is inherited.
        own = os.open(f"/proc/self/fd/{lifeline}", os.O_RDONLY | os.O_NONBLOCK)
        fcntl.fcntl(own, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(own, fcntl.F_SETSIG, signal.SIGTERM)
        fcntl.fcntl(own, fcntl.F_SETFL, os.O_NONBLOCK | os.O_ASYNC)
    except (OSError, AttributeError):  # no /proc, or not Linux
        threading.Thread(target=_wait, args=[lifeline], daemon=True).start()
        return
    if is_cut(lifeline):
        signal.raise_signal(signal.SIGTERM)


def is_cut(lifeline: int) -> bool:
    """Whether the supervisor has died."""
    return _poll(lifeline, 0)


def _wait(lifeline: int) -> None:
    _poll(lifeline, None)
    os.kill(os.getpid(), signal.SIGTERM)


def _poll(descriptor: int, timeout_ms: int | None) -> bool:
    waiting = poll()
    waiting.register(descriptor, POLLIN)
    return bool(waiting.poll(timeout_ms))
