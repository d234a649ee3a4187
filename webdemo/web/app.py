"""The application: a WSGI callable that knows its routes, pages and static files.

Routes are added while the app is built, before the first request; from then on it is only read.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from logging import getLogger
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from werkzeug.exceptions import HTTPException, InternalServerError, MethodNotAllowed
from werkzeug.routing import BaseConverter

from webdemo.errors import AppUnavailable
from webdemo.web.http_errors import error_response
from webdemo.web.request import Request
from webdemo.web.response import Answer, Response, answer, make_response, redirect
from webdemo.web.routing import RedirectNeeded, Router, quote_root

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment
    from werkzeug.test import Client

    from webdemo.web.pages import Pages
    from webdemo.web.static import StaticFiles

V = TypeVar("V", bound=Callable[..., Any])
Handler = Callable[[Request, Any], Any]

_log = getLogger("webdemo")


class App:
    """A WSGI app made of views.

    `templates` and `static` are folders; left out, those beside the caller's file are taken if
    they exist. `converters` adds Werkzeug converters for rules, `request_class` sets limits.
    """

    def __init__(
        self,
        *,
        templates: str | Path | None = None,
        static: str | Path | None = None,
        converters: Mapping[str, type[BaseConverter]] | None = None,
        request_class: type[Request] = Request,
    ) -> None:
        self.request_class = request_class
        self._router = Router(converters)
        self._handlers: dict[int | type[Exception], Handler] = {}
        self._script_name: ContextVar[str] = ContextVar("script_name", default="")
        self._pages: Pages | None = None
        self._static: StaticFiles | None = None
        beside = Path(sys._getframe(1).f_globals.get("__file__", "")).resolve().parent
        self._templates = _folder("templates", templates, beside)
        static_folder = _folder("static", static, beside)
        if static_folder is not None:
            from webdemo.web.static import StaticFiles

            self._static = StaticFiles(static_folder)
            self.mount("/static", self._static)

    def route(
        self, rule: str, *, methods: Iterable[str] = ("GET",), name: str | None = None
    ) -> Callable[[V], V]:
        """Route a rule to the view that follows; HEAD comes with GET, and OPTIONS by itself."""

        def register(view: V) -> V:
            self._router.add(rule, view, methods, name)
            return view

        return register

    def get(self, rule: str, *, name: str | None = None) -> Callable[[V], V]:
        return self.route(rule, methods=("GET",), name=name)

    def post(self, rule: str, *, name: str | None = None) -> Callable[[V], V]:
        return self.route(rule, methods=("POST",), name=name)

    def put(self, rule: str, *, name: str | None = None) -> Callable[[V], V]:
        return self.route(rule, methods=("PUT",), name=name)

    def patch(self, rule: str, *, name: str | None = None) -> Callable[[V], V]:
        return self.route(rule, methods=("PATCH",), name=name)

    def delete(self, rule: str, *, name: str | None = None) -> Callable[[V], V]:
        return self.route(rule, methods=("DELETE",), name=name)

    def mount(self, prefix: str, app: WSGIApplication) -> None:
        """Give everything at and below a prefix to another WSGI app."""
        self._router.mount(prefix.rstrip("/"), app)

    def errorhandler(self, error: int | type[Exception]) -> Callable[[V], V]:
        """Answer a status code or an exception with `handler(request, error)`.

        What it returns is what a view may return; its status is the error's own (500 for an
        exception that is not an HTTP one) unless it says otherwise.
        """

        def register(handler: V) -> V:
            self._handlers[error] = handler
            return handler

        return register

    def url_for(self, endpoint: str | Callable[..., Any], /, **values: Any) -> str:
        """The path of a view, by its name or itself, below wherever the app is mounted."""
        return quote_root(self._script_name.get()) + self._router.build(endpoint, values)

    def static_url(self, path: str) -> str:
        """The fingerprinted URL of a static file: `static('app.css')` in templates."""
        if self._static is None:
            raise AppUnavailable(
                "The app has no static folder.", remedy="Make one, or name it: App(static=...)"
            )
        return f"{quote_root(self._script_name.get())}/static/{self._static.url(path)}"

    def render(self, template: str, /, **context: Any) -> str:
        """A page made from a template; `url_for` and `static` are known in every one."""
        if self._pages is None:
            from webdemo.web.pages import Pages

            if self._templates is None:
                raise AppUnavailable(
                    f"The app has no templates folder to find {template} in.",
                    remedy="Make one beside the app's file, or name it: App(templates=...)",
                )
            self._pages = Pages(self._templates, {"url_for": self.url_for, "static": self.static_url})
        return self._pages.render(template, context)

    def test_client(self) -> Client:
        """Werkzeug's test client for this app."""
        from werkzeug.test import Client

        return Client(self, Response)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        script_name = environ.get("SCRIPT_NAME")
        if not script_name:
            return self._respond(environ, start_response)
        token = self._script_name.set(script_name)
        try:
            return self._respond(environ, start_response)
        finally:
            self._script_name.reset(token)

    def _respond(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        method = environ["REQUEST_METHOD"]
        path = environ.get("PATH_INFO", "")
        mount = self._router.find_mount(path)
        if mount is not None:
            prefix, app = mount
            below = {
                **environ,
                "SCRIPT_NAME": environ.get("SCRIPT_NAME", "") + prefix,
                "PATH_INFO": path[len(prefix) :],
            }
            return app(below, start_response)
        request = self.request_class(environ)
        view = "the app"
        try:
            route, arguments = self._router.find(method, path)
            view = route.source
            status, headers, body = answer(route.view(request, **arguments), environ, view)
        except Exception as error:  # noqa: BLE001 - the last place where an error can become an answer
            status, headers, body = self._answer_error(error, request, view)
        if "files" in request.__dict__:
            request.close()
        if method == "HEAD":
            close = getattr(body, "close", None)
            if close is not None:
                close()
            body = []
        start_response(status, headers)
        return body

    def _answer_error(self, error: Exception, request: Request, view: str) -> Answer:
        environ = request.environ
        if isinstance(error, RedirectNeeded):
            query = environ.get("QUERY_STRING")
            target = quote_root(self._script_name.get()) + error.path + (f"?{query}" if query else "")
            return answer(redirect(target, 308), environ, view)
        if isinstance(error, MethodNotAllowed) and environ["REQUEST_METHOD"] == "OPTIONS":
            return answer(("", 204, error.get_headers()[1:]), environ, view)
        if not isinstance(error, HTTPException):
            _log.error("%s failed on %s %s", view, request.method, request.path, exc_info=error)
        try:
            return answer(self._handle(error, request), environ, view)
        except Exception:  # noqa: BLE001 - a failing handler must not take the answer with it
            _log.exception("The handler of %r failed", error)
            return answer(error_response(InternalServerError(), environ), environ, view)

    def _handle(self, error: Exception, request: Request) -> Any:
        http_error = (
            error if isinstance(error, HTTPException) else InternalServerError(original_exception=error)
        )
        handler = self._handlers.get(http_error.code or 500)
        for kind in type(error).__mro__:
            handler = handler or self._handlers.get(kind)
        if handler is None:
            return http_error.response or error_response(http_error, request.environ)
        result = handler(request, error)
        if isinstance(result, (tuple, Response)):
            return result
        response = make_response(result, "the error handler")
        response.status_code = http_error.code or 500
        return response


def _folder(kind: str, given: str | Path | None, beside: Path) -> Path | None:
    """The folder to use, resolved: the one given, which must exist, or the one beside the caller."""
    folder = Path(given) if given is not None else beside / kind
    if folder.is_dir():
        return folder.resolve()
    if given is None:
        return None
    raise AppUnavailable(
        f"The {kind} folder {folder} does not exist.", remedy=f"Make it, or name another: App({kind}=...)"
    )
