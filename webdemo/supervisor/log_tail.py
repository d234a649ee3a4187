"""Keeps the last lines that a service's processes wrote, access log included. Runs in the main process.

The text comes from clients and the app, so control characters are escaped when it is read.
"""

from __future__ import annotations

import time
from collections import deque

from webdemo.supervisor.control_messages import KEPT_LINES, LogLine
from webdemo.text import terminal_line

_LONGEST = 8192  # characters that are kept of a line


class LastLines:
    """A ring buffer of the last KEPT_LINES lines."""

    def __init__(self) -> None:
        self._lines: deque[tuple[float, bool, str]] = deque(maxlen=KEPT_LINES)

    def add(self, texts: list[str], *, is_access: bool) -> None:
        now = time.time()
        self._lines.extend((now, is_access, text[:_LONGEST]) for text in texts[-KEPT_LINES:])

    def copy(self) -> LastLines:
        lines = LastLines()
        lines._lines.extend(self._lines)
        return lines

    def last(self, count: int) -> tuple[LogLine, ...]:
        """The last `count` lines at most, oldest first."""
        lines = list(self._lines)
        return tuple(
            LogLine(round(when, 3), is_access, terminal_line(text))
            for when, is_access, text in lines[max(0, len(lines) - count) :]
        )
