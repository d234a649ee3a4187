"""Which stored form of a file a client is sent: Accept-Encoding, RFC 9110 section 12.5.3.

A coding's file lies beside the plain one under the plain name and the coding's suffix.
"""

from __future__ import annotations

import re
from functools import lru_cache

IDENTITY = "identity"
SUFFIXES = {"br": ".br", "zstd": ".zst", "gzip": ".gz"}
"""The codings known, best first, and their files' suffixes."""

_ITEM = re.compile(
    r"""[ \t]*(?P<coding>[!#$%&'*+\-.^_`|~0-9A-Za-z]+)
        (?:[ \t]*;[ \t]*[qQ]=(?P<q>0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?[ \t]*""",
    re.VERBOSE,
)


@lru_cache(maxsize=256)
def choose(accept: str | None, available: tuple[str, ...]) -> str | None:
    """The coding to send, or None when the client accepts none (406).

    `available` is best first and leaves out identity, which there always is. A client that
    sends no Accept-Encoding has asked for nothing and gets identity. Items that do not follow
    the grammar are passed over.
    """
    if accept is None:
        return IDENTITY
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
