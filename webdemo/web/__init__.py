"""The request path: server -> App -> routing -> view or static -> templates -> response.

It uses nothing of the run layer, and imports Jinja2 only when the first page is rendered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from webdemo.web.app import App
from webdemo.web.http_errors import abort
from webdemo.web.origin import CrossOriginProtection
from webdemo.web.request import Request
from webdemo.web.response import Response, redirect
from webdemo.web.routes import Routes

if TYPE_CHECKING:
    from webdemo.web.static.app import StaticFiles as StaticFiles

__all__ = [
    "App",
    "CrossOriginProtection",
    "Request",
    "Response",
    "Routes",
    "StaticFiles",
    "abort",
    "redirect",
]


def __getattr__(name: str) -> Any:
    if name != "StaticFiles":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from webdemo.web.static.app import StaticFiles

    return StaticFiles
