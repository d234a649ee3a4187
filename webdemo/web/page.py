"""The type of the function with which `site.make_app` lets other modules render pages of the site."""

from __future__ import annotations

from typing import Any, Protocol

from webdemo.web.response import Response


class Page(Protocol):
    """Renders a template into a response with the site's security headers."""

    def __call__(self, template: str, status: int = 200, **context: Any) -> Response: ...
