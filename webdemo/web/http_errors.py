"""An HTTP error as HTML or JSON, as the client's Accept header prefers (RFC 9110 12.5.1).

HTML is the answer to browsers and to clients that do not say; JSON (members of RFC 9457) to
clients that prefer application/json.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from markupsafe import escape
from werkzeug.datastructures import MIMEAccept
from werkzeug.exceptions import HTTPException
from werkzeug.http import parse_accept_header

from webdemo.web.response import Response, dump_json

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


def error_response(error: HTTPException, environ: WSGIEnvironment) -> Response:
    """The standard answer to an error, with the headers that belong to it (Allow, Retry-After ...)."""
    headers = [header for header in error.get_headers(environ) if header[0] != "Content-Type"]
    headers.append(("Vary", "Accept"))
    code = error.code or 500
    if prefers_json(environ.get("HTTP_ACCEPT", "")):
        body = dump_json({"status": code, "title": error.name, "detail": error.description or ""})
        return Response(body, code, headers, mimetype="application/json")
    return Response(_page(code, error.name, error.description or ""), code, headers)


@lru_cache(maxsize=128)
def prefers_json(accept: str) -> bool:
    """Whether a client with this Accept header wants JSON rather than HTML."""
    offered = ("text/html", "application/json")
    return parse_accept_header(accept, MIMEAccept).best_match(offered) == "application/json"


def _page(code: int, title: str, detail: str) -> str:
    return (
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{code} {escape(title)}</title>\n<h1>{escape(title)}</h1>\n<p>{escape(detail)}</p>\n"
    )
