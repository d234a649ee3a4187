"""The decorators that route rules to views, for an app and for a module whose routes an app includes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as WerkzeugResponse

from webdemo.errors import UsageError
from webdemo.web.routing import View, source

ViewResult = (
    str
    | bytes
    | dict[Any, Any]
    | list[Any]
    | WerkzeugResponse
    | HTTPException
    | Iterator[Any]
    | tuple[Any, int | str]
    | tuple[Any, int | str, Any]
)
"""What a view may return, so that a type checker finds one that returns something else."""

V = TypeVar("V", bound=Callable[..., ViewResult])


class Routing:
    """`route`, and a short form of it for each method."""

    def _add(self, rule: str, view: View, methods: Iterable[str] | None, name: str | None) -> None:
        raise NotImplementedError

    def route(
        self, rule: str, *, methods: Iterable[str] | None = ("GET",), name: str | None = None
    ) -> Callable[[V], V]:
        """Route a rule to the decorated view. GET includes HEAD; OPTIONS is handled automatically.

        With `methods=None` the view handles every method.
        """

        if not isinstance(rule, str):
            raise UsageError(
                f"The decorator of {source(rule)} has no rule.",
                remedy="Write it with one: @app.get('/path').",
            )

        def register(view: V) -> V:
            self._add(rule, view, methods, name)
            return view

        return register

    def get(self, rule: str, *, name: str | None = None) -> Callable[[V], V]:
        """`route` for GET, which includes HEAD."""
        return self.route(rule, methods=("GET",), name=name)

    def post(self, rule: str, *, name: str | None = None) -> Callable[[V], V]:
        """`route` for POST."""
        return self.route(rule, methods=("POST",), name=name)

    def put(self, rule: str, *, name: str | None = None) -> Callable[[V], V]:
        """`route` for PUT."""
        return self.route(rule, methods=("PUT",), name=name)

    def patch(self, rule: str, *, name: str | None = None) -> Callable[[V], V]:
        """`route` for PATCH."""
        return self.route(rule, methods=("PATCH",), name=name)

    def delete(self, rule: str, *, name: str | None = None) -> Callable[[V], V]:
        """`route` for DELETE."""
        return self.route(rule, methods=("DELETE",), name=name)


class Routes(Routing):
    """The routes of a module, which an app includes: `app.include(blog.routes, "/blog")`."""

    def __init__(self) -> None:
        self.added: list[tuple[str, View, Iterable[str] | None, str | None]] = []

    def _add(self, rule: str, view: View, methods: Iterable[str] | None, name: str | None) -> None:
        self.added.append((rule, view, methods, name))
