"""Calls a WSGI app as a server does, with wsgiref's validator between the two."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes
from wsgiref.types import WSGIApplication
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def __getitem__(self, name: str) -> str:
        return self.headers[name.lower()]

    def get(self, name: str) -> str | None:
        return self.headers.get(name.lower())


def environ(target: str, method: str = "GET", *, script_name: str = "", **headers: str) -> dict[str, Any]:
    """An environ for a request target; `if_none_match="x"` is a header."""
    path, _, query = target.partition("?")
    made: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": script_name,
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.input": io.BytesIO(),
    }
    setup_testing_defaults(made)
    return made | {f"HTTP_{name.upper()}": value for name, value in headers.items()}


def begin(app: WSGIApplication, made: dict[str, Any]) -> tuple[int, dict[str, str], Iterable[bytes]]:
    """Call the app; returns status, headers and the body, which the caller reads and closes."""
    started: list[tuple[int, dict[str, str]]] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        names = [name.lower() for name, _ in headers]
        assert len(set(names)) == len(names), f"a header twice: {headers}"
        started.append((int(status[:3]), dict(zip(names, (value for _, value in headers), strict=True))))
        return lambda data: None

    body = app(made, start_response)
    return *started[0], body


def finish(body: Iterable[bytes]) -> bytes:
    try:
        return b"".join(body)
    finally:
        close = getattr(body, "close", None)
        if close is not None:
            close()


def call_unchecked(app: WSGIApplication, made: dict[str, Any]) -> Answer:
    """Call the app with an environ that the validator would refuse."""
    status, headers, body = begin(app, made)
    return Answer(status, headers, finish(body))


def call(
    app: WSGIApplication, target: str, method: str = "GET", *, script_name: str = "", **headers: str
) -> Answer:
    """The response to a request; the announced length must be the length sent."""
    made = environ(target, method, script_name=script_name, **headers)
    answer = call_unchecked(validator(app), made)
    if method != "HEAD" and answer.status not in (204, 304):
        assert int(answer["Content-Length"]) == len(answer.body)
    else:
        assert answer.body == b""
    return answer
