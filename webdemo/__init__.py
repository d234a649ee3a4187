"""What users import, and `app`, the demo site.

Every name is imported when it is first asked for: `import webdemo` costs next to nothing,
`from webdemo import App` does not build the demo site, and neither brings in the run layer.

Only what every Python has loaded already is imported here: see webdemo.__main__.
"""

from importlib import import_module

TYPE_CHECKING = False  # what typing has under this name; importing it takes longer than all the rest here
if TYPE_CHECKING:
    from typing import Any

    from webdemo.demo import app as app
    from webdemo.web import App as App
    from webdemo.web import Request as Request
    from webdemo.web import Response as Response
    from webdemo.web import StaticFiles as StaticFiles
    from webdemo.web import abort as abort
    from webdemo.web import redirect as redirect

__version__ = "0.1.0"  # the only place where it is written

__all__ = ["App", "Request", "Response", "StaticFiles", "abort", "app", "redirect"]


def __getattr__(name: str) -> "Any":
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module("webdemo.demo" if name == "app" else "webdemo.web"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
