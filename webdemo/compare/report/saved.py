"""Where the user's newest comparison is kept: one file in the user's own state folder.

It tells of this machine and of an app, so only its user may read it.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from webdemo.compare.results import Comparison, from_json


def path() -> Path:
    """By the XDG Base Directory Specification, on every system."""
    state = os.environ.get("XDG_STATE_HOME", "")
    return Path(
        state if state.startswith("/") else Path.home() / ".local/state", "webdemo", "comparison.json"
    )


def save(comparison: Comparison) -> Path:
    """In place of the one before, whole or not at all; raises OSError."""
    place = path()
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # A temporary file is its user's alone, and so is then what it becomes.
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=place.parent, delete=False) as file:
        try:
            file.write(comparison.to_json())
            file.close()
            Path(file.name).replace(place)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
    return place


def newest() -> Comparison | None:
    """The one saved last; None if there is none. Raises UsageError for one that this webdemo cannot read."""
    try:
        text = path().read_text(encoding="utf-8")
    except OSError:
        return None
    return from_json(text)
