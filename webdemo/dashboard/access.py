"""Who may view the dashboard, and who may act on it. Runs in the dashboard's process.

The rule. Viewing requires a client on this machine that uses a loopback name (against DNS rebinding).
Actions, logs and twin mode also require the run's key, in a header that only this origin's own scripts can
send. There is no cookie, because browsers send cookies to every port of a host (RFC 6265 section 8.5);
so no request made by another site carries the key.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from webdemo.web.visitor import is_from_this_site

_KEY = "HTTP_X_WEBDEMO_KEY"

ELSEWHERE = (
    "The dashboard is for this machine only. Open it here, at localhost or 127.0.0.1, and without a proxy."
)
FOREIGN = "This request came from a page of another site. Nothing was done."
KEYLESS = "This needs the key of the run: open the dashboard by the URL that was printed at its start."
READ_ONLY = "This dashboard is read-only: it was started with --dashboard-read-only."


def has_key(environ: Mapping[str, Any], key: str) -> bool:
    return secrets.compare_digest(environ.get(_KEY, "").encode("latin-1", "replace"), key.encode())


def why_not(environ: Mapping[str, Any], key: str) -> str | None:
    """Why the request may not act; None if it may."""
    if not is_from_this_site(environ):
        return FOREIGN
    return None if has_key(environ, key) else KEYLESS
