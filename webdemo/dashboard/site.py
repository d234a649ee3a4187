"""What the dashboard's pages share: the app, the run, and the check of who may see and do what.

Runs in the dashboard's process. The rule: every view is registered with `view` or `action`, so that none is
without a check; `access` decides.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from werkzeug.exceptions import BadRequest, Forbidden, ServiceUnavailable

from webdemo.dashboard import access
from webdemo.dashboard.overview import Watch
from webdemo.errors import ControlUnavailable, UsageError
from webdemo.web import App, Request, Response
from webdemo.web.page_headers import PAGE_HEADERS
from webdemo.web.visitor import is_at_this_machine

View = Callable[[Request], Any]

PAGES = (("", "Servers"), ("twin", "Twin mode"))


@dataclass(frozen=True, slots=True)
class Site:
    app: App
    watch: Watch
    key: str
    read_only: bool

    def page(self, template: str, status: int = 200, **context: Any) -> Response:
        return Response(self.app.render(template, pages=PAGES, **context), status, PAGE_HEADERS)

    def view(self, rule: str) -> Callable[[View], View]:
        """Route GET to a view for clients on this machine."""
        return lambda view: self.app.get(rule)(_checked(view, self._check_client))

    def action(self, rule: str) -> Callable[[View], View]:
        """Route POST to a view for holders of the run's key."""
        return lambda view: self.app.post(rule)(_checked(view, self._check_key))

    def has_key(self, request: Request) -> bool:
        return access.has_key(request.environ, self.key)

    def refuse_if_read_only(self) -> None:
        if self.read_only:
            raise Forbidden(access.READ_ONLY)

    def _check_client(self, request: Request) -> None:
        if not is_at_this_machine(request.environ):
            raise Forbidden(access.ELSEWHERE)

    def _check_key(self, request: Request) -> None:
        self._check_client(request)
        if problem := access.why_not(request.environ, self.key):
            raise Forbidden(problem)


def _checked(view: View, check: Callable[[Request], None]) -> View:
    """The view after a check; errors that the user can fix become 400 and 503 responses."""

    @functools.wraps(view)
    def checked(request: Request) -> Any:
        check(request)
        try:
            return view(request)
        except ControlUnavailable as exc:
            raise ServiceUnavailable(f"{exc.problem} {exc.remedy}") from exc
        except UsageError as exc:
            raise BadRequest(f"{exc.problem} {exc.remedy}") from exc

    return checked
