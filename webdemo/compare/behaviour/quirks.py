"""What servers are known to do otherwise, in quirks.toml, with the version in which it was seen.

A finding that is not right and not in there is new: the server has changed, or the machine has.
"""

from __future__ import annotations

import functools
import tomllib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Quirks:
    """Those of one server."""

    version: str
    does: dict[str, tuple[str, ...]]  # probe -> "differs: gives the app ..."; several: now this, now that


def seen_in(label: str, probe: str, verdict: str, does: str) -> str | None:
    """The version of the server in which it did just that; None if that is news."""
    for name in (label, label.partition("?")[0]):
        if quirks := load().get(name):
            is_known = f"{verdict}: {does}" in quirks.does.get(probe, ())
            return quirks.version if is_known else None
    return None


@functools.cache
def load() -> dict[str, Quirks]:
    text = Path(__file__).with_name("quirks.toml").read_text("utf-8")
    return {
        label: Quirks(
            entry["version"],
            {
                probe: (does,) if isinstance(does, str) else tuple(does)
                for probe, does in entry["does"].items()
            },
        )
        for label, entry in tomllib.loads(text).items()
    }
