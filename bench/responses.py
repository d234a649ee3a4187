"""The parts of a response that must be equal for two apps to have done equal work."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.cases import Case, environs

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

NO_CONTENT = ("204", "304")


@dataclass(frozen=True, slots=True)
class Response:
    status: str  # only the code
    content_type: str
    content_length: str
    body: bytes

    def differs_from(self, other: Response) -> str | None:
        """The first part that differs, in words; None if all are equal."""
        for name in ("status", "content_type", "content_length", "body"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs:
                return f"{name.replace('_', '-')} {mine!r:.60} instead of {theirs!r:.60}"
        return None


def respond(app: WSGIApplication, environ: WSGIEnvironment) -> tuple[Response, dict[str, str]]:
    """The response to one request, and its headers by lower-case name."""
    started: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        started.append((status, headers))

    body: Iterable[bytes] = app(environ, start_response)
    try:
        content = b"".join(body)
    finally:
        close = getattr(body, "close", None)
        if close is not None:
            close()
    status, raw = started[-1]
    headers = {name.lower(): value for name, value in raw}
    number = status.partition(" ")[0]
    if number in NO_CONTENT:  # headers about content that is not sent are optional
        return Response(number, "", "", content), headers
    return Response(
        number, headers.get("content-type", ""), headers.get("content-length", ""), content
    ), headers


def conditions(app: WSGIApplication, case: Case) -> dict[str, str]:
    """The headers with which a cache would revalidate the response; empty if the case is not conditional."""
    if not case.conditional:
        return {}
    _, headers = respond(app, environs(case, 1, {})[0])
    known = {"HTTP_IF_NONE_MATCH": "etag", "HTTP_IF_MODIFIED_SINCE": "last-modified"}
    return {condition: headers[name] for condition, name in known.items() if name in headers}
