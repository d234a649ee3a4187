"""/compare: this user's newest comparison, shown only to clients on this machine."""

from __future__ import annotations

from webdemo.errors import UsageError
from webdemo.web import Request, Response
from webdemo.web.page import Site


def add_compare_page(site: Site) -> None:
    @site.local_page("/compare")
    def compare(request: Request) -> Response:
        from webdemo.compare.report import saved

        try:
            comparison = saved.newest()
        except UsageError as exc:
            return site.page("compare.html", comparison=None, problem=str(exc))
        if comparison is None:
            return site.page("compare.html", comparison=None, problem=None)
        from webdemo.compare.report.html_report import context

        return site.page("compare.html", **context(comparison))
