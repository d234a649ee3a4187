"""Why servers differ, where that is known: a list of patterns and sentences, in known_differences.toml."""

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
    """It differs between any two answers: clocks, ids, ports."""


def reason_of(where: str) -> Reason | None:
    """The reason for a difference at `header NAME`, `body NAME` or `status NAME`."""
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
