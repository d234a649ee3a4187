"""Marks exported files, so that one that was edited by hand is never overwritten unasked."""

from __future__ import annotations

import hashlib
import re

_MARK = re.compile(r"# Written by webdemo export; checksum ([0-9a-f]{16})\n")


def marked(text: str) -> str:
    return f"# Written by webdemo export; checksum {_checksum(text)}\n{text}"


def is_untouched(text: str) -> bool:
    """Whether the text is as it was exported."""
    mark = _MARK.match(text)
    return mark is not None and mark[1] == _checksum(text[mark.end() :])


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
