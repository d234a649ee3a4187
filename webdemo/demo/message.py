"""A mail taken apart into what a page may show.

The rule: whatever a mail holds, taking it apart does not fail, and takes time in proportion to its size.
What cannot be understood is shown as it came. Nothing of it is ever markup: all is text, to be escaped.
"""

from __future__ import annotations

import codecs
import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.parser import BytesHeaderParser, BytesParser
from email.policy import compat32, default
from functools import partial
from typing import TypeVar

T = TypeVar("T")

MOST_PARTS = 100
MOST_HEADERS = 200
MOST_CHARACTERS = 100_000
"""Of one text that is shown; the rest can be downloaded."""

# The standard library's parser of headers needs time with the square of their length.
_LONGEST_PARSED = 2000
_LONGEST_HEAD = 1 << 20
_LONG_STRUCTURED_HEADER = re.compile(rb"(?im)^content-[a-z-]+:(?:[^\n]|\n[ \t]){2001}")
_SLOW_CODECS = ("idna", "punycode")
_MOST_DELIMITERS = 2000  # lines that may begin a part; each part costs as much as 10 kB of text
_UNSEEN = (*range(9), 11, 12, *range(14, 32), *range(127, 160))
_TURNING = (*range(0x202A, 0x202F), *range(0x2066, 0x206A))  # the directions of text
_HIDDEN = dict.fromkeys((*_UNSEEN, *_TURNING), "\ufffd")


@dataclass(frozen=True, slots=True)
class Part:
    """A leaf of the mail's tree. `text` is None for what is listed and not shown."""

    number: int
    type: str
    name: str
    content: bytes
    text: str | None
    is_cut: bool

    @property
    def size(self) -> int:
        return len(self.content)


@dataclass(frozen=True, slots=True)
class Summary:
    """What a list shows of a mail: the envelope's recipients, and the headers that people look for."""

    sender: str
    recipients: tuple[str, ...]
    subject: str
    date: str


@dataclass(frozen=True, slots=True)
class Mail:
    summary: Summary
    headers: tuple[tuple[str, str], ...]
    parts: tuple[Part, ...]
    source: str
    is_source_cut: bool
    is_understood: bool


def summarize(head: bytes) -> Summary:
    """From a mail's first bytes, its headers at least."""
    return _summary(_headers(head))


def take_apart(raw: bytes) -> Mail:
    lines = raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n")  # as the parser understands them
    is_costly = lines.count(b"\n--") > _MOST_DELIMITERS or _LONG_STRUCTURED_HEADER.search(lines)
    parts = None if is_costly else _attempt(lambda: tuple(_parts(raw)), None)
    headers = _headers(raw[:_LONGEST_HEAD])
    return Mail(
        summary=_summary(headers),
        headers=tuple(headers),
        parts=parts or (),
        source=shown(raw[:MOST_CHARACTERS].decode("utf-8", "replace")),
        is_source_cut=len(raw) > MOST_CHARACTERS,
        is_understood=parts is not None,
    )


def shown(text: str) -> str:
    """The text without what cannot be seen or would turn its direction, and without lone surrogates."""
    whole = text.encode("utf-8", "replace").decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
    return whole.translate(_HIDDEN)


def _summary(headers: list[tuple[str, str]]) -> Summary:
    values: dict[str, list[str]] = {}
    for name, value in headers:
        values.setdefault(name.lower(), []).append(value)

    def first(*names: str) -> str:
        return next((values[name][0] for name in names if name in values), "")

    return Summary(
        sender=first("from", "return-path"),
        recipients=tuple(address.strip("<>") for address in values.get("x-envelope-to", [])),
        subject=first("subject"),
        date=first("date"),
    )


def _headers(head: bytes) -> list[tuple[str, str]]:
    # The old policy leaves the values as they came; the new one would parse some at once, of any length.
    message = BytesHeaderParser(policy=compat32).parsebytes(head)
    some = itertools.islice(message.raw_items(), MOST_HEADERS)
    return [(shown(name), shown(_header(name, str(raw)))) for name, raw in some]


def _header(name: str, raw: str) -> str:
    """The header's value: as sent if it is UTF-8, too long or not understood, otherwise decoded."""
    raw = "".join(raw.splitlines())  # unfolded: RFC 5322 2.2.3
    plain = raw.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    if len(raw) > _LONGEST_PARSED:
        return f"{plain[:_LONGEST_PARSED]}…"
    if not raw.isascii():
        return plain
    return _attempt(lambda: str(default.header_factory(name, raw)), plain)


def _parts(raw: bytes) -> Iterator[Part]:
    message = BytesParser(policy=default).parsebytes(raw)
    leaves = (part for part in message.walk() if not part.is_multipart())
    for number, leaf in enumerate(itertools.islice(leaves, MOST_PARTS)):
        kind = _attempt(leaf.get_content_type, "application/octet-stream")
        name = _attempt(leaf.get_filename, None)
        content = _attempt(partial(leaf.get_payload, decode=True), None)
        if not isinstance(content, bytes):
            content = b""
        is_shown = kind in ("text/plain", "text/html") and not _attempt(leaf.is_attachment, True)
        yield Part(
            number=number,
            type=shown(kind),
            name=shown(name or ""),
            content=content,
            text=_decoded(content, _attempt(leaf.get_content_charset, None)) if is_shown else None,
            is_cut=is_shown and len(content) > MOST_CHARACTERS,
        )


def _decoded(content: bytes, charset: str | None) -> str:
    def decode() -> str:
        name = codecs.lookup(charset or "utf-8").name
        return content[:MOST_CHARACTERS].decode("utf-8" if name in _SLOW_CODECS else name, "replace")

    return shown(_attempt(decode, content[:MOST_CHARACTERS].decode("utf-8", "replace")))


def _attempt(read: Callable[[], T], otherwise: T) -> T:
    """The standard library's parser raises errors of many kinds on hostile mail, and no common one."""
    try:
        return read()
    except Exception:  # noqa: BLE001
        return otherwise
