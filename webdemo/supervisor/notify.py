"""Reports the state of the run to systemd by sd_notify(3): ready, reloading, stopping, watchdog.

Runs in the main process. Without NOTIFY_SOCKET nothing is sent. Nothing here raises: a service manager
that does not listen is no reason to stop serving.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Mapping

_SEND_SECONDS = 1.0  # a manager that is stuck must not hold up the supervisor


class Notifier:
    """Sends to the service manager named by NOTIFY_SOCKET."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        self.watchdog_seconds = _watchdog_seconds(environ) if self._address else None
        """How often to call `watchdog`; None if the service manager does not ask for it."""

    def ready(self) -> None:
        """The start, or the reload announced by `reloading`, is complete."""
        self._send("READY=1")

    def reloading(self) -> None:
        # Type=notify-reload matches this message to its SIGHUP by the timestamp.
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def watchdog(self) -> None:
        self._send("WATCHDOG=1")

    def _send(self, *assignments: str) -> None:
        if not self._address.startswith(("/", "@")):
            return
        address = self._address
        if address.startswith("@"):  # Linux's abstract namespace
            address = "\0" + address[1:]
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.settimeout(_SEND_SECONDS)
            sock.sendto("\n".join(assignments).encode(), address)


def _watchdog_seconds(environ: Mapping[str, str]) -> float | None:
    """Half of the watchdog timeout, as sd_watchdog_enabled(3) recommends; None if it is not for us."""
    microseconds = environ.get("WATCHDOG_USEC", "")
    if not microseconds.isdecimal() or int(microseconds) == 0:
        return None
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    return int(microseconds) / 2e6
