"""The first thing in every process: its start time, and its standard streams."""

from __future__ import annotations

import os
import sys
import time

BEGAN = time.monotonic()
"""Monotonic seconds; approximately the start: Python is up, and has imported next to nothing."""


def open_closed_streams() -> None:
    """Open closed standard streams as /dev/null, because otherwise a socket would get their descriptors."""
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free descriptor: this one
            setattr(sys, name, os.fdopen(descriptor, "r" if name == "stdin" else "w"))
