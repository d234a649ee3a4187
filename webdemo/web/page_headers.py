"""Security headers of webdemo's own pages: no caching, no framing, no foreign scripts."""

from __future__ import annotations

PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    # Not no-referrer: it makes browsers send "Origin: null" with forms, whose origin could not be checked.
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
