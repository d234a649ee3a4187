"""Normalised header fields: the app sees the same on every server.

WSGI maps `X-Forwarded-Host` and `X_Forwarded_Host` to the same key, so a proxy that removes only the first
would let the second pass: names with an underscore are dropped, as in nginx. The lines of a repeated field
are joined: with commas (RFC 9110 section 5.3), Cookie with semicolons (RFC 6265 section 5.4). A repeated
field that allows only one value is refused, because servers would choose different ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from email.message import Message

# Fields with a single value, on which routing, framing or access depends.
SINGLE = frozenset(
    {"authorization", "content-length", "content-type", "host", "proxy-authorization", "transfer-encoding"}
)

Fields = Sequence[tuple[str, str]]


class BadFields(ValueError):
    """The request must be answered with 400."""


def unify(fields: Fields) -> Fields:
    """The fields with each name once and none with an underscore; the same object if nothing changes.

    Raises BadFields if a field with a single value is repeated.
    """
    if not fields:
        return fields
    joined = " ".join([name for name, _ in fields]).lower()  # names contain no space
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
    """Unify fields parsed by the standard library, in place. Raises BadFields, also for malformed lines."""
    if headers.defects or headers.get_payload():
        raise BadFields("A header line is malformed.")
    fields = headers.items()
    unified = unify(fields)
    if unified is not fields:
        for name in headers.keys():  # noqa: SIM118  # iterating a Message does not yield its keys
            del headers[name]
        for name, value in unified:
            headers[name] = value
