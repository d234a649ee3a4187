"""Known reasons for differences between servers: patterns and sentences from known_differences.toml.

Runs in the dashboard's process.
"""

from __future__ import annotations

import functools
import tomllib
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Reason:
    text: str
    by_nature: bool
    """Differs between any two responses: clocks, ids, ports."""


def reason_of(where: str) -> Reason | None:
    """The known reason for a difference at `header NAME`, `body NAME` or `status NAME`, or None."""
    found = where.lower()
    return next((reason for pattern, reason in _known() if fnmatchcase(found, pattern)), None)


@functools.cache
def _known() -> list[tuple[str, Reason]]:
    text = Path(__file__).with_name("known_differences.toml").read_text("utf-8")
    return [
        (pattern.lower(), Reason(entry["why"], entry.get("by_nature", False)))
        for entry in tomllib.loads(text)["difference"]
        for pattern in entry["where"]
    ]
