"""The standard streams in processes that also run the app's code. Runs in every process.

The rule: an app may close sys.stdout and sys.stderr, or replace them by anything, such as None. So webdemo
writes its own lines through the streams that the process started with, and no failing stream stops it.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TextIO


def write_log(text: str) -> None:
    """Write lines to the stderr that the process started with; they are lost if the app has closed it."""
    if sys.__stderr__ is not None:
        with contextlib.suppress(Exception):
            print(text.removesuffix("\n") + "\n", end="", file=sys.__stderr__, flush=True)  # in one write


def restore() -> None:
    """Make streams that the import of the app has closed, removed or made unusable writable again.

    Servers write tracebacks to sys.stderr; if that fails, a thread or a connection ends without a response.
    """
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        original = f"__{name}__"
        if not _is_usable(original):
            setattr(sys, original, _stream_to(descriptor))
        if not _is_usable(name):
            setattr(sys, name, getattr(sys, original))


def _is_usable(name: str) -> bool:
    stream = getattr(sys, name, None)
    return hasattr(stream, "write") and not getattr(stream, "closed", False)


def _stream_to(descriptor: int) -> TextIO:
    try:
        return open(descriptor, "w", 1, "utf-8", "backslashreplace", closefd=False)
    except OSError:  # the app has closed the descriptor as well
        return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123


def flush() -> None:
    """Flush the streams that the process started with, and those that the app has put in their place."""
    for name in ("stdout", "stderr", "__stdout__", "__stderr__"):
        with contextlib.suppress(Exception):
            getattr(sys, name).flush()


def write_output(text: str) -> None:
    """Write lines to the stdout that the process started with; they are lost if the app has closed it."""
    if (stdout := sys.__stdout__) is not None:
        with contextlib.suppress(Exception):
            encoding = stdout.encoding or "utf-8"  # not UTF-8 where Windows redirects it
            lines = text.removesuffix("\n") + "\n"
            stdout.write(lines.encode(encoding, "backslashreplace").decode(encoding))
            stdout.flush()
