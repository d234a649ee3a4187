"""`--live-reload`: pages reload by themselves. Runs in the server processes.

A script is added at the end of each HTML page that a browser navigates to. A few times a second, while the
page is visible, it asks this middleware which version of the site there is. The answer is in shared memory,
so no thread is held, and the request is neither logged nor counted.

The rule: a response is changed only if it is certain that it is a page and that the script can be added;
every other response passes byte for byte, and no response is held back.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from werkzeug.wsgi import ClosingIterator

from webdemo import assets
from webdemo.middleware.plain_response import respond
from webdemo.web import freshness
from webdemo.web.visitor import is_at_this_machine

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from webdemo.stats.board import Board

STATE_PATH = "/.webdemo-live"
SCRIPT_PATH = "/.webdemo-live.js"

Headers = list[tuple[str, str]]

_POLICIES = ("content-security-policy", "content-security-policy-report-only")
# A response with one of these is not changed: its body is encoded, a part, a download, or signed.
_UNCHANGED = frozenset(
    {"content-disposition", "content-digest", "content-encoding", "content-md5", "content-range", "digest"}
    | {"refresh", "repr-digest", "signature", "signature-input", "transfer-encoding"}
)
# Only in these encodings is the element's text what its bytes are.
_PAGE = re.compile(
    r"text/html(?:\s*;\s*charset=\"?(?:utf-?8|us-ascii|iso-8859-\d+|windows-125\d|latin-?1)\"?)?", re.I
)
_SOURCE = re.compile(r"'(?:nonce|sha(?:256|384|512))-[^']+'|'strict-dynamic'", re.I)
_NONCE = re.compile(r"'nonce-([A-Za-z0-9+/_=-]+)'", re.I)


def live(app: WSGIApplication, board: Board, release: str) -> WSGIApplication:
    """WSGI middleware that adds the script to pages, and answers it from the board.

    `release`: of the code that makes the pages; the board has that of the code that serves next.
    """
    freshness.reuse_seconds = 0.0
    files = 0  # whose number the templates in memory have

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO")
        if path == STATE_PATH:
            return _state(environ, start_response, board)
        if path == SCRIPT_PATH:
            script = (assets.STATIC / "live-reload.js").read_bytes()
            return respond(environ, start_response, "200 OK", script, content_type="text/javascript")
        if not _may_be_navigation(environ):
            return app(environ, start_response)
        nonlocal files
        state = json.loads(board.read())
        if state["files"] != files:
            files = state["files"]
            _forget_templates()
        # Neither compressed nor "not modified": what the browser has kept may lack the script.
        for key in ("HTTP_ACCEPT_ENCODING", "HTTP_IF_NONE_MATCH", "HTTP_IF_MODIFIED_SINCE"):
            environ.pop(key, None)
        page = _Page(start_response, f"{release} {files}")
        return page.with_script(app(environ, page.start))

    return answer


def _forget_templates() -> None:
    """Make Django read its templates again; others look by themselves."""
    autoreload = sys.modules.get("django.template.autoreload")
    if autoreload is not None:
        autoreload.reset_loaders()


def _state(environ: WSGIEnvironment, start_response: StartResponse, board: Board) -> Iterable[bytes]:
    state = board.read()
    if not is_at_this_machine(environ):  # an error may quote source code
        state = json.dumps(json.loads(state) | {"error": None}).encode()
    return respond(environ, start_response, "200 OK", state, content_type="application/json")


def _may_be_navigation(environ: WSGIEnvironment) -> bool:
    """Whether a browser will show the response as a page, unlike a fragment that a script asks for.

    Browsers say so in Sec-Fetch-Dest; to an address that is not secure they send only Accept.
    """
    if environ.get("REQUEST_METHOD") != "GET" or "HTTP_RANGE" in environ:
        return False
    destination = environ.get("HTTP_SEC_FETCH_DEST")
    if destination is not None:
        return destination in ("document", "iframe")
    by_script = "HTTP_X_REQUESTED_WITH" in environ or "HTTP_HX_REQUEST" in environ
    return not by_script and environ.get("HTTP_ACCEPT", "").startswith("text/html,")


class _Page:
    """The response to one navigation; `tag` is the script's element if the response gets it."""

    def __init__(self, start_response: StartResponse, version: str) -> None:
        self._start_response = start_response
        self._version = version
        self.tag = b""

    def start(self, status: str, headers: Headers, exc_info: Any = None) -> Callable[[bytes], object]:
        self.tag, headers = self._tagged(status, headers)
        if exc_info:
            return self._start_response(status, headers, exc_info)
        return self._start_response(status, headers)

    def _tagged(self, status: str, headers: Headers) -> tuple[bytes, Headers]:
        found = {name.lower(): value for name, value in headers}
        if (
            not status.startswith(("2", "4", "5"))
            or status[:3] in ("204", "205", "206")
            or not _PAGE.fullmatch(found.get("content-type", "").strip())
            or not _UNCHANGED.isdisjoint(found)
            or not found.get("content-length", "0").isdecimal()
        ):
            return b"", headers
        present = _NONCE.search(" ".join(value for name, value in headers if name.lower() in _POLICIES))
        nonce = present[1] if present else os.urandom(9).hex()
        attributes = f'src="{SCRIPT_PATH}" data-version="{self._version}" nonce="{nonce}"'
        tag = f"<script {attributes} async></script>\n".encode()
        changed: Headers = []
        for name, value in headers:
            lower = name.lower()
            if lower in _POLICIES:
                allowed = allow(value, nonce)
                if allowed is None:
                    return b"", headers
                value = allowed
            elif lower == "content-length":
                value = str(int(value) + len(tag))
            if lower != "etag":  # it would not be this body's
                changed.append((name, value))
        return tag, changed

    def with_script(self, body: Iterable[bytes]) -> Iterable[bytes]:
        close = getattr(body, "close", None)
        if not isinstance(body, (list, tuple)):
            return ClosingIterator(self._chunks(body), close)
        if not self.tag:
            return body
        listed = _ListBody([b"".join([*body, self.tag])])
        listed.close = close or (lambda: None)
        return listed

    def _chunks(self, body: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in body:  # noqa: UP028  # `yield from` would close the body a second time
            yield chunk
        if self.tag:
            yield self.tag


class _ListBody(list[bytes]):
    close: Callable[[], None]


def allow(policy: str, nonce: str) -> str | None:
    """The policy (one or several, separated by commas) with what the script needs.

    That is: the one script with this nonce, and requests to the page's own origin. None if that would change
    what the page's own scripts may do, as with 'unsafe-inline', or if the page may have none (sandbox).
    """
    changed = []
    for part in policy.split(","):
        by_name: dict[str, list[str]] = {}
        for words in (text.split() for text in part.split(";")):
            if words:
                by_name.setdefault(words[0].lower(), words)  # of a repeated directive, the first counts
        if "sandbox" in by_name and "allow-scripts" not in by_name["sandbox"]:
            return None
        script = by_name.get("script-src-elem") or by_name.get("script-src") or by_name.get("default-src")
        if script is not None:
            if "'unsafe-inline'" in script and not _SOURCE.search(" ".join(script)):
                if "'self'" not in script and "*" not in script:
                    return None  # a nonce would switch 'unsafe-inline' off
            elif f"'nonce-{nonce}'" not in script:
                name = script[0] if script[0].lower() != "default-src" else "script-src"
                by_name[name.lower()] = [name, *_sources(script), f"'nonce-{nonce}'"]
        connect = by_name.get("connect-src") or by_name.get("default-src")
        if connect is not None and "'self'" not in connect and "*" not in connect:
            by_name["connect-src"] = ["connect-src", *_sources(connect), "'self'"]
        changed.append("; ".join(" ".join(words) for words in by_name.values()))
    return ", ".join(changed)


def _sources(directive: list[str]) -> list[str]:
    return [source for source in directive[1:] if source.lower() != "'none'"]
