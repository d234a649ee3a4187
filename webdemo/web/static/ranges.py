"""Range requests: RFC 9110 section 14, unit `bytes`.

A malformed Range is ignored, as the section requires. Overlapping ranges are merged, and a field with
too many ranges is ignored, so that a small request cannot ask for more than the whole (CVE-2011-3192).
"""

from __future__ import annotations

import re
from typing import NamedTuple

MAX_RANGES = 32

_SET = re.compile(r"[ \t]*bytes[ \t]*=(.*)", re.IGNORECASE | re.DOTALL)
_SPEC = re.compile(r"([0-9]*)-([0-9]*)")
_TOO_LARGE = 10**18


class Span(NamedTuple):
    """The bytes from `start` up to, but not including, `end`."""

    start: int
    end: int


def parse_ranges(text: str, size: int) -> list[Span] | None:
    """The requested spans of a representation of `size` bytes, in request order, without overlaps.

    An empty list: no range is satisfiable (416). None: ignore the field (200), because the unit is
    unknown, the syntax is invalid, or there are more than MAX_RANGES ranges.
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
            return None  # a suffix of an empty file is satisfiable, but has no valid Content-Range
    return spans


def _number(digits: str) -> int | None:
    """The number, or _TOO_LARGE if it exceeds any file's size; None for ""."""
    digits = digits.lstrip("0") or digits[:1]
    return min(int(digits[:19]), _TOO_LARGE) if digits else None


def _add(spans: list[Span], new: Span) -> None:
    """Append a span, or merge it with all that it overlaps, at the position of the first of them."""
    position = len(spans)
    for index in reversed(range(len(spans))):
        old = spans[index]
        if old.start < new.end and new.start < old.end:
            new = Span(min(old.start, new.start), max(old.end, new.end))
            del spans[index]
            position = index
    spans.insert(position, new)
