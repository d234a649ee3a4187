"""HTTP errors as HTML or JSON, negotiated by the Accept header (RFC 9110 12.5.1).

HTML is the default; clients that prefer application/json get JSON with the members of RFC 9457.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from markupsafe import escape
from werkzeug.datastructures import MIMEAccept
from werkzeug.exceptions import HTTPException, NotFound
from werkzeug.http import parse_accept_header

from webdemo.web.response import Answer, dump_json, status_line, type_html, type_json

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


def answer_error(error: HTTPException, environ: WSGIEnvironment) -> Answer:
    """The standard response to an error, with the error's own headers (Allow, Retry-After ...)."""
    accept = environ.get("HTTP_ACCEPT", "")
    status, headers, body = _page(error.code or 500, error.description or "", accept)
    if type(error).get_headers is HTTPException.get_headers:
        return status, [*headers], [body]
    return (
        status,
        [*headers, *(own for own in error.get_headers(environ) if own[0] != "Content-Type")],
        [body],
    )


@lru_cache(maxsize=128)
def not_found(accept: str) -> tuple[str, tuple[tuple[str, str], ...], bytes]:
    """The standard 404 for an Accept header, cached: status, headers and body."""
    return _page(404, NotFound.description or "", accept)


def prefers_json(accept: str) -> bool:
    """Whether a client with this Accept header prefers JSON to HTML."""
    offered = ("text/html", "application/json")
    return parse_accept_header(accept, MIMEAccept).best_match(offered) == "application/json"


@lru_cache(maxsize=128)
def _page(code: int, detail: str, accept: str) -> tuple[str, tuple[tuple[str, str], ...], bytes]:
    status = status_line(code)
    title = status.partition(" ")[2]
    as_json = prefers_json(accept)
    if as_json:
        body = dump_json({"status": code, "title": title, "detail": detail})
    else:
        body = (
            '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width">\n'
            f"<title>{code} {escape(title)}</title>\n<h1>{escape(title)}</h1>\n<p>{escape(detail)}</p>\n"
        ).encode()
    content_type = type_json if as_json else type_html
    return status, (content_type, ("Content-Length", str(len(body))), ("Vary", "Accept")), body
