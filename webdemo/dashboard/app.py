"""The dashboard's WSGI app, a client of the run's control socket. Runs in the dashboard's server process.

The rule: every response is short, and pages poll once a second instead of holding a stream open, so that no
worker is occupied.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from werkzeug.exceptions import HTTPException

from webdemo import assets
from webdemo.dashboard import twin
from webdemo.dashboard.overview import Watch
from webdemo.dashboard.overview_pages import add_overview_pages
from webdemo.dashboard.site import Site
from webdemo.dashboard.twin_pages import add_twin_pages
from webdemo.supervisor.control import Instance
from webdemo.web import App, Request, Response
from webdemo.web.page_headers import PAGE_HEADERS


class _DashboardRequest(Request):
    max_content_length = 2 * twin.LONGEST_BODY * 3  # percent-encoding may triple the size of a body


def make_app(control: str, key: str, read_only: bool) -> App:
    """The dashboard of the run with this control socket (a path); `key` is needed to act."""
    path = Path(control)
    app = App(templates=assets.TEMPLATES, static=assets.STATIC, request_class=_DashboardRequest)
    site = Site(app, Watch(Instance(int(path.stem), path)), key, read_only)
    add_overview_pages(site)
    add_twin_pages(site)
    _add_error_handler(site)
    return app


def _add_error_handler(site: Site) -> None:
    @site.app.errorhandler(HTTPException)
    def explain(
        request: Request, error: HTTPException
    ) -> Response | tuple[dict[str, Any], int, dict[str, str]]:
        code, text = error.code or 500, error.description or error.name
        headers = dict(error.get_headers())
        del headers["Content-Type"]
        if request.method == "POST" or request.path == "/live":  # requested by a script
            return {"problem": text}, code, headers | PAGE_HEADERS
        response = site.page("error.html", code, code=code, title=error.name, detail=text)
        response.headers.update(headers)
        return response
