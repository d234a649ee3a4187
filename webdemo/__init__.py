"""The public API, and `app`, the demo site.

Names are imported on first access: `import webdemo` costs next to nothing, `from webdemo import App`
does not build the demo site, and neither imports the run layer.

Import nothing here that Python has not loaded at startup anyway: see webdemo.__main__.
"""

from importlib import import_module

TYPE_CHECKING = False  # as in typing, whose import would take longer than the rest of this module
if TYPE_CHECKING:
    from typing import Any

    from webdemo.demo import app as app
    from webdemo.web import App as App
    from webdemo.web import CrossOriginProtection as CrossOriginProtection
    from webdemo.web import Request as Request
    from webdemo.web import Response as Response
    from webdemo.web import Routes as Routes
    from webdemo.web import ServerSentEvent as ServerSentEvent
    from webdemo.web import StaticFiles as StaticFiles
    from webdemo.web import abort as abort
    from webdemo.web import attachment as attachment
    from webdemo.web import event_stream as event_stream
    from webdemo.web import redirect as redirect
    from webdemo.web import send_file as send_file

__version__ = "0.1.0"  # the single source of the version

__all__ = [
    "App",
    "CrossOriginProtection",
    "Request",
    "Response",
    "Routes",
    "ServerSentEvent",
    "StaticFiles",
    "abort",
    "app",
    "attachment",
    "event_stream",
    "redirect",
    "send_file",
]


def __getattr__(name: str) -> "Any":
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module("webdemo.demo" if name == "app" else "webdemo.web"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
