"""The application: a WSGI callable with routes, templates and static files.

Routes are added while the app is built, before the first request; from then on the app is read-only.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from functools import cached_property
from logging import getLogger
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from werkzeug.exceptions import BadRequest, HTTPException, InternalServerError, MethodNotAllowed, NotFound
from werkzeug.routing import BaseConverter
from werkzeug.wsgi import ClosingIterator

from webdemo.errors import UsageError, WebdemoError
from webdemo.text import terminal_line
from webdemo.web.http_errors import Handler, answer_by_handler, answer_error, not_found
from webdemo.web.request import Request, decode_path
from webdemo.web.response import (
    Answer,
    Pairs,
    Response,
    Stream,
    answer,
    answer_response,
    close_body,
    dump_json,
    encode_location,
    redirect,
    type_html,
    type_json,
)
from webdemo.web.routes import Routes, Routing, V, ViewResult
from webdemo.web.routing import (
    Mount,
    RedirectNeeded,
    Router,
    View,
    check_call,
    encode_path,
    quote_root,
    source,
    with_query,
)

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment
    from jinja2 import Environment, Template
    from werkzeug.test import Client

    from webdemo.web.static.app import StaticFiles

A = TypeVar("A", bound=Callable[..., Response | None])  # `...`: a hook may take the request_class
C = TypeVar("C", bound=Callable[[Mapping[str, Any]], Mapping[str, Any]])
B = TypeVar("B", bound=Callable[..., ViewResult | None])

_new = object.__new__
_RAISE_ERRORS = "webdemo.raise_errors"
_LENGTH_DIGITS = 18  # int refuses thousands of them
_log = getLogger("webdemo")
_not_found = NotFound()  # never raised nor passed to an error handler, so one instance is enough
_no_shortcuts: tuple[dict[str, View], dict[str, View]] = ({}, {})


class App(Routing):
    """A WSGI app made of views.

    `templates` and `static` are folders; the defaults are those beside the caller's file, if they exist.
    Of several `templates`, the first that has a template is used. `secret_key` signs `request.session`: at
    least 16 characters, or several keys, of which the last signs and all are accepted; the default is the
    environment's WEBDEMO_SECRET_KEY. `converters` adds Werkzeug converters for rules; limits are set on a
    `request_class`. Raises WebdemoError when a folder given does not exist.
    """

    def __init__(
        self,
        *,
        templates: str | Path | Iterable[str | Path] | None = None,
        static: str | Path | None = None,
        converters: Mapping[str, type[BaseConverter]] | None = None,
        request_class: type[Request] = Request,
        secret_key: str | Iterable[str] | None = None,
    ) -> None:
        self.request_class = request_class
        self._router = Router(converters)
        self._shortcuts = self._router.shortcuts
        self._mounts = self._router.mounts
        self._start_hooks: list[Callable[[], object]] = []
        self._starting = Lock()
        self._started_in: int | None = None
        self._before: list[Callable[[Request], Any]] = []
        self._after: list[Callable[[Request, Response], Response | None]] = []
        self._handlers: dict[int | type[Exception], Handler] = {}
        self._script_name: ContextVar[str | None] = ContextVar("script_name", default=None)
        self._mounted_at: tuple[App, str] | None = None
        self._context_processors: list[Callable[[Mapping[str, Any]], Mapping[str, Any]]] = []
        self._loaded: dict[str, Template] = {}  # Jinja's own cache costs a microsecond
        self._static: StaticFiles | None = None
        file = sys._getframe(1).f_globals.get("__file__")
        secret_key = os.environ.get("WEBDEMO_SECRET_KEY") if secret_key is None else secret_key
        if secret_key is not None:
            self._keep_sessions(secret_key)
        beside = Path(file).resolve().parent if file else None
        several = [templates] if templates is None or isinstance(templates, (str, Path)) else templates
        folders = [_folder("templates", each, beside) for each in several]
        self._templates = [folder for folder in folders if folder is not None]
        static_folder = _folder("static", static, beside)
        if static_folder is not None:
            from webdemo.web.static.app import StaticFiles

            self._static = StaticFiles(static_folder)
            self.mount("/static", self._static)

    def _add(self, rule: str, view: View, methods: Iterable[str] | None, name: str | None) -> None:
        self._router.add(rule, view, methods, name)

    def mount(self, prefix: str, app: WSGIApplication) -> None:
        """Pass all requests at and below a prefix to another WSGI app. Raises UsageError for "/"."""
        self._router.mount(prefix, app)
        if isinstance(app, App) and app._mounted_at is None:
            app._mounted_at = self, encode_path(prefix)

    def include(self, routes: Routes, prefix: str = "") -> None:
        """Add the routes of another module below a prefix: `app.include(blog, "/blog")`.

        They share the app's templates, hooks and error handlers.
        """
        if not isinstance(routes, Routes):
            raise UsageError(
                f"include takes Routes, not {type(routes).__name__}.",
                remedy="Mount another app: app.mount('/path', other).",
            )
        for rule, view, methods, name in routes.added:
            self._router.add(prefix.rstrip("/") + rule, view, methods, name)

    def paths(self, method: str = "GET") -> list[str]:
        """The rules without parameters that a method has, in the order in which they were added.

        The paths of mounted webdemo apps follow, with their prefix.
        """
        found = self._router.paths(method)
        for mount in self._router.mounts:
            if isinstance(mount.app, App):
                below = (decode_path(mount.prefix) + path for path in mount.app.paths(method))
                found += (path for path in below if self._router.find_mount(encode_path(path)) is mount)
        return list(dict.fromkeys(found))

    def static_apps(self) -> dict[str, StaticFiles]:
        """The StaticFiles mounted in this app and in webdemo apps below it, by prefix as in PATH_INFO."""
        from webdemo.web.static.app import StaticFiles

        found = {}
        for mount in self._mounts:
            if isinstance(mount.app, StaticFiles):
                found[f"{mount.prefix}/"] = mount.app
            elif isinstance(mount.app, App):
                found |= {mount.prefix + below: app for below, app in mount.app.static_apps().items()}
        return found

    def before(self, hook: B) -> B:
        """Call `hook(request)` before each request is routed to a view of this app.

        What it returns, unless None, is sent instead of the view's result. An error is handled as a view's.
        """
        check_call(hook, "called before requests", "request")
        self._before.append(hook)
        return hook

    def on_worker_start(self, hook: Callable[[], object]) -> Callable[[], object]:
        """Call `hook()` once in each process that serves the app.

        It is for connections and threads, which a forked process does not have or cannot share. It is called
        by `start_worker`, at the latest before the first request is routed to a view.
        """
        check_call(hook, "called when a process starts")
        if not self._start_hooks:
            self._before.insert(0, lambda request: self.start_worker())
        self._start_hooks.append(hook)
        return hook

    def start_worker(self) -> None:
        """Call the hooks of `on_worker_start`, of mounted apps as well, if this process has not called them.

        webdemo's servers do it when they start. Of several threads one calls the hooks while the others wait.
        If a hook fails, its exception is raised, and the next call begins again.
        """
        if self._started_in != os.getpid():
            with self._starting:
                if self._started_in != os.getpid():
                    for hook in self._start_hooks:
                        hook()
                    self._started_in = os.getpid()
        for mount in self._mounts:
            if isinstance(mount.app, App):
                mount.app.start_worker()

    def after(self, hook: A) -> A:
        """Call `hook(request, response)` for each response of this app, also of errors, before it is sent.

        It may change the response, or return another. Mounted apps have their own hooks.
        """
        check_call(hook, "called after requests", "request", "response")
        self._after.append(hook)
        return hook

    def errorhandler(self, error: int | type[Exception]) -> Callable[[V], V]:
        """Handle a status code or an exception class with `handler(request, error)`.

        The handler of the nearest class is called. It returns what a view may return; the status is the
        error's (500 for an exception that is not an HTTPException) unless the handler returns one, and
        headers that the status needs (Allow, WWW-Authenticate, Retry-After ...) are added. If it returns an
        HTTPException, the standard page is sent. An exception that has no handler but that of 500 or
        Exception is logged with its traceback.
        """
        if not isinstance(error, int) and not (isinstance(error, type) and issubclass(error, Exception)):
            raise UsageError(
                f"{error!r} is not a status code or a class of exceptions.",
                remedy="Write one: @app.errorhandler(404).",
            )

        def register(handler: V) -> V:
            name = error if isinstance(error, int) else error.__name__
            check_call(handler, f"the handler of {name}", "request", "error")
            self._handlers[error] = handler
            return handler

        return register

    def url_for(
        self,
        endpoint: str | Callable[..., Any],
        /,
        *,
        _external: Request | str | None = None,
        _anchor: str | None = None,
        **values: Any,
    ) -> str:
        """The path of a view, given its name or the view itself, including where the app is mounted.

        It is right from the views of any app to any other. An app mounted more than once is at its first
        place, except in its own requests. `_anchor` is the fragment. `_external` makes it a whole URL: it
        is the origin, such as "https://example.com", or a request, whose scheme and host are used. The client
        chooses the host of a request (unless `trusted_hosts` are set): use an origin for links in mails.

        Raises LookupError unless exactly one view has the name, and its rule fits the values.
        """
        url = self._root() + self._router.build(endpoint, values)
        if _external is not None:
            url = (_external if isinstance(_external, str) else _origin(_external)).rstrip("/") + url
        if _anchor is not None:
            url += "#" + quote(_anchor, safe="/?:@!$&'()*+,;=~")
        return url

    def _root(self) -> str:
        """The quoted path at which the app answers: of the current request, or where it is mounted."""
        script_name = self._script_name.get()
        if script_name is not None:
            return quote_root(script_name)
        if self._mounted_at is None:
            return ""
        app, prefix = self._mounted_at
        return app._root() + quote_root(prefix)

    def static_url(self, path: str) -> str:
        """The fingerprinted URL of a static file: `static('app.css')` in templates.

        Raises WebdemoError when the app has no static folder.
        """
        if self._static is None:
            raise WebdemoError(
                "The app has no static folder.", remedy="Make one, or name it: App(static=...)"
            )
        return f"{self._root()}/static/{self._static.url(path)}"

    @cached_property
    def jinja_env(self) -> Environment:
        """The Jinja2 environment of the templates, for more `globals`, `filters` and `tests`.

        Add them while the app is built. The globals `url_for` and `static` are there already.
        """
        from webdemo.web.templates import make_environment

        return make_environment(self._templates, url_for=self.url_for, static=self.static_url)

    def context_processor(self, processor: C) -> C:
        """Add the values of `processor(context)` to each rendering; those that `render` is given win."""
        check_call(processor, "a context processor", "context")
        self._context_processors.append(processor)
        return processor

    def render(self, template: str, /, **context: Any) -> str:
        """Render a template. Raises WebdemoError when the app has no templates folder."""
        if not self._templates:
            raise WebdemoError(
                f"The app has no templates folder to find {template} in.",
                remedy="Make one beside the app's file, or name it: App(templates=...)",
            )
        for processor in self._context_processors:
            context = {**processor(context), **context}
        loaded = self._loaded.get(template)
        if loaded is None or not loaded.is_up_to_date:
            loaded = self._loaded[template] = self.jinja_env.get_template(template)
        return loaded.render(context)

    def test_client(self, *, raise_errors: bool = False) -> Client:
        """Werkzeug's test client for this app.

        With `raise_errors`, exceptions that would be logged and answered with 500 reach the test.
        """
        from werkzeug.test import Client

        return Client(self._call_for_test if raise_errors else self, Response)

    def _call_for_test(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return self({**environ, _RAISE_ERRORS: True}, start_response)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        method = environ["REQUEST_METHOD"]
        script_name = environ.get("SCRIPT_NAME")
        path = environ.get("PATH_INFO") or ("" if script_name else "/")
        exact, tails = self._shortcuts.get(method, _no_shortcuts)
        view = exact.get(path)
        if view is None:
            for mount in self._mounts:  # as Router.find_mount, without its call
                if path.startswith(mount.below) or path == mount.prefix:
                    if mount.respond is not None:
                        return mount.respond(environ, start_response, path[mount.length :])
                    if script_name:
                        return self._pass_on(mount, environ, start_response)
                    return mount(environ, start_response)
        token = None
        if script_name or self._mounted_at is not None:
            token = self._script_name.set(script_name or "")
        if self.request_class is Request:  # inlined __init__: the call costs about 7 % of a minimal request
            request = _new(Request)
            request.environ = environ
        else:
            request = self.request_class(environ)
        try:
            try:
                if "CONTENT_LENGTH" in environ:
                    length = environ["CONTENT_LENGTH"] or "0"
                    if not length.isdecimal() or len(length) > _LENGTH_DIGITS:
                        raise BadRequest("Content-Length is not a number, or too large.")
                if self._before and (result := self._run_before(request)) is not None:
                    pass
                elif view is not None:
                    result = view(request)
                else:
                    head, _, tail = path.rpartition("/")
                    view = tails.get(head) if tail else None
                    if view is not None:
                        result = view(request, tail if tail.isascii() else decode_path(tail))
                    elif (match := self._router.match(method, path)) is not None:
                        view, positional, named = match
                        result = view(request, *positional, **named) if named else view(request, *positional)
                    else:
                        result = NotFound() if self._handlers or method == "OPTIONS" else _not_found
                body: Iterable[bytes]
                kind = type(result)
                if kind is str:
                    content = result.encode()
                    status, headers = "200 OK", [type_html, ("Content-Length", str(len(content)))]
                    body = [content]
                elif kind is dict or kind is list:
                    content = dump_json(result)
                    status, headers = "200 OK", [type_json, ("Content-Length", str(len(content)))]
                    body = [content]
                elif kind is Response:
                    status, headers, body = answer_response(result, request, view or self)
                elif result is _not_found:
                    status, kept, content = not_found(environ.get("HTTP_ACCEPT", ""))
                    headers, body = [*kept], [content]
                elif isinstance(result, HTTPException):  # returning it means the same as raising it
                    status, headers, body = self._answer_error(result, request, view)
                else:
                    status, headers, body = answer(result, request, view or self)
            except Exception as error:  # noqa: BLE001 - the last chance to turn an error into a response
                status, headers, body = self._answer_error(error, request, view)
            if self._after:
                status, headers, body = self._run_after(request, view, status, headers, body)
        finally:
            if token is not None:
                self._script_name.reset(token)
        if request.uploads or method == "HEAD":
            body = _finish(request, method, body)
        try:
            start_response(status, headers)
        except BaseException:  # the server never gets the body, so it cannot close it
            close_body(body)
            raise
        return body

    def _keep_sessions(self, secret_key: str | Iterable[str]) -> None:
        from webdemo.web.sessions import Sessions

        sessions = Sessions(secret_key)
        self.before(lambda request: setattr(request, "open_session", sessions.open))
        self.after(sessions.save)

    def _run_before(self, request: Request) -> Any:
        return next((result for hook in self._before if (result := hook(request)) is not None), None)

    def _run_after(
        self, request: Request, view: View | None, status: str, headers: Pairs, body: Iterable[bytes]
    ) -> Answer:
        is_passed = not isinstance(body, (list, Stream))  # a file for the server's file_wrapper
        response = Response(body, status, headers, direct_passthrough=is_passed)
        try:
            for hook in self._after:
                response = hook(request, response) or response
            return answer(response, request, view or self)
        except Exception as error:  # noqa: BLE001 - as for a view
            close_body(body)
            return self._answer_error(error, request, view)

    def _pass_on(
        self, mount: Mount, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        token = self._script_name.set(environ.get("SCRIPT_NAME", ""))
        try:
            return mount(environ, start_response)
        finally:
            self._script_name.reset(token)

    def _answer_error(self, error: Exception, request: Request, view: View | None) -> Answer:
        environ = request.environ
        if isinstance(error, RedirectNeeded):
            return answer(redirect(with_query(self._root() + error.path, environ), 308), request, self)
        if environ["REQUEST_METHOD"] == "OPTIONS" and view is None:
            if isinstance(error, MethodNotAllowed):
                return "204 No Content", [("Allow", ", ".join(error.valid_methods or ()))], []
            if environ.get("PATH_INFO") == "*":  # the server as a whole, RFC 9110 9.3.7
                return "204 No Content", [("Allow", ", ".join(self._router.methods()))], []
        handler = self._handler(error) if self._handlers else None
        if not isinstance(error, HTTPException) and handler in self._catch_all():
            if _RAISE_ERRORS in environ:
                raise error
            method, path = terminal_line(request.method), terminal_line(request.path)
            _log.error("%s failed on %s %s", source(view or self), method, path, exc_info=error)
        try:
            if handler is not None:
                return answer_by_handler(handler, error, request)
            return answer_error(error, request, view or self)
        except Exception:  # noqa: BLE001 - if a handler fails, the standard error page is sent
            _log.exception("The error handler for %r failed", error)
            return answer_error(InternalServerError(), request, view or self)

    def _catch_all(self) -> tuple[Handler | None, ...]:
        """The handlers of unexpected errors, which are logged."""
        return None, self._handlers.get(500), self._handlers.get(Exception)

    def _handler(self, error: Exception) -> Handler | None:
        """The handler of the nearest class; a status code ranks before HTTPException, 500 after Exception.

        A response that is raised, as by `abort(response)`, is an answer, not an error: it has no code.
        """
        code = error.code if isinstance(error, HTTPException) else 500
        for each in type(error).__mro__:
            if each is HTTPException and code is None:
                return None
            if each is HTTPException and code in self._handlers:
                return self._handlers[code]
            if each in self._handlers:
                return self._handlers[each]
        return self._handlers.get(500) if code == 500 else None


def _finish(request: Request, method: str, body: Iterable[bytes]) -> Iterable[bytes]:
    """The body to send: none to HEAD; its end closes the uploads, as that of a Stream does itself."""
    if not isinstance(body, Stream):
        if type(body) is list:
            request.close()
        else:
            body = ClosingIterator(body, request.close)
    if method == "HEAD":
        close_body(body)
        return []
    return body


def _origin(request: Request) -> str:
    if not request.host:
        raise BadRequest("The Host header is not valid.")
    return encode_location(request.host_url)


def _folder(kind: str, given: str | Path | None, beside: Path | None) -> Path | None:
    """The folder given, which must exist (WebdemoError), or else the one beside the caller, if any."""
    if given is not None:
        folder = Path(given).absolute()  # unresolved, to follow a symlink to the current release
    elif beside is not None:
        folder = beside / kind
    else:  # `python -c`, or a shell
        return None
    if folder.is_dir():
        return folder
    if given is None:
        return None
    raise WebdemoError(
        f"The {kind} folder {folder} does not exist.", remedy=f"Make it, or name another: App({kind}=...)."
    )
