"""The headers of webdemo's own pages: nobody else may store, frame or script them."""

from __future__ import annotations

PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    # Not no-referrer: with it browsers send "Origin: null" with forms, and no form could be checked.
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
