"""Short responses of the middleware itself. Runs in the server processes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

TEXT = "text/plain; charset=utf-8"


def respond(
    environ: WSGIEnvironment,
    start_response: StartResponse,
    status: str,
    body: bytes,
    *,
    content_type: str = TEXT,
    header: tuple[str, str] = ("Cache-Control", "no-store"),
) -> Iterable[bytes]:
    """Answer with this body, without it to HEAD; `header` is one more header."""
    start_response(status, [("Content-Type", content_type), ("Content-Length", str(len(body))), header])
    return [body] if environ.get("REQUEST_METHOD") != "HEAD" else [b""]
