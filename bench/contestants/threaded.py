"""Not a contestant: the views for the measurements of threads."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_DATA = bytes(1 << 20)
WAIT_SECONDS = 0.005


def pages() -> WSGIApplication:
    return _answer


def _answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    if path == "/wait":
        time.sleep(WAIT_SECONDS)
    elif path == "/hash":
        hashlib.sha256(_DATA)
    body = b"%d\n" % os.getpid() if path == "/process" else b"hello\n"
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
