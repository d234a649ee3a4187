"""The request path: server -> App -> routing -> view or static -> templates -> response.

It uses nothing of the run layer, and imports Jinja2 only when the first page is rendered.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from webdemo.web.app import App
from webdemo.web.http_errors import abort
from webdemo.web.request import Request
from webdemo.web.response import Response, redirect
from webdemo.web.routes import Routes

if TYPE_CHECKING:
    from webdemo.web.events import ServerSentEvent as ServerSentEvent
    from webdemo.web.events import event_stream as event_stream
    from webdemo.web.origin import CrossOriginProtection as CrossOriginProtection
    from webdemo.web.static.app import StaticFiles as StaticFiles
    from webdemo.web.static.downloads import attachment as attachment
    from webdemo.web.static.downloads import send_file as send_file

__all__ = [
    "App",
    "CrossOriginProtection",
    "Request",
    "Response",
    "Routes",
    "ServerSentEvent",
    "StaticFiles",
    "abort",
    "attachment",
    "event_stream",
    "redirect",
    "send_file",
]

_imported_when_used = {
    "CrossOriginProtection": "webdemo.web.origin",
    "ServerSentEvent": "webdemo.web.events",
    "StaticFiles": "webdemo.web.static.app",
    "event_stream": "webdemo.web.events",
    "attachment": "webdemo.web.static.downloads",
    "send_file": "webdemo.web.static.downloads",
}


def __getattr__(name: str) -> Any:
    if name not in _imported_when_used:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_imported_when_used[name]), name)
