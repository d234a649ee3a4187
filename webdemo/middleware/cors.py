"""Cross-origin reads of anything an app answers (the Fetch standard, CORS): for files that are public.

Credentials are never allowed, so that no page of another site reads what only a logged-in visitor may see.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_HEADERS = (("Access-Control-Allow-Origin", "*"), ("Access-Control-Expose-Headers", "*"))
_PREFLIGHT = (
    *_HEADERS,
    ("Access-Control-Allow-Methods", "GET, HEAD"),
    ("Access-Control-Allow-Headers", "*"),
    ("Access-Control-Max-Age", "7200"),
)


def readable_by_all(app: WSGIApplication) -> WSGIApplication:
    """WSGI middleware: pages of every origin may read every response, and preflight requests succeed."""

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "OPTIONS" and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ:
            start_response("204 No Content", [*_PREFLIGHT])
            return []

        def start(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Any:
            return start_response(status, [*headers, *_HEADERS], *exc_info)

        return app(environ, start)

    return answer
