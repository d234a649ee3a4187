"""Untrusted text made safe to print: one policy for every log and terminal."""

from __future__ import annotations

import re

# Control characters, line separators, bidirectional and invisible formatting characters, lone surrogates.
# Not the joiners that Persian and emoji need, nor the spaces of French.
_UNSAFE = re.compile(
    "[\x00-\x08\x0a-\x1f\x7f-\x9f\xad\u0600-\u0605\u061c\u06dd\u070f\u180e\u200b\u200e\u200f\u2028-\u202e"
    "\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f\ud800-\udfff]"
)


def printable(text: str) -> str:
    """The text on one line; characters that could control a terminal or mislead a reader are escaped."""
    if text.isprintable():
        return text
    return _UNSAFE.sub(lambda m: m[0].encode("unicode_escape").decode(), text)
