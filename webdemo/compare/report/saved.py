"""Stores the user's newest comparison in one file in the user's state folder.

It contains facts about this machine and an app, so only its user may read it.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from webdemo.compare.results import Comparison, from_json


def path() -> Path:
    """The file's path, by the XDG Base Directory Specification on every system."""
    state = os.environ.get("XDG_STATE_HOME", "")
    return Path(
        state if state.startswith("/") else Path.home() / ".local/state", "webdemo", "comparison.json"
    )


def save(comparison: Comparison) -> Path:
    """Replace the previous one atomically, and return the path; raises OSError."""
    target = path()
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # A temporary file has mode 0600 and keeps it when renamed.
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=target.parent, delete=False) as file:
        try:
            file.write(comparison.to_json())
            file.close()
            Path(file.name).replace(target)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
    return target


def newest() -> Comparison | None:
    """The comparison saved last, or None. Raises UsageError if this version cannot read it."""
    try:
        text = path().read_text(encoding="utf-8")
    except OSError:
        return None
    return from_json(text)
