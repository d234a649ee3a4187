"""The last lines that a service's processes wrote, for whoever asks; access log lines among them.

What is in them is a client's or the app's: control characters are written out.
"""

from __future__ import annotations

import re
import time
from collections import deque
from typing import Any

from webdemo.run.accesslog import COMPLETE
from webdemo.run.printer import printable

KEPT_LINES = 200
_COLOUR = re.compile(rb"\x1b\[\d+m")


class LastLines:
    """Keeps the last lines, and forgets what came before."""

    def __init__(self) -> None:
        self._lines: deque[tuple[float, bytes]] = deque(maxlen=KEPT_LINES)

    def add(self, data: bytes) -> None:
        self._lines.append((time.time(), data))

    def copy(self) -> LastLines:
        lines = LastLines()
        lines._lines.extend(self._lines)
        return lines

    def last(self, count: int) -> list[dict[str, Any]]:
        """The last `count` at most, the oldest first; JSON-able, without the colours of the access log."""
        lines = list(self._lines)
        return [_described(when, data) for when, data in lines[max(0, len(lines) - count) :]]


def _described(when: float, data: bytes) -> dict[str, Any]:
    is_access = data.startswith(COMPLETE)
    if is_access:
        data = _COLOUR.sub(b"", data.removeprefix(COMPLETE))
    return {"time": round(when, 3), "access": is_access, "text": printable(data.decode("utf-8", "replace"))}
