"""Who may look, and who may act.

Look: whoever is at this machine, by a loopback name (DNS rebinding is real). Act, read the logs or send
requests in twin mode: who has the run's key as well, in a header that only this origin's own script can
send. There is no cookie: browsers send those to every port of a host, whoever listens there (RFC 6265
section 8.5), so nothing that a page elsewhere does carries the key.
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
FOREIGN = "This was asked for by a page of another site. Nothing was done."
KEYLESS = "This needs the key of the run: open the dashboard by the URL that was printed at its start."
READ_ONLY = "This dashboard was started to be looked at only: --dashboard-read-only."


def has_key(environ: Mapping[str, Any], key: str) -> bool:
    return secrets.compare_digest(environ.get(_KEY, "").encode("latin-1", "replace"), key.encode())


def why_not(environ: Mapping[str, Any], key: str) -> str | None:
    """Why the request may set nothing in motion; None if it may."""
    if not is_from_this_site(environ):
        return FOREIGN
    return None if has_key(environ, key) else KEYLESS
