"""A request as the server passed it to the app, with secrets masked and every size limited.

Clients on other machines are shown only what their request contained, not what the server added.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO
from urllib.parse import parse_qsl

from webdemo.web.masking import LONGEST_SHOWN, mask_pair, mask_text, mask_url, shown_environ
from webdemo.web.visitor import is_at_this_machine

# How much of a body is shown: as text, or in hexadecimal, which takes about five times the space.
TEXT_BYTES = 64 * 1024
HEX_BYTES = 4 * 1024
_BLOCK = 64 * 1024
_FORM = "application/x-www-form-urlencoded"
_HEX_COLUMNS = 16

# Control characters that do not occur in text.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f]")
_LONGEST_TEXT = 2000
_LONGEST_REPR = 400

_BROUGHT_BY_THE_REQUEST = re.compile(
    r"HTTP_.*|CONTENT_(LENGTH|TYPE)|REQUEST_(METHOD|URI)|RAW_URI|PATH_INFO|QUERY_STRING"
    r"|REMOTE_(ADDR|PORT)|SERVER_PROTOCOL|wsgi\.url_scheme"
)


@dataclass(frozen=True, slots=True)
class Body:
    """A request's body: its length in bytes, and the first `shown` bytes as text or in hexadecimal."""

    length: int
    text: str | None
    hex: str | None
    shown: int

    @property
    def cut(self) -> bool:
        return self.shown < self.length


@dataclass(frozen=True, slots=True)
class EnvironEntry:
    key: str
    type: str
    value: str


@dataclass(frozen=True, slots=True)
class Inspection:
    """A request as the server passed it to the app."""

    method: str
    path: str
    protocol: str
    query: tuple[tuple[str, str], ...]
    headers: tuple[tuple[str, str], ...]
    environ: tuple[EnvironEntry, ...]
    hidden_keys: int
    """The number of environ keys left out: the process's, unknown ones, and those not for this client."""
    body: Body


def inspect_request(environ: Mapping[str, Any], path: str, body: BinaryIO) -> Inspection:
    """Read the request. `path` is the decoded path, `body` a stream that ends where the body ends."""
    shown = shown_environ(environ)
    if not is_at_this_machine(environ):
        shown = {key: value for key, value in shown.items() if _BROUGHT_BY_THE_REQUEST.fullmatch(key)}
    return Inspection(
        method=environ["REQUEST_METHOD"],
        path=path,
        protocol=environ.get("SERVER_PROTOCOL", ""),
        query=tuple(_mask_pairs(environ.get("QUERY_STRING", ""))),
        headers=tuple(_headers(shown)),
        environ=tuple(EnvironEntry(key, type(value).__name__, _text(value)) for key, value in shown.items()),
        hidden_keys=len(environ) - len(shown),
        body=read_body(body, is_form=environ.get("CONTENT_TYPE", "").lower().startswith(_FORM)),
    )


def read_body(stream: BinaryIO, *, is_form: bool = False) -> Body:
    """Keep the beginning of a body, and read all of it: some servers reset a connection with unread data.

    Secrets are masked before the choice between text and hexadecimal, which would leave them legible.
    """
    kept = bytearray()
    length = 0
    while block := stream.read(_BLOCK):
        length += len(block)
        kept += block[: TEXT_BYTES - len(kept)]
    masked = (mask_url if is_form else mask_text)(kept.decode("utf-8", "surrogateescape"))
    data = masked.encode("utf-8", "surrogateescape")
    text = _decode(data, whole=length == len(kept))
    if text is not None:
        return Body(length, text, None, len(kept))
    return Body(length, None, dump(data[:HEX_BYTES]), min(len(kept), HEX_BYTES))


def dump(data: bytes | bytearray) -> str:
    """A hex dump: offset, bytes in hexadecimal and in ASCII, sixteen to a line."""
    lines = []
    for offset in range(0, len(data), _HEX_COLUMNS):
        row = data[offset : offset + _HEX_COLUMNS]
        ascii_text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        lines.append(f"{offset:06x}  {row.hex(' '):<{_HEX_COLUMNS * 3}} {ascii_text}")
    return "\n".join(lines)


def _decode(data: bytes, *, whole: bool) -> str | None:
    """The data as UTF-8 text, or None if it is not. Unless `whole`, its last character may be cut in two."""
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(data, final=whole)
    except UnicodeDecodeError:
        return None
    return None if _CONTROL.search(text) else text


def _mask_pairs(query: str) -> list[tuple[str, str]]:
    # WSGI strings carry bytes as Latin-1 (PEP 3333, "Unicode Issues"); the bytes are usually UTF-8.
    raw = query.encode("latin-1", "replace").decode("utf-8", "replace")
    if len(raw) > LONGEST_SHOWN:
        raw = raw[: max(0, raw.rfind("&", 0, LONGEST_SHOWN))]
    return [mask_pair(*pair) for pair in parse_qsl(raw, keep_blank_values=True, errors="replace")]


def _headers(shown: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The request's headers as the server passed them on; WSGI preserves neither order nor case."""
    headers = []
    for key, value in shown.items():
        if key.startswith("HTTP_"):
            headers.append((key.removeprefix("HTTP_").replace("_", "-").title(), _text(value)))
        elif key in ("CONTENT_TYPE", "CONTENT_LENGTH") and value:
            headers.append((key.replace("_", "-").title(), _text(value)))
    return sorted(headers)


def _text(value: Any) -> str:
    if isinstance(value, str) and value.isprintable() and len(value) <= _LONGEST_TEXT:
        return value
    try:
        text = repr(value)
    except Exception as exc:  # noqa: BLE001  the server may put any object there
        text = f"<{type(value).__name__}, whose repr raises {type(exc).__name__}>"
    # Mask before truncating: an object's repr may contain the request's URL, as Werkzeug's Request does.
    masked = text if isinstance(value, str) else mask_text(text)
    return masked if len(masked) <= _LONGEST_REPR else f"{masked[:_LONGEST_REPR]}…"
