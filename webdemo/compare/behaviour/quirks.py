"""Known deviations of servers, from quirks.toml, with the version in which each was seen.

A finding that is neither right nor listed there is new: the server has changed, or the machine has.
"""

from __future__ import annotations

import functools
import tomllib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Quirks:
    """The quirks of one server."""

    version: str
    does: dict[str, tuple[str, ...]]  # probe -> "differs: gives the app ..."; several if it varies


def seen_in(label: str, probe: str, verdict: str, does: str) -> str | None:
    """The server version in which exactly this was seen before; None if it is new."""
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
