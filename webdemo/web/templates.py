"""Jinja2 templates of an app's folders, all autoescaped; undefined names are errors.

A template that produces neither HTML nor XML opts out: {% autoescape false %}.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping, Sequence
from pathlib import Path
from time import monotonic
from types import FunctionType, MethodType
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from jinja2.runtime import Context

from webdemo.web import freshness
from webdemo.web.static.tree import Signature, signature


def make_environment(folders: Sequence[Path], **functions: Any) -> Environment:
    """The environment of the templates in these folders; an edited template is reloaded within a second."""
    environment = Environment(
        loader=_Loader(folders),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.context_class = _Context
    environment.globals.update(functions)
    return environment


class _Context(Context):
    """Calls functions that take no context, such as `url_for`, without Jinja's checks, which cost more."""

    def call(self, function: Any, /, *args: Any, **named: Any) -> Any:
        plain = function.__func__ if type(function) is MethodType else function
        if type(plain) is not FunctionType or hasattr(plain, "jinja_pass_arg"):
            return super().call(function, *args, **named)
        if named:
            named.pop("_block_vars", None)
            named.pop("_loop_vars", None)
        try:
            return function(*args, **named)
        except StopIteration:  # would end the template
            return self.environment.undefined(f"{function.__name__} raised StopIteration")


class _Loader(FileSystemLoader):
    """Checks at most once a second whether a template has changed."""

    def load(
        self,
        environment: Environment,
        name: str,
        globals: MutableMapping[str, Any] | None = None,  # noqa: A002 - its name in Jinja
    ) -> Template:
        # Jinja passes a ChainMap; it is copied for each rendering, which would take 10 % of a small page.
        return super().load(environment, name, dict(globals or {}))

    def get_source(self, environment: Environment, template: str) -> tuple[str, str, Callable[[], bool]]:
        source, filename, _ = super().get_source(environment, template)
        read, look_again = _signature(filename), monotonic() + freshness.reuse_seconds

        def is_current() -> bool:
            nonlocal look_again
            now = monotonic()
            if now >= look_again:
                if _signature(filename) != read:
                    return False
                look_again = now + freshness.reuse_seconds
            return True

        return source, filename, is_current


def _signature(path: str) -> Signature | None:
    try:
        return signature(Path(path).stat())
    except OSError:
        return None
