"""Conditional requests: RFC 9110 section 13, evaluated in the order of section 13.2.2.

A malformed date is ignored. Of a list of entity tags only the well-formed ones count, so that If-Match
without any fails.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import formatdate, parsedate_tz
from typing import Any

PRECONDITIONS = (
    "HTTP_IF_NONE_MATCH",
    "HTTP_IF_MODIFIED_SINCE",
    "HTTP_IF_MATCH",
    "HTTP_IF_UNMODIFIED_SINCE",
)
"""The environ keys that `status_by_conditions` looks at."""

_TAG = re.compile(r'(?:^|,)[ \t]*((?:W/)?"[\x21\x23-\x7e\x80-\xff]*")[ \t]*(?=,|$)')
# Section 5.6.7: an IMF-fixdate, and the two older forms.
_DATE = re.compile(
    r"[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9:]{8} GMT"
    r"|[A-Z][a-z]{5,8}, [0-9]{2}-[A-Z][a-z]{2}-[0-9]{2} [0-9:]{8} GMT"
    r"|[A-Z][a-z]{2} [A-Z][a-z]{2} [0-9 ][0-9] [0-9:]{8} [0-9]{4}"
)


def http_date(seconds: float) -> str:
    """An IMF-fixdate (section 5.6.7) for seconds since the epoch."""
    return formatdate(seconds, usegmt=True)


def parse_date(text: str) -> int | None:
    """An HTTP date in any of its three forms, as seconds since the epoch; None if it is malformed."""
    parts = parsedate_tz(text) if _DATE.fullmatch(text) else None
    if parts is None:
        return None
    try:
        return int(datetime(*parts[:6], tzinfo=UTC).timestamp())
    except ValueError:  # 31 February
        return None


def status_by_conditions(environ: Mapping[str, Any], etag: str, modified: int) -> int | None:
    """304 or 412 as the request's preconditions require, or None to process it normally.

    For GET and HEAD on an existing representation with the strong entity tag `etag`, last modified at
    `modified` (whole seconds since the epoch).
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
    """Whether If-Range (section 13.1.5) allows a partial response.

    A date is a strong validator only if the file has been unchanged for more than a second (section
    8.8.2.2). `modified` is None if a date is never a strong validator for the file.
    """
    text = if_range.strip()
    if '"' in text:
        return text == etag
    return modified is not None and parse_date(text) == modified and now - modified > 1
