"""Negotiation of the content coding: Accept-Encoding, RFC 9110 section 12.5.3.

A coded form of a file is stored next to it, under its name plus the coding's suffix.
"""

from __future__ import annotations

import re
from functools import lru_cache

from webdemo.syntax import TOKEN

IDENTITY = "identity"
SUFFIXES = {"br": ".br", "zstd": ".zst", "gzip": ".gz"}
"""The supported codings, best first, and their file suffixes."""

_ITEM = re.compile(
    r"[ \t]*(?P<coding>"
    + TOKEN
    + r""")
        (?:[ \t]*;[ \t]*[qQ]=(?P<q>0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?[ \t]*""",
    re.VERBOSE,
)


@lru_cache(maxsize=256)
def choose(accept: str, available: tuple[str, ...]) -> str | None:
    """The coding to send, or None if the client accepts none of them (406).

    `available` is best first, without identity, which is always available. Malformed items are ignored.
    """
    weights: dict[str, float] = {}
    for item in accept.split(","):
        match = _ITEM.fullmatch(item)
        if match:
            coding = match["coding"].lower()
            weights["gzip" if coding == "x-gzip" else coding] = float(match["q"] or 1)
    others = weights.get("*", 0.0)
    best = max(available, key=lambda coding: weights.get(coding, others), default=IDENTITY)
    weight = weights.get(best, others)
    if weight > 0 and weight >= weights.get(IDENTITY, 0.0):
        return best
    return IDENTITY if weights.get(IDENTITY, weights.get("*", 1.0)) > 0 else None
