"""The standard streams in processes that also run the app's code. Runs in every process.

The rule: an app may close sys.stdout and sys.stderr, or replace them by anything, such as None. So webdemo
writes its own lines through the streams that the process started with, and no failing stream stops it.
"""

from __future__ import annotations

import contextlib
import sys


def write_log(text: str) -> None:
    """Write lines to the stderr that the process started with; they are lost if the app has closed it."""
    if sys.__stderr__ is not None:
        with contextlib.suppress(Exception):
            print(text.removesuffix("\n"), file=sys.__stderr__, flush=True)


def flush() -> None:
    """Flush the streams that the process started with, and those that the app has put in their place."""
    for name in ("stdout", "stderr", "__stdout__", "__stderr__"):
        with contextlib.suppress(Exception):
            getattr(sys, name).flush()
