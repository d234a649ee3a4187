"""The contestants: one module each, which implements the same pages with its framework.

A contestant has `DISTRIBUTION` and at least one of `pages()` (every page), `routes()` (many routes),
`files(folder)` (static files below /static) and `handlers(folder)` (one view for each thing that handlers of
real apps do), each of which makes a WSGI app.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

Kind = Literal["pages", "routes", "files", "handlers"]
_NEED_FOLDER = ("files", "handlers")

BARE = "bare"
OWN = "webdemo"
PEER = "falcon"  # the fastest of them, to which handlers are compared
NAMES = (BARE, OWN, "falcon", "bottle", "werkzeug", "flask", "pyramid", "whitenoise", "whitenoise_fresh")


@dataclass(frozen=True, slots=True)
class Contestant:
    """One framework, or a bare implementation, of the same apps."""

    name: str
    version: str
    makers: Mapping[str, Callable[..., WSGIApplication]]

    def make(self, kind: Kind, folder: Path) -> WSGIApplication | None:
        """Make a new app of this kind; None if the contestant has none."""
        maker = self.makers.get(kind)
        if maker is None:
            return None
        return maker(folder) if kind in _NEED_FOLDER else maker()


def find(name: str) -> Contestant:
    """The contestant called `name`; raises ImportError if it is not installed."""
    from importlib.metadata import version  # here, so that it does not add to the start time of an app

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # from the peers' own imports
        module = import_module(f"{__name__}.{name}")
    makers = {kind: getattr(module, kind) for kind in get_args(Kind) if hasattr(module, kind)}
    return Contestant(name, version(module.DISTRIBUTION) if module.DISTRIBUTION else "", makers)


def installed(names: tuple[str, ...] = NAMES) -> tuple[list[Contestant], list[str]]:
    """The contestants that can be imported, and a line for each of the others."""
    found, missing = [], []
    for name in names:
        try:
            found.append(find(name))
        except ImportError as exc:
            missing.append(f"{name} is left out: {exc}. Install it: pip install 'webdemo[bench]'")
    return found, missing
