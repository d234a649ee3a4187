"""What /inspect must not show: credentials, and the process's own environment variables.

The page repeats what the server was sent, to whoever asks: without masking, a script on this site could
read a HttpOnly cookie by fetching it, and a screenshot would carry a token. The environ is shown by a list
of what may be shown, because wsgiref (and servers that follow it) put every environment variable of the
process into it, passwords and all.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

MASK = "•••"

# What RFC 3875 section 4.1 and PEP 3333 name, and what servers add for the request itself.
_REQUEST_KEYS = re.compile(
    r"CONTENT_(LENGTH|TYPE)|(PATH|QUERY|SCRIPT|RAW|REQUEST|REMOTE|SERVER)_(INFO|TRANSLATED|STRING|NAME|URI|"
    r"METHOD|SCHEME|ADDR|HOST|PORT|IDENT|USER|PROTOCOL|SOFTWARE)|AUTH_TYPE|GATEWAY_INTERFACE|HTTPS|"
    r"(wsgi|webdemo|werkzeug|gunicorn|waitress|cheroot|gevent|hypercorn|granian|asgi|paste)\..*"
)
_CREDENTIAL_KEYS = frozenset({"HTTP_AUTHORIZATION", "HTTP_PROXY_AUTHORIZATION"})
_COOKIE_KEYS = frozenset({"HTTP_COOKIE", "HTTP_SET_COOKIE"})
# A word counts between - _ . or at the end of one of the longer names: api_key, X-Auth-Token, not "monkey".
_SECRET_NAME = re.compile(
    r"(?:^|[-_.])(?:auth|credential|csrf|key|pwd|session|session-?id|sid|sig|signature"
    r"|\w*(?:token|secret|password|passwd|passphrase|apikey))s?(?:$|[-_.])",
    re.IGNORECASE,
)
_PARAMETER = re.compile(r"([^?&;#=\s]+)=([^&;#\s]*)")
_USERINFO = re.compile(r"(?<=://)[^/@\s]+(?=@)")


def shown_environ(environ: Mapping[str, Any]) -> dict[str, Any]:
    """The keys that belong to the request or its server, sorted, secrets in text values masked."""
    return {
        key: mask(key, value) if isinstance(value, str) else value
        for key, value in sorted(environ.items())
        if _belongs_to_request(key, value)
    }


def mask(key: str, value: str) -> str:
    """The value of an environ key as it may be shown."""
    if not value:
        return value
    if key in _CREDENTIAL_KEYS:
        scheme, space, rest = value.partition(" ")
        return f"{scheme} {MASK}" if space and rest else MASK
    if key in _COOKIE_KEYS:
        return "; ".join(_mask_cookie(pair) for pair in value.split(";"))
    if key.startswith("HTTP_") and is_secret_name(key.removeprefix("HTTP_")):
        return MASK
    return mask_text(value)


def mask_text(text: str) -> str:
    """The text without the secrets in the URLs and queries that it holds."""
    return _USERINFO.sub(MASK, _PARAMETER.sub(_mask_parameter, text))


def is_secret_name(name: str) -> bool:
    """Whether a parameter or header of this name is likely to carry a secret."""
    return _SECRET_NAME.search(name) is not None


def _belongs_to_request(key: str, value: Any) -> bool:
    if _REQUEST_KEYS.fullmatch(key):
        return True
    # An environment variable may be called HTTP_PROXY as well; one with the same value is taken for it.
    return key.startswith("HTTP_") and os.environ.get(key) != value


def _mask_cookie(pair: str) -> str:
    name, equals, _ = pair.strip().partition("=")
    return f"{name}={MASK}" if equals else MASK


def _mask_parameter(match: re.Match[str]) -> str:
    name, value = match.groups()
    return f"{name}={MASK}" if value and is_secret_name(name) else match.group()
