"""A site of webdemo's own pages: each is rendered in the site's frame, and each check of the client is here.

The rule: a page that only a client on this machine may see is registered with `local_page`, and a form that
does something on this machine is answered by a view registered with `local_form`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from werkzeug.exceptions import Forbidden

from webdemo.web.app import App
from webdemo.web.page_headers import PAGE_HEADERS
from webdemo.web.request import Request
from webdemo.web.response import Response
from webdemo.web.visitor import is_at_this_machine, is_from_this_site

View = Callable[..., Any]

_REMOTE = "This works only on the machine itself. Open it there, at 127.0.0.1 or localhost, without a proxy."
_FOREIGN = "This form was sent from another site. Send it from this page."


@dataclass(frozen=True, slots=True)
class Site:
    """An app and its navigation: pairs of a path relative to the home page, and a label."""

    app: App
    navigation: tuple[tuple[str, str], ...]

    def page(self, template: str, status: int = 200, **context: Any) -> Response:
        """The template in a response with the security headers."""
        return Response(self.app.render(template, pages=self.navigation, **context), status, PAGE_HEADERS)

    def local_page(self, rule: str) -> Callable[[View], View]:
        """Route GET to a view; clients that are not on this machine get 403."""
        return lambda view: self.app.get(rule)(_checked(view, _check_client))

    def local_form(self, rule: str) -> Callable[[View], View]:
        """Route POST to a view; all but this site's own pages, on this machine, get 403."""
        return lambda view: self.app.post(rule)(_checked(view, _check_form))


def _check_client(request: Request) -> None:
    if not is_at_this_machine(request.environ):
        raise Forbidden(_REMOTE)


def _check_form(request: Request) -> None:
    _check_client(request)
    if not is_from_this_site(request.environ, or_user=True):
        raise Forbidden(_FOREIGN)


def _checked(view: View, check: Callable[[Request], None]) -> View:
    @functools.wraps(view)
    def checked(request: Request, *arguments: Any, **values: Any) -> Any:
        check(request)
        return view(request, *arguments, **values)

    return checked
