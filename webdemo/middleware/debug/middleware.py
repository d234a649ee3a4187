"""Answers an exception of the app with a report of it. Runs in the server processes, with --debug only."""

from __future__ import annotations

import json
import os
import traceback
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from werkzeug.wsgi import ClosingIterator

from webdemo import assets
from webdemo.middleware import observe
from webdemo.middleware.debug.report import Report
from webdemo.middleware.debug.reported import Reported
from webdemo.standard_streams import write_log
from webdemo.web.masking import mask_url, shown_environ
from webdemo.web.visitor import is_at_this_machine

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_RAISE_ERRORS = "webdemo.raise_errors"  # read by webdemo.App, which would answer with 500 itself
STATUS = "500 Internal Server Error"


def debugged(app: WSGIApplication) -> WSGIApplication:
    """WSGI middleware: clients on this machine get a report instead of the server's 500.

    Others do not, whatever name they use in Host (DNS rebinding) or proxy they come through. So is a 500 that
    the app answers itself after an exception that it has reported, unless the answer names the exception, as
    Django's does with DEBUG, or a script in a page has asked for it, which knows how to read it.
    """

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if not is_at_this_machine(environ):
            return app(environ, start_response)
        environ[_RAISE_ERRORS] = True
        start = start_response if _is_of_script(environ) else _Start(environ, start_response)
        try:
            body = app(environ, start)
            if isinstance(start, _Start):
                body = start.begin(body)
        except BaseException as exc:
            if _is_not_the_apps(exc):
                raise
            return respond(exc, environ, start_response)
        if isinstance(body, (list, tuple)) or _is_file(body, environ):
            return body
        return ClosingIterator(_chunks(body, environ, start_response), getattr(body, "close", None))

    return answer


def _is_of_script(environ: WSGIEnvironment) -> bool:
    return environ.get("HTTP_SEC_FETCH_DEST") == "empty" or "HTTP_X_REQUESTED_WITH" in environ


class _Start:
    """The start_response of the app: holds back a 500 whose exception is known, until its body is there."""

    def __init__(self, environ: WSGIEnvironment, start_response: StartResponse) -> None:
        self._environ = environ
        self._start_response = start_response
        self._reported = environ["wsgi.errors"] = Reported(environ["wsgi.errors"])
        self._held: tuple[Any, ...] = ()
        self._written: list[bytes] = []
        self._may_hold = True

    def __call__(
        self, status: str, headers: list[tuple[str, str]], *exc_info: Any
    ) -> Callable[[bytes], object]:
        is_encoded = any(name.lower() == "content-encoding" for name, _ in headers)
        if self._may_hold and status.startswith("500") and self._reported.exception and not is_encoded:
            self._held = status, headers, *exc_info
            return self._written.append
        self._held = ()
        return self._start_response(status, headers, *exc_info)

    def begin(self, body: Iterable[bytes]) -> Iterable[bytes]:
        """The body to send: the app's own, or a report in its place."""
        self._may_hold = False
        exc = self._reported.exception
        if not self._held or exc is None:
            return body
        try:
            own = [*self._written, *body]
        finally:
            getattr(body, "close", lambda: None)()
        if type(exc).__name__.encode() not in b"".join(own):
            return respond(exc, self._environ, self._start_response, is_logged=True)
        self._start_response(*self._held)
        return own


def _chunks(
    body: Iterable[bytes], environ: WSGIEnvironment, start_response: StartResponse
) -> Iterator[bytes]:
    """The app's body; a report takes its place if it raises before its first bytes."""
    has_begun = False
    try:
        for chunk in body:
            has_begun = has_begun or bool(chunk)
            yield chunk
    except BaseException as exc:
        if has_begun or _is_not_the_apps(exc):
            raise
        yield from respond(exc, environ, start_response)


def _is_file(body: Iterable[bytes], environ: WSGIEnvironment) -> bool:
    wrapper = environ.get("wsgi.file_wrapper")
    return isinstance(wrapper, type) and isinstance(body, wrapper)


def _is_not_the_apps(exc: BaseException) -> bool:
    """Whether it is the server's: the client left, its body is malformed, or this is the end of a fork."""
    return (
        isinstance(exc, (ConnectionAbortedError, GeneratorExit))
        or type(exc).__module__.startswith("webdemo.servers.")
        or observe.in_apps_process
    )


def respond(
    exc: BaseException, environ: WSGIEnvironment, start_response: StartResponse, *, is_logged: bool = False
) -> Iterable[bytes]:
    """Log the traceback, unless the app has, and respond with a report: HTML, JSON or plain text by Accept.

    Raises the exception itself if the response has begun.
    """
    try:
        report = Report.of(exc)
        if not is_logged:
            write_log(report.text)
        content_type, text, headers = _written(report, environ)
    except Exception:  # noqa: BLE001 - whatever is wrong with it, the report must not hide the exception
        write_log(traceback.format_exc())
        raise exc from None
    body = text.encode("utf-8", "backslashreplace")
    start_response(
        STATUS,
        [
            ("Content-Type", f"{content_type}; charset=utf-8"),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            ("Vary", "Accept"),
            *headers,
        ],
        (type(exc), exc, exc.__traceback__) if exc.__traceback__ else None,
    )
    return [b""] if environ.get("REQUEST_METHOD") == "HEAD" else [body]


def _written(report: Report, environ: WSGIEnvironment) -> tuple[str, str, list[tuple[str, str]]]:
    """The content type, the text, and further headers."""
    accept = environ.get("HTTP_ACCEPT", "")
    if "text/html" in accept:
        nonce = os.urandom(16).hex()
        policy = (
            f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; connect-src 'self'; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        return "text/html", _as_html(report, environ, nonce), [("Content-Security-Policy", policy)]
    if "json" in accept:
        return "application/json", json.dumps(_as_data(report), ensure_ascii=False), []
    return "text/plain", report.text, []


def _as_data(report: Report) -> dict[str, Any]:
    return {
        "status": 500,
        "title": report.kind,
        "detail": report.message,
        "traceback": report.text.split("\n"),
        "frames": [
            {"file": f.file, "line": f.line, "function": f.function, "variables": dict(f.variables)}
            for f in report.frames
        ],
    }


def _as_html(report: Report, environ: WSGIEnvironment, nonce: str) -> str:
    from pathlib import Path

    from webdemo.web.templates import make_environment

    query = environ.get("QUERY_STRING")
    path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    context = {
        "report": report,
        "exceptions": (*report.earlier, report),
        "method": environ.get("REQUEST_METHOD", ""),
        "path": path.encode("latin-1", "replace").decode("utf-8", "replace"),
        "query": mask_url(query) if query else "",
        "server": environ.get("SERVER_SOFTWARE", ""),
        "environ": {key: str(value) for key, value in shown_environ(environ).items()},
        "folder": Path.cwd(),
        "nonce": nonce,
    }
    return make_environment([assets.TEMPLATES]).get_template("debug.html").render(context)
