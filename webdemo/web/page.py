"""How a page of the site is made: `site.make_app` hands this function to the modules with further routes."""

from __future__ import annotations

from typing import Any, Protocol

from webdemo.web.response import Response


class Page(Protocol):
    """Renders a template into an answer with the site's safe headers."""

    def __call__(self, template: str, status: int = 200, **context: Any) -> Response: ...
