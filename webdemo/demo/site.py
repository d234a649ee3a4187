"""The demo site's routes. Every page is sent through `Site.page`, with the security headers.

The pages show visitors facts about their own requests, so none may be cached, framed or scripted by other
sites, and text from the client is always escaped.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, BinaryIO, cast

from werkzeug.exceptions import HTTPException, InternalServerError

from webdemo import assets
from webdemo.demo.compare_page import add_compare_page
from webdemo.demo.connection_path import ConnectionPath, python_version, read_connection_path
from webdemo.demo.inspection import inspect_request
from webdemo.demo.lesson import add_lesson
from webdemo.demo.port_pages import add_port_pages
from webdemo.demo.servers_page import add_servers_page
from webdemo.demo.trace_page import add_trace_page
from webdemo.services.mail_pages import add_mail_pages
from webdemo.web import App, Request, Response, StaticFiles, redirect
from webdemo.web.http_errors import prefers_json
from webdemo.web.page import Site
from webdemo.web.page_headers import PAGE_HEADERS

# Path relative to the home page, and label.
PAGES = (
    ("", "Home"),
    ("learn", "Learn"),
    ("ports", "Ports"),
    ("trace", "Trace"),
    ("servers", "Servers"),
    ("compare", "Compare"),
    ("hello", "Hello"),
    ("inspect", "Inspect"),
    ("files/", "Files"),
)

# RFC 9309; a crawler would never finish with /inspect, whose URLs are unlimited.
ROBOTS = "User-agent: *\nDisallow: /inspect\n"

_EXPLANATIONS = {
    404: "There is no page at this address. The path may be misspelt, or the page has moved.",
    405: "This page exists, but not for that method. The response’s Allow header lists those it supports.",
    413: "The request’s body is larger than this site accepts.",
    500: "The app raised an exception. Its traceback is in the server’s log, and not shown to clients.",
}


def make_app() -> App:
    """The demo site, complete."""
    app = App(templates=assets.TEMPLATES, static=assets.STATIC)
    files = StaticFiles(assets.STATIC, listing=True)
    files.navigation = PAGES
    app.mount("/files", files)
    site = Site(app, PAGES)
    for add in (
        _add_home,
        _add_hello,
        _add_inspect,
        _add_small_files,
        _add_errors,
        add_compare_page,
        add_lesson,
        add_mail_pages,
        add_port_pages,
        add_servers_page,
        add_trace_page,
    ):
        add(site)
    return app


def _redirect(location: str, status: int) -> Response:
    response = redirect(location, status)
    response.headers.update(PAGE_HEADERS)
    return response


def _add_home(site: Site) -> None:
    @site.app.get("/")
    def home(request: Request) -> Response:
        connection = read_connection_path(request.environ)
        return site.page(
            "home.html",
            connection=connection,
            python=python_version(),
        )


def _add_hello(site: Site) -> None:
    @site.app.get("/hello")
    def greet(request: Request) -> Response:
        """The form's target: redirects to the name's own page, if the name fits into a path."""
        name = request.args.get("name", "").strip()
        if not name or "/" in name or name in (".", ".."):
            return site.page("hello.html", name=name)
        return _redirect(site.app.url_for("hello", name=name), 303)

    @site.app.get("/hello/<name>")
    def hello(request: Request, name: str) -> Response:
        return site.page("hello.html", name=name)


def _add_inspect(site: Site) -> None:
    @site.app.route("/inspect", methods=None)
    def inspect(request: Request) -> Response | tuple[dict[str, Any], int, dict[str, str]]:
        connection = read_connection_path(request.environ)
        shown = inspect_request(request.environ, request.path, cast(BinaryIO, request.stream))
        if prefers_json(request.environ.get("HTTP_ACCEPT", "")):
            facts = asdict(shown) | {"answered_by": _answered_by(connection)}
            return facts, 200, {"Vary": "Accept", "Cache-Control": "no-store"}
        response = site.page(
            "inspect.html",
            request=shown,
            connection=connection,
            url=_own_url(connection, site.app.url_for("inspect")),
        )
        response.vary.add("Accept")
        return response


def _add_small_files(site: Site) -> None:
    @site.app.get("/robots.txt")
    def robots(request: Request) -> Response:
        return Response(ROBOTS, mimetype="text/plain")

    @site.app.get("/favicon.ico")
    def favicon(request: Request) -> Response:
        return _redirect(site.app.static_url("favicon.svg"), 302)


def _add_errors(site: Site) -> None:
    @site.app.errorhandler(HTTPException)
    @site.app.errorhandler(500)  # also for other exceptions, whose tracebacks the framework then logs
    def explain(request: Request, error: Exception) -> Response | tuple[dict[str, Any], int, dict[str, str]]:
        http_error = error if isinstance(error, HTTPException) else InternalServerError()
        code = http_error.code or 500
        detail = _EXPLANATIONS.get(code, http_error.description)
        headers = dict(http_error.get_headers()) | {"Vary": "Accept"}
        del headers["Content-Type"]
        if prefers_json(request.environ.get("HTTP_ACCEPT", "")):
            return {"status": code, "title": http_error.name, "detail": detail}, code, headers
        response = site.page("error.html", code, code=code, title=http_error.name, detail=detail)
        response.headers.update(headers)
        return response

    @site.app.get("/error")
    def fail(request: Request) -> Response:
        raise RuntimeError("An example of an error: someone opened /error.")


def _own_url(connection: ConnectionPath, path: str) -> str:
    """The path's URL for a command line: with the client's Host, if valid, else localhost and the port."""
    known = "localhost" if connection.port is None else f"localhost:{connection.port}"
    host = known if connection.name is None else connection.host_header
    return f"{connection.scheme}://{host}{path}"


def _answered_by(connection: ConnectionPath) -> dict[str, Any]:
    return {
        "server": connection.server,
        "address": connection.address,
        "port": connection.port,
        "process": connection.process_id,
        "thread": connection.thread,
        "client_address": connection.client_address,
        "client_port": connection.client_port,
    }
