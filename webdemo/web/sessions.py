"""Sessions in a signed cookie (itsdangerous): readable by the client, but not changed by it.

One key is for all servers, workers and hosts, and stays the same when the app is reloaded.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from itsdangerous import BadSignature, URLSafeTimedSerializer

from webdemo.errors import UsageError
from webdemo.web.request import Request, Session
from webdemo.web.response import Response

COOKIE = "session"
MAX_AGE_SECONDS = 31 * 24 * 3600
_KEY_CHARACTERS = 16


class Sessions:
    """Opens a request's session when it is first used, and saves it if it has changed."""

    def __init__(self, secret_key: str | Iterable[str]) -> None:
        keys = [secret_key] if isinstance(secret_key, str) else [*secret_key]
        if not keys or min(map(len, keys)) < _KEY_CHARACTERS:
            raise UsageError(
                f"A secret key has fewer than {_KEY_CHARACTERS} characters.",
                remedy="Make one: python -c 'import secrets; print(secrets.token_hex())'",
            )
        self._serializer = URLSafeTimedSerializer(keys, salt="webdemo.session")

    def open(self, request: Request) -> Session:
        try:
            kept = self._serializer.loads(request.cookies.get(COOKIE, ""), max_age=MAX_AGE_SECONDS)
        except BadSignature:  # none, changed, expired, or signed with another key
            kept = {}
        return Session(kept if isinstance(kept, dict) else {})

    def save(self, request: Request, response: Response) -> None:
        session = request.__dict__.get("session")
        if session is None:  # not used
            return
        response.vary.add("Cookie")
        if json.dumps(session) == json.dumps(self.open(request)):
            return
        is_secure = request.scheme == "https"
        if not session:
            response.delete_cookie(COOKIE, secure=is_secure, httponly=True, samesite="Lax")
            return
        value = self._serializer.dumps(session)
        response.set_cookie(
            COOKIE,
            value if isinstance(value, str) else value.decode(),
            max_age=MAX_AGE_SECONDS,
            secure=is_secure,
            httponly=True,
            samesite="Lax",
        )
