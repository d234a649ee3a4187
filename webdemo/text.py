"""Text for people: hostile text made safe to print, sizes, durations and tables.

The rule: text that webdemo did not write itself (from clients, peers, apps, file names, other programs)
passes one of three policies, named after the place where it is printed:

terminal_line   one line of a terminal or of a log's free text: unsafe characters are escaped
plain_field     a field without markup, in a page or a protocol's reply: unsafe characters become U+FFFD
log_field       one field of a log record: one word, and different texts never look alike

Unsafe is what Python does not count as printable: control and formatting characters (bidirectional and
invisible ones included), line separators, surrogates, private use and unassigned characters. So no new
version of Unicode can bring a character that passes.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence

# Not printable for Python, but harmless: tab, the spaces of all languages, and the two joiners that Persian,
# Indian scripts and emoji need.
_HARMLESS = frozenset(
    "\t\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000\u200c\u200d"
)
_GAP = "  "  # between the columns of a table
_NARROWEST_TEXT = 24
# Per unit: the value that takes the next one, its length, its name.
_SIZES = (
    (1e3, 1, "B"),
    (1e6, 1e3, "kB"),
    (1e9, 1e6, "MB"),
    (1e12, 1e9, "GB"),
    (1e15, 1e12, "TB"),
    (math.inf, 1e15, "PB"),
)
_DURATIONS = (
    (1e-3, 1e-6, "µs"),
    (1, 1e-3, "ms"),
    (60, 1, "s"),
    (3600, 60, "min"),
    (2 * 86400, 3600, "h"),
    (math.inf, 86400, "days"),
)


def terminal_line(text: str, *, limit: int | None = None) -> str:
    """The text on one line of at most `limit` characters, unsafe ones as Python's escapes."""
    line = text if limit is None else text[: limit + 1]
    if not line.isprintable():
        line = "".join(c if _is_safe(c) else _escape(c) for c in line)
    return line if limit is None or len(line) <= limit else f"{line[: limit - 1]}…"


def plain_field(text: str) -> str:
    """The text on one line, unsafe characters as U+FFFD. `<` and `&` stay: a page's template escapes them."""
    return text if text.isprintable() else "".join(c if _is_safe(c) else "\ufffd" for c in text)


def plain_text(text: str) -> str:
    """Several lines, each as a plain field; they end with LF, whatever ended them before."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "\n".join(map(plain_field, lines))


def log_field(text: str) -> str:
    """The text as one word: spaces, backslashes and all that is not printable are escaped."""
    if text.isprintable() and " " not in text and "\\" not in text:
        return text
    return "".join(c if c.isprintable() and c not in " \\" else _escape(c) for c in text)


def format_size(size_bytes: float) -> str:
    """About two digits, in decimal units: 999 B, 1.5 kB, 20 MB."""
    return _in_units(size_bytes, _SIZES)


def format_duration(seconds: float) -> str:
    """About two digits, in one unit: 350 µs, 1.5 ms, 12 s, 3 min, 2 days."""
    return _in_units(seconds, _DURATIONS) if seconds > 0 else "0 s"


def table(rows: Iterable[Sequence[str]], *, width: int | None = None, key: int = 1) -> list[str]:
    """The rows as lines with left-aligned columns; cells may be hostile text.

    Lines are no longer than `width`, if no word is: the text of the column that does not fit is wrapped, or
    the columns from there on follow as a table of their own, which begins with the first one again; with the
    first `key` columns, which name a row, if half the width is enough for them.
    """
    cells = [[terminal_line(cell).replace("\t", r"\t") for cell in row] for row in rows]
    rest = list(zip(*cells, strict=True))
    lengths = [max(map(len, column)) for column in rest]
    if width is None:
        return _lines(rest, lengths)
    if sum(lengths[:key]) + len(_GAP) * key > width / 2:
        key = 1
    named, rest = rest[:key], rest[key:]
    lines: list[str] = []
    while rest or not lines:
        shown, widths = [*named], lengths[:key]
        while rest:
            needed = max(map(len, rest[0]))
            room = width - sum(widths) - len(_GAP) * len(widths)
            if needed > room:
                longest_word = max((len(word) for cell in rest[0] for word in cell.split(" ")), default=0)
                fits = longest_word <= room and room >= _NARROWEST_TEXT
                if len(shown) > key and not fits:
                    break
                needed = max(room, longest_word, 1)
            widths.append(needed)
            shown.append(rest.pop(0))
        lines += [*([""] if lines else []), *_lines(shown, widths)]
    return lines


def _lines(columns: Sequence[Sequence[str]], widths: Sequence[int]) -> list[str]:
    """The lines of a table; the text of a cell that is longer than its column is wrapped."""
    lines = []
    for row in zip(*columns, strict=True):
        wrapped = [_wrapped(cell, width) for cell, width in zip(row, widths, strict=True)]
        for parts in itertools.zip_longest(*wrapped, fillvalue=""):
            padded = (part.ljust(width) for part, width in zip(parts, widths, strict=True))
            lines.append(_GAP.join(padded).rstrip(" "))
    return lines


def _wrapped(cell: str, width: int) -> list[str]:
    if len(cell) <= width:
        return [cell]
    import textwrap

    return textwrap.wrap(cell, width, break_long_words=False, break_on_hyphens=False)


def _is_safe(character: str) -> bool:
    return character.isprintable() or character in _HARMLESS


def _escape(character: str) -> str:
    return r"\x20" if character == " " else character.encode("unicode_escape").decode()


def _in_units(value: float, units: Iterable[tuple[float, float, str]]) -> str:
    # What would be rounded up to 1000 takes the next unit.
    length, name = next((length, name) for end, length, name in units if value < end * 0.9995)
    number = value / length
    return f"{number:.2g} {name}" if number < 9.95 else f"{number:.0f} {name}"
