"""Parses a mail into what a page may show. Runs in the demo app's server processes.

The rule: whatever the mail contains, parsing never fails and takes linear time: the number of parts, their
depth and the length of headers are limited. The standard library's parser is quadratic in the length of
headers and in the depth of parts, so it only ever gets short values. What cannot be parsed is shown as it
came. Everything is plain text to be escaped, never markup.
"""

from __future__ import annotations

import binascii
import encodings
import itertools
import quopri
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from email.message import Message
from email.utils import collapse_rfc2231_value
from encodings.aliases import aliases

from webdemo.text import plain_field, plain_text

MOST_DEPTH = 10
MOST_PARTS = 100
MOST_HEADERS = 200
MOST_CHARACTERS = 100_000
"""Of one text that a page shows; the rest can be downloaded."""

_LONGEST_VALUE = 2000
_LONGEST_HEAD = 64 * 1024
_MOST_LINES = 2000  # of a head
_LINE_END = re.compile(rb"\r\n|\r|\n")
_HEADER = re.compile(rb"([!-9;-~]{1,200}):(.*)", re.DOTALL)  # RFC 5322 2.2
# RFC 2047 section 2; white space between adjacent encoded words is dropped (section 6.2).
_ENCODED_WORD = re.compile(r"=\?([!-)+->@-~]{1,40})(?:\*[!->@-~]{0,40})?\?([bBqQ])\?([^?\s]{0,2000})\?=")
_SLOW_CODECS = frozenset({"idna", "punycode"})
_CODECS = frozenset({*aliases, *aliases.values()}) - _SLOW_CODECS


@dataclass(frozen=True, slots=True)
class Part:
    """A leaf of the mail's MIME tree. `text` is None if the part is only listed, not shown."""

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
    """A mail in the list: the envelope's recipients and the main headers."""

    sender: str
    recipients: tuple[str, ...]
    subject: str
    date: str


@dataclass(frozen=True, slots=True)
class Mail:
    summary: Summary
    headers: tuple[tuple[str, str], ...]
    parts: tuple[Part, ...]  # none if the mail cannot be parsed
    source: str


def summarize(head: bytes) -> Summary:
    """Summarize a mail from its first bytes, which must include its headers."""
    return _summary(_read_head(_split(head)[0]))


def take_apart(raw: bytes) -> Mail:
    headers = _read_head(_split(raw)[0])
    leaves = itertools.islice(_leaves(raw, "", 0), MOST_PARTS)
    return Mail(
        summary=_summary(headers),
        headers=tuple((name, _readable(value)) for name, value in headers[:MOST_HEADERS]),
        parts=tuple(_part(number, *leaf) for number, leaf in enumerate(leaves)),
        source=plain_text(raw[:MOST_CHARACTERS].decode("utf-8", "replace")),
    )


def _summary(headers: list[tuple[str, str]]) -> Summary:
    values: dict[str, list[str]] = {}
    for name, value in headers:
        values.setdefault(name.lower(), []).append(value)

    def first(*names: str) -> str:
        return next((_readable(values[name][0]) for name in names if name in values), "")

    recipients = values.get("x-envelope-to", [])[:MOST_HEADERS]
    return Summary(
        sender=first("from", "return-path"),
        recipients=tuple(plain_field(address).strip("<>") for address in recipients),
        subject=first("subject"),
        date=first("date"),
    )


def _split(raw: bytes) -> tuple[bytes, bytes]:
    """Split a mail or part into head and body, without the empty line between them (RFC 5322 section 2.1)."""
    if raw.startswith((b"\n", b"\r\n")):
        return b"", raw.partition(b"\n")[2]
    ends = [(raw.find(end), end) for end in (b"\n\r\n", b"\n\n") if end in raw]
    place, end = min(ends, default=(len(raw), b""))
    return raw[: min(place, _LONGEST_HEAD)], raw[place + len(end) :]


def _read_head(head: bytes) -> list[tuple[str, str]]:
    """Header names and raw values, unfolded (RFC 5322 section 2.2.3) and cut; other lines are left out."""
    headers: list[tuple[str, list[bytes]]] = []
    for line in _LINE_END.split(head[:_LONGEST_HEAD], _MOST_LINES)[:_MOST_LINES]:
        if line.startswith((b" ", b"\t")):
            if headers:
                headers[-1][1].append(line)
        elif found := _HEADER.fullmatch(line):
            headers.append((found[1].decode("ascii"), [found[2]]))
    return [(name, _cut(b"".join(lines).strip(b" \t").decode("utf-8", "replace"))) for name, lines in headers]


def _cut(value: str) -> str:
    return value if len(value) <= _LONGEST_VALUE else f"{value[:_LONGEST_VALUE]}…"


def _readable(value: str) -> str:
    """The value with its encoded words decoded (RFC 2047)."""
    pieces: list[str] = []
    end = 0
    for word in _ENCODED_WORD.finditer(value):
        between = value[end : word.start()]
        if not end or not between.isspace():
            pieces.append(between)
        pieces.append(_decode_word(*word.groups()))
        end = word.end()
    return plain_field("".join([*pieces, value[end:]]))


def _decode_word(charset: str, encoding: str, text: str) -> str:
    data = text.encode("utf-8")
    is_base64 = encoding in "bB"
    return _text(_decode_base64(data) if is_base64 else quopri.decodestring(data, header=True), charset)


def _text(data: bytes, charset: str) -> str:
    """Decode the data, as UTF-8 if the charset is unknown: a mail must not make Python search for a codec."""
    name = encodings.normalize_encoding(charset[:40]).lower()
    with suppress(ValueError, LookupError):  # a Python codec that does not decode to text
        return data.decode(name if name in _CODECS else "utf-8", "replace")
    return data.decode("utf-8", "replace")


def _leaves(raw: bytes, usual_type: str, depth: int) -> Iterator[tuple[Message, bytes]]:
    """Yield head and body of each leaf part, in order (RFC 2046 section 5.1)."""
    lines, body = _split(raw)
    head = Message()
    for name, value in _read_head(lines):
        if name.lower().startswith("content-") and name not in head:
            head[name] = value
    if "Content-Type" not in head and usual_type:
        head["Content-Type"] = usual_type
    kind = head.get_content_type()
    if depth < MOST_DEPTH and kind == "message/rfc822":
        yield from _leaves(body, "", depth + 1)
    elif depth < MOST_DEPTH and kind.startswith("multipart/") and (boundary := head.get_boundary()):
        usual_type = "message/rfc822" if kind == "multipart/digest" else ""
        for part in _between(body, b"--" + boundary.encode("utf-8", "replace")):
            yield from _leaves(part, usual_type, depth + 1)
    else:
        yield head, body


def _between(body: bytes, delimiter: bytes) -> Iterator[bytes]:
    """Yield the parts between delimiter lines, up to the closing delimiter (RFC 2046 section 5.1.1)."""
    begin = None
    place = 0 if body.startswith(delimiter) else body.find(b"\n" + delimiter) + 1
    while body.startswith(delimiter, place):
        after = place + len(delimiter)
        line_end = body.find(b"\n", after)
        rest = body[after : min(after + 100, line_end if line_end >= 0 else len(body))].rstrip()
        if rest in (b"", b"--"):
            if begin is not None:
                yield body[begin:place].removesuffix(b"\n").removesuffix(b"\r")
            if rest or line_end < 0:
                return
            begin = line_end + 1
        place = body.find(b"\n" + delimiter, after - 1 if line_end < 0 else line_end) + 1
        if not place:
            break
    if begin is not None:  # there is no closing delimiter
        yield body[begin:]


def _part(number: int, head: Message, body: bytes) -> Part:
    kind = head.get_content_type()
    encoding = str(head.get("Content-Transfer-Encoding", "")).strip().lower()
    if encoding == "base64":
        body = _decode_base64(body)
    elif encoding == "quoted-printable":
        body = quopri.decodestring(body)
    is_shown = kind in ("text/plain", "text/html") and head.get_content_disposition() != "attachment"
    charset = head.get_param("charset", "utf-8")
    return Part(
        number=number,
        type=plain_field(kind),
        name=_readable(head.get_filename("")),
        content=body,
        text=plain_text(_text(body[:MOST_CHARACTERS], collapse_rfc2231_value(charset))) if is_shown else None,
        is_cut=is_shown and len(body) > MOST_CHARACTERS,
    )


def _decode_base64(data: bytes) -> bytes:
    """Decode as far as possible; characters outside the alphabet are ignored (RFC 2045 section 6.8)."""
    for padding in (b"", b"=", b"=="):
        with suppress(binascii.Error):
            return binascii.a2b_base64(data + padding)
    return data
