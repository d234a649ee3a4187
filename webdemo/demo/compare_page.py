"""/compare: the newest comparison that this user has made, for somebody at this machine only."""

from __future__ import annotations

from webdemo.demo.page import Page
from webdemo.errors import UsageError
from webdemo.web import App, Request, Response
from webdemo.web.visitor import is_at_this_machine


def add_compare_page(app: App, page: Page) -> None:
    @app.get("/compare")
    def compare(request: Request) -> Response:
        if not is_at_this_machine(request.environ):
            return page("compare.html", 403, comparison=None, elsewhere=True)
        from webdemo.compare import saved

        try:
            comparison = saved.newest()
        except UsageError as exc:
            return page("compare.html", comparison=None, elsewhere=False, problem=str(exc))
        if comparison is None:
            return page("compare.html", comparison=None, elsewhere=False, problem=None)
        from webdemo.compare.report import context

        return page("compare.html", **context(comparison))
