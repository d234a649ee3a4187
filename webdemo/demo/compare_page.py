"""/compare: this user's newest comparison, shown only to clients on this machine."""

from __future__ import annotations

from webdemo.errors import UsageError
from webdemo.web import App, Request, Response
from webdemo.web.page import Page
from webdemo.web.visitor import is_at_this_machine


def add_compare_page(app: App, page: Page) -> None:
    @app.get("/compare")
    def compare(request: Request) -> Response:
        if not is_at_this_machine(request.environ):
            return page("compare.html", 403, comparison=None, elsewhere=True)
        from webdemo.compare.report import saved

        try:
            comparison = saved.newest()
        except UsageError as exc:
            return page("compare.html", comparison=None, elsewhere=False, problem=str(exc))
        if comparison is None:
            return page("compare.html", comparison=None, elsewhere=False, problem=None)
        from webdemo.compare.report.html_report import context

        return page("compare.html", **context(comparison))
