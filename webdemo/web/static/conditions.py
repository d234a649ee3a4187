"""Conditional requests: RFC 9110 section 13, in the order of section 13.2.2.

A field whose text does not follow its grammar counts as absent, but an If-Match that names no
entity tag still asks for one, and fails.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import formatdate, mktime_tz, parsedate_tz
from typing import Any

_TAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')


def http_date(seconds: float) -> str:
    """An IMF-fixdate (section 5.6.7) for seconds since the epoch."""
    return formatdate(seconds, usegmt=True)


def parse_date(text: str) -> int | None:
    """Seconds since the epoch of an HTTP date in any of the three forms, or None if it is none."""
    try:
        parts = parsedate_tz(text)
        return None if parts is None else int(mktime_tz(parts))
    except (ValueError, OverflowError, IndexError, TypeError):
        return None


def status_by_conditions(environ: Mapping[str, Any], etag: str, modified: int) -> int | None:
    """304 or 412 if the request's conditions ask for it, None if it is to be answered as usual.

    For GET and HEAD on a representation that exists, has the strong entity tag `etag`, and was
    last modified at `modified` (whole seconds since the epoch).
    """
    if "HTTP_IF_MATCH" in environ:
        if_match = environ["HTTP_IF_MATCH"]
        if if_match.strip() != "*" and etag not in _TAG.findall(if_match):
            return 412
    elif "HTTP_IF_UNMODIFIED_SINCE" in environ:
        limit = parse_date(environ["HTTP_IF_UNMODIFIED_SINCE"])
        if limit is not None and modified > limit:
            return 412
    if "HTTP_IF_NONE_MATCH" in environ:
        if_none_match = environ["HTTP_IF_NONE_MATCH"]
        if if_none_match == etag or if_none_match.strip() == "*":
            return 304
        tags = (tag.removeprefix("W/") for tag in _TAG.findall(if_none_match))
        return 304 if etag in tags else None
    if "HTTP_IF_MODIFIED_SINCE" not in environ:
        return None
    since = parse_date(environ["HTTP_IF_MODIFIED_SINCE"])
    return 304 if since is not None and modified <= since else None


def range_applies(if_range: str, etag: str, modified: int | None, now: float) -> bool:
    """Whether If-Range (section 13.1.5) lets a Range be served.

    A date is a strong validator only if the file had rested for a second when it was sent (section
    8.8.2.2). `modified` is None where a date is never one.
    """
    text = if_range.strip()
    if '"' in text:
        return text == etag
    return modified is not None and parse_date(text) == modified and now - modified > 1
