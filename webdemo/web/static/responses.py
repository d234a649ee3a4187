"""The responses of StaticFiles other than a small file: ranges, large files, errors."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from webdemo.web.static.conditions import range_applies
from webdemo.web.static.file_body import BLOCK_BYTES, FileBody, FilePart
from webdemo.web.static.ranges import Span, parse_ranges
from webdemo.web.static.representations import Content, Representation, StoredFile

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

HTML = "text/html; charset=utf-8"
_NO_SNIFFING = ("X-Content-Type-Options", "nosniff")


def spans_asked(environ: WSGIEnvironment, file: StoredFile, chosen: Representation) -> list[Span] | None:
    """The spans to send (none: 416), or None to send the whole: RFC 9110 sections 13.1.5 and 14.2."""
    if "HTTP_RANGE" not in environ:
        return None
    if_range = environ.get("HTTP_IF_RANGE")
    if if_range is not None:
        modified = None if file.codings else file.modified  # a date does not tell the codings apart
        if not range_applies(if_range, chosen.etag, modified, time.time()):
            return None
    return parse_ranges(environ["HTTP_RANGE"], chosen.content.size)


def send(
    environ: WSGIEnvironment, start_response: StartResponse, chosen: Representation, spans: list[Span] | None
) -> Iterable[bytes]:
    """Send a representation or spans of it. Raises OSError before anything is sent if the file changed."""
    size = chosen.content.size
    if spans is None:
        body = _body(environ, chosen.content, [Span(0, size)])
        start_response("200 OK", list(chosen.headers))
        return body
    headers = dict(chosen.headers)
    pieces: list[bytes | Span]
    if not spans:
        unsatisfied = ("Content-Range", f"bytes */{size}")
        return refuse(start_response, "GET", "416 Range Not Satisfiable", unsatisfied)
    if len(spans) == 1:
        pieces = [*spans]
        headers["Content-Range"] = _content_range(spans[0], size)
    else:
        boundary = secrets.token_hex(16)
        pieces = _multipart(spans, size, chosen.media_type, boundary)
        headers["Content-Type"] = f"multipart/byteranges; boundary={boundary}"
    headers["Content-Length"] = str(
        sum(len(piece) if isinstance(piece, bytes) else piece.end - piece.start for piece in pieces)
    )
    body = _body(environ, chosen.content, pieces)
    start_response("206 Partial Content", list(headers.items()))
    return body


def refuse(
    start_response: StartResponse, method: str, status: str, *headers: tuple[str, str]
) -> Iterable[bytes]:
    """A response with its status line as plain text."""
    return respond(
        start_response, method, status, "text/plain; charset=utf-8", f"{status}\n".encode(), *headers
    )


def respond(
    start_response: StartResponse,
    method: str,
    status: str,
    content_type: str,
    body: bytes,
    *headers: tuple[str, str],
) -> Iterable[bytes]:
    """A response with this body, which HEAD does not get."""
    common = ("Content-Type", content_type), ("Content-Length", str(len(body))), _NO_SNIFFING
    start_response(status, [*common, *headers])
    return [] if method == "HEAD" else [body]


def _body(environ: WSGIEnvironment, content: Content, pieces: list[bytes | Span]) -> Iterable[bytes]:
    kept = content.body
    if kept is not None:
        return [piece if isinstance(piece, bytes) else kept[piece.start : piece.end] for piece in pieces]
    part = FilePart(content.open(), content.signature, Span(0, content.size))
    wrapper = environ.get("wsgi.file_wrapper")
    match pieces:
        case [Span() as span] if wrapper is not None:
            part.select(span)
            wrapped: Iterable[bytes] = wrapper(part, BLOCK_BYTES)
            return wrapped
    return FileBody(part, pieces)


def _content_range(span: Span, size: int) -> str:
    return f"bytes {span.start}-{span.end - 1}/{size}"


def _multipart(spans: list[Span], size: int, media_type: str, boundary: str) -> list[bytes | Span]:
    """A multipart/byteranges body: RFC 9110 section 14.6."""
    pieces: list[bytes | Span] = []
    for span in spans:
        head = (
            f"\r\n--{boundary}\r\nContent-Type: {media_type}\r\n"
            f"Content-Range: {_content_range(span, size)}\r\n\r\n"
        )
        pieces += [head.encode("latin-1"), span]
    return [*pieces, f"\r\n--{boundary}--\r\n".encode()]
