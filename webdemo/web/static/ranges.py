"""Range requests: RFC 9110 section 14, the unit `bytes`.

What cannot be understood is ignored, as the section asks. Overlapping ranges are merged and very many
are ignored, so that a small request cannot ask for more than the whole (CVE-2011-3192).
"""

from __future__ import annotations

import re
from typing import NamedTuple

MAX_RANGES = 32

_SET = re.compile(r"[ \t]*bytes[ \t]*=(.*)", re.IGNORECASE | re.DOTALL)
_SPEC = re.compile(r"([0-9]*)-([0-9]*)")
_TOO_LARGE = 10**18


class Span(NamedTuple):
    """The bytes from `start` up to and without `end`."""

    start: int
    end: int


def parse_ranges(text: str, size: int) -> list[Span] | None:
    """The spans asked for of `size` bytes, in the order asked for; none of them overlap.

    An empty list: none can be satisfied (416). None: the field is to be ignored (200), because the
    unit is unknown, the syntax is broken, or there are more than MAX_RANGES.
    """
    match = _SET.fullmatch(text)
    if match is None:
        return None
    specs = [spec for spec in (part.strip(" \t") for part in match[1].split(",")) if spec]
    if not 0 < len(specs) <= MAX_RANGES:
        return None
    spans: list[Span] = []
    for spec in specs:
        parts = _SPEC.fullmatch(spec)
        if parts is None or spec == "-":
            return None
        first, last = (_number(part) for part in parts.groups())
        if first is None:
            start, end = max(0, size - (last or 0)), size
        elif last is not None and last < first:
            return None
        else:
            start, end = first, size if last is None else min(last + 1, size)
        if start < end:
            _add(spans, Span(start, end))
        elif first is None and last:
            return None  # the last bytes of nothing: satisfiable, but no Content-Range can say so
    return spans


def _number(digits: str) -> int | None:
    """The number, or one beyond any file's size where it has more digits than a file's size can have."""
    digits = digits.lstrip("0") or digits[:1]
    return min(int(digits[:19]), _TOO_LARGE) if digits else None


def _add(spans: list[Span], new: Span) -> None:
    """Put a span at the end, or merge it into the first that it overlaps."""
    place = len(spans)
    for index in reversed(range(len(spans))):
        old = spans[index]
        if old.start < new.end and new.start < old.end:
            new = Span(min(old.start, new.start), max(old.end, new.end))
            del spans[index]
            place = index
    spans.insert(place, new)
