"""What is known of differences between servers, from known_differences.toml: reasons, and quirks of servers.

A quirk is a deviation that was seen in one version of a server. A result that is neither right nor a quirk is
new: the server has changed, or the machine has.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple


class Reason(NamedTuple):
    where: Sequence[str]  # patterns of the names that `reason_of` is asked for
    why: str
    by_nature: bool = False  # differs between any two responses: clocks, ids, ports
    of_server: bool = False  # the server decides it, whatever the app does


class Quirks(NamedTuple):
    """The quirks of one server."""

    version: str
    does: dict[str, tuple[str, ...]]  # probe -> "differs: gives the app ..."; several if it varies


def reason_of(where: str) -> Reason | None:
    """The known reason for a difference at `header NAME`, `body NAME` or `status NAME`, or None."""
    found = where.lower()
    return next(
        (one for one in _reasons() if any(fnmatchcase(found, pattern) for pattern in one.where)), None
    )


def quirks_of(label: str) -> Quirks | None:
    """The quirks of this server with its options or, if none are listed, of the server."""
    return quirks().get(label) or quirks().get(label.partition("?")[0])


def seen_in(label: str, probe: str, verdict: str, does: str) -> str | None:
    """The server version in which exactly this was seen before; None if it is new."""
    known = quirks_of(label)
    return known.version if known and f"{verdict}: {does}" in known.does.get(probe, ()) else None


def is_steady(label: str, version: str | None, probe: str) -> bool:
    """Whether this version deviates here in each run: exactly one form of its quirk is known."""
    known = quirks_of(label)
    return known is not None and known.version == version and len(known.does.get(probe, ())) == 1


@functools.cache
def quirks() -> dict[str, Quirks]:
    """The quirks of all servers, by label."""
    return {
        label: Quirks(
            entry["version"],
            {
                probe: (does,) if isinstance(does, str) else tuple(does)
                for probe, does in entry["does"].items()
            },
        )
        for label, entry in _file()["quirks"].items()
    }


@functools.cache
def _reasons() -> list[Reason]:
    return [Reason(**entry) for entry in _file()["difference"]]


@functools.cache
def _file() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_name("known_differences.toml").read_text("utf-8"))
