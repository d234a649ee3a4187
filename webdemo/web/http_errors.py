"""HTTP errors as HTML or JSON, negotiated by the Accept header (RFC 9110 12.5.1).

HTML is the default; clients that prefer application/json get JSON with the members of RFC 9457.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NoReturn

from markupsafe import escape
from werkzeug.exceptions import (
    BadRequestKeyError,
    HTTPException,
    InternalServerError,
    NotFound,
    default_exceptions,
)
from werkzeug.exceptions import abort as werkzeug_abort
from werkzeug.wrappers import Response as WerkzeugResponse

from webdemo.web.request import Request, parse_accept
from webdemo.web.response import (
    Answer,
    Pairs,
    answer,
    dump_json,
    parse_status,
    sendable,
    type_html,
    type_json,
)
from webdemo.web.routing import View

# Caches may keep some errors (RFC 9110 15.1), and during a rolling update the next host may have the page.
_do_not_reuse = ("Cache-Control", "no-cache")
_LONGEST_ACCEPT = 1000  # several times what browsers send; it is kept in a cache

Handler = Callable[[Request, Any], Any]


def abort(status: int | WerkzeugResponse, *args: Any, **kwargs: Any) -> NoReturn:
    """Raise the HTTPException of a status code, or one with a response: `abort(403, "Only for members")`.

    Raises LookupError for a code that is not an error's.
    """
    error = default_exceptions.get(status) if isinstance(status, int) else None
    if error is None:
        werkzeug_abort(status, *args, **kwargs)
    raise error(*args, **kwargs)


def answer_by_handler(handler: Handler, error: Exception, request: Request) -> Answer:
    """The response of an app's error handler, with the error's own headers where its status is sent."""
    code = (error.code or 500) if isinstance(error, HTTPException) else 500
    result = handler(request, error)
    if isinstance(result, HTTPException):
        return answer_error(result, request, handler)
    status, headers, body = answer(result, request, handler, code)
    if isinstance(error, HTTPException) and (own := _own_headers(error, request)):
        present = {name.lower() for name, _ in headers}
        if status.startswith(str(code)):
            headers += (pair for pair in own if pair[0].lower() not in present)
    return status, headers, body


def answer_error(error: Exception, request: Request, view: View) -> Answer:
    """The response of an error that makes its own, or else the standard one with the error's own headers."""
    if not isinstance(error, HTTPException):
        error = InternalServerError(original_exception=error)
    kind = type(error)
    if (
        error.response is not None
        or kind.get_response is not HTTPException.get_response
        or kind.get_body is not HTTPException.get_body
    ):
        return answer(error.get_response(request.environ), request, view)
    accept = request.environ.get("HTTP_ACCEPT", "")
    detail = error.description or ""
    if isinstance(error, BadRequestKeyError) and error.args:
        detail = f"The request has no {error.args[0]!r}."
    status, headers, body = _page(error.code or 500, detail, accept if len(accept) <= _LONGEST_ACCEPT else "")
    return status, [*headers, *_own_headers(error, request)], [body]


def _own_headers(error: HTTPException, request: Request) -> Pairs:
    """The headers that the error's status needs, such as Allow or Retry-After."""
    if type(error).get_headers is HTTPException.get_headers:
        return []
    headers = error.get_headers(request.environ)
    return sendable((pair for pair in headers if pair[0].lower() != "content-type"), error.code or 500, None)


def not_found(accept: str) -> tuple[str, tuple[tuple[str, str], ...], bytes]:
    """The standard 404 for an Accept header, cached: status, headers and body."""
    return _page(404, NotFound.description or "", accept if len(accept) <= _LONGEST_ACCEPT else "")


def prefers_json(accept: str) -> bool:
    """Whether a client with this Accept header prefers JSON to HTML; a very long one is not read."""
    offered = ("text/html", "application/json")
    return len(accept) <= _LONGEST_ACCEPT and parse_accept(accept).best_match(offered) == "application/json"


@lru_cache(maxsize=128)
def _page(code: int, detail: str, accept: str) -> tuple[str, tuple[tuple[str, str], ...], bytes]:
    status, _ = parse_status(code)
    title = status.partition(" ")[2]
    as_json = prefers_json(accept)
    if as_json:
        body = dump_json({"status": code, "title": title, "detail": detail})
    else:
        body = (
            '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            '<meta name="color-scheme" content="light dark">\n'  # needs no style, which a policy may forbid
            f"<title>{code} {escape(title)}</title>\n<h1>{escape(title)}</h1>\n<p>{escape(detail)}</p>\n"
        ).encode()
    content_type = type_json if as_json else type_html
    return status, (content_type, ("Content-Length", str(len(body))), ("Vary", "Accept"), _do_not_reuse), body
