"""What Windows lacks or has in another form. Runs in every process.

The rule: code that also runs with `--in-process` takes from here what is not on every system.
"""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Callable
from typing import Any

CAN_FORK = hasattr(os, "fork")

AF_UNIX: Any = getattr(socket, "AF_UNIX", None)
MSG_DONTWAIT: int = getattr(socket, "MSG_DONTWAIT", 0)
PIPE_BUF: int = getattr(select, "PIPE_BUF", 4096)


def after_fork_in_child(function: Callable[[], Any]) -> None:
    """Call the function in each child that this process forks, if it can fork."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=function)


def is_readable(descriptor: Any, timeout_seconds: float | None = 0) -> bool:
    """Whether a read from the socket would not block; waits for so long, None: forever."""
    if not hasattr(select, "poll"):
        return bool(select.select([descriptor], [], [], timeout_seconds)[0])
    poll = select.poll()  # select() fails for descriptors above 1023
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(None if timeout_seconds is None else timeout_seconds * 1000))


def is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0
