"""Header fields that mean one thing: the app sees the same on every server, or the request is refused.

WSGI maps `X-Forwarded-Host` and `X_Forwarded_Host` to the same key, so a proxy that removes only the first
would let the second pass: names with an underscore are dropped, as in nginx. The lines of a repeated field
are joined: with commas (RFC 9110 section 5.3), Cookie with semicolons (RFC 6265 section 5.4). A repeated
field that allows only one value is refused, because servers would choose different ones.
"""

from __future__ import annotations

from collections.abc import Sequence

from webdemo.syntax import is_host, is_length

# Fields with a single value, on which routing, framing or access depends.
SINGLE = frozenset(
    {"authorization", "content-length", "content-type", "host", "proxy-authorization", "transfer-encoding"}
)

Fields = Sequence[tuple[str, str]]


class Malformed(OSError, ValueError):
    """The request is malformed. An OSError, because an app's read of the body may raise it."""

    status = 400


def unify(version: str, fields: Fields) -> Fields:
    """The fields with each name once and none with an underscore; the same object if nothing changes.

    Raises Malformed if a field with a single value is repeated, or if Host or the fields that frame the body
    are not as RFC 9112 sections 3.2, 6.1 and 6.3 demand of this version: "1.0", "1.1" or "2".
    """
    values = {name.lower(): value for name, value in fields}
    if len(values) < len(fields) or "_" in "".join(values):
        fields = _joined(fields)
        values = {name.lower(): value for name, value in fields}
    if "host" in values:
        if not is_host(values["host"]):
            raise Malformed("Its Host is malformed.")
    elif version not in ("1.0", "2"):
        raise Malformed("It has no Host.")
    if "transfer-encoding" in values:
        if "content-length" in values:
            raise Malformed("It has both a Transfer-Encoding and a Content-Length.")
        if version == "1.0":
            raise Malformed("HTTP/1.0 has no Transfer-Encoding.")
        if values["transfer-encoding"].lower() != "chunked":
            raise Malformed("The only Transfer-Encoding here is chunked.")
    elif "content-length" in values and not is_length(values["content-length"]):
        raise Malformed("Its Content-Length is malformed.")
    return fields


def _joined(fields: Fields) -> Fields:
    by_key: dict[str, tuple[str, list[str]]] = {}
    for name, value in fields:
        if "_" not in name:
            by_key.setdefault(name.lower(), (name, []))[1].append(value)
    for key, (name, values) in by_key.items():
        if len(values) > 1 and key in SINGLE:
            raise Malformed(f"{name} must not be repeated.")
    return [
        (name, ("; " if key == "cookie" else ", ").join(values)) for key, (name, values) in by_key.items()
    ]
