"""A request's header fields, the same for the app on every server.

WSGI spells `X-Forwarded-Host` and `X_Forwarded_Host` alike, so a proxy that removes the one would let the
other pass: names with an underscore are dropped, as nginx does. A field that is repeated reaches the app
once and whole: a list joined (RFC 9110 section 5.3), cookies as RFC 6265 section 5.4 writes them. Where only
one value has a meaning, servers would choose different ones, so the request is refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from email.message import Message

# Those on which routing, framing or access depends.
SINGLE = frozenset(
    {"authorization", "content-length", "content-type", "host", "proxy-authorization", "transfer-encoding"}
)
# RFC 9110 section 5.6.2.
TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")

Fields = Sequence[tuple[str, str]]


class BadFields(ValueError):
    """The request must be answered with 400."""


def unify(fields: Fields) -> Fields:
    """The fields with each name once, none with an underscore; the same object if nothing changes.

    Raises BadFields where a field of a single value is repeated.
    """
    if not fields:
        return fields
    joined = " ".join([name for name, _ in fields]).lower()  # a name holds no space
    names = joined.split(" ")
    if len(set(names)) == len(fields) and "_" not in joined:
        return fields
    unified: dict[str, tuple[str, str]] = {}
    for key, (name, value) in zip(names, fields, strict=True):
        if "_" in key:
            continue
        if key in unified:
            if key in SINGLE:
                raise BadFields(f"{name} must not be repeated.")
            name, before = unified[key]
            value = f"{before}{'; ' if key == 'cookie' else ', '}{value}"
        unified[key] = (name, value)
    return list(unified.values())


def unify_message(headers: Message) -> None:
    """The same for what the standard library parsed, in place; it stops at a line that is no field."""
    if headers.defects or headers.get_payload():
        raise BadFields("A header line is malformed.")
    fields = headers.items()
    unified = unify(fields)
    if unified is not fields:
        for name in headers.keys():  # noqa: SIM118  # a Message yields no keys by itself
            del headers[name]
        for name, value in unified:
            headers[name] = value
