"""From a method and a path to a view: Werkzeug's rules, with dicts before its matcher.

The dicts answer only where the matcher would answer the same: a path without parameters, and
`head/<tail>` where nothing else could match. The matcher decides the rest: slashes, methods, 404.
Paths are compared as WSGI gives them: UTF-8 bytes as Latin-1 characters.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from werkzeug.exceptions import MethodNotAllowed
from werkzeug.routing import BaseConverter, Map, RequestRedirect, Rule

from webdemo.web.request import decode_path

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

View = Callable[..., Any]

_plain_parameter = re.compile(r"<([A-Za-z_][A-Za-z0-9_]*)>")


class Route:
    """A view and the name it goes by."""

    def __init__(self, view: View, name: str | None) -> None:
        self.view = view
        self.name: str = name or getattr(view, "__name__", type(view).__name__)
        self.source = f"{view.__module__}.{getattr(view, '__qualname__', self.name)}"

    def __str__(self) -> str:
        return self.name


class RedirectNeeded(Exception):  # noqa: N818 - it asks for an answer, it is no failure
    """The path lacks its slash, or has too many: `path` is the right one, quoted, below the app's root."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


class Router:
    def __init__(self, converters: Mapping[str, type[BaseConverter]] | None = None) -> None:
        self._map = Map(converters=converters)
        self._matcher = self._map.bind("")
        self._routes: dict[str, list[Route]] = {}
        self._exact: dict[str, dict[str, Route]] = {}
        self._tails: dict[str, dict[str, tuple[Route, str]]] = {}
        self._not_by_tail: set[str] = set()
        self._mounts: list[tuple[str, WSGIApplication]] = []

    def add(self, rule: str, view: View, methods: Iterable[str], name: str | None) -> None:
        """Route a rule to a view. Of two routes that match equally well, the first one stands."""
        route = self._route(view, name)
        added = Rule(rule, endpoint=route, methods=methods)
        self._map.add(added)
        head, opening, _ = rule.partition("<")
        head, _, start = head.rpartition("/")
        head = head.encode().decode("latin-1")
        if not opening:
            for method in added.methods or ():
                self._exact.setdefault(method, {}).setdefault(rule.encode().decode("latin-1"), route)
            return
        segment, *more = (start + rule[rule.index("<") :]).split("/")
        plain = _plain_parameter.fullmatch(segment)
        if plain is None:
            self._forbid_tails(head)
        elif not more and head not in self._not_by_tail:
            for method in added.methods or ():
                self._tails.setdefault(method, {}).setdefault(head, (route, plain[1]))

    def mount(self, prefix: str, app: WSGIApplication) -> None:
        prefix = prefix.encode().decode("latin-1")
        self._mounts.append((prefix, app))
        self._mounts.sort(key=lambda mount: -len(mount[0]))
        self._forbid_tails(prefix.rpartition("/")[0])

    def find(self, method: str, path: str) -> tuple[Route, Mapping[str, Any]]:
        """The route for a request and its parameters.

        Raises NotFound, MethodNotAllowed (with the methods allowed) or RedirectNeeded.
        """
        exact = self._exact.get(method)
        if exact is not None and (route := exact.get(path)) is not None:
            return route, {}
        tails = self._tails.get(method)
        if tails is not None:
            head, _, tail = path.rpartition("/")
            if tail and (found := tails.get(head)) is not None:
                return found[0], {found[1]: decode_path(tail)}
        return self._match(method, path)

    def find_mount(self, path: str) -> tuple[str, WSGIApplication] | None:
        for prefix, app in self._mounts:
            if path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] in ("", "/"):
                return prefix, app
        return None

    def build(self, endpoint: str | View, values: Mapping[str, Any]) -> str:
        """The quoted path of a view, named or given itself (LookupError when there is not exactly one)."""
        if isinstance(endpoint, str):
            routes = self._routes.get(endpoint, [])
        else:
            routes = [route for named in self._routes.values() for route in named if route.view is endpoint]
        if len(routes) != 1:
            raise LookupError(f"{len(routes)} views are named {endpoint!r}: url_for needs exactly one")
        return self._matcher.build(routes[0], values)

    def _route(self, view: View, name: str | None) -> Route:
        route = Route(view, name)
        named = self._routes.setdefault(route.name, [])
        for known in named:
            if known.view is view:
                return known
        named.append(route)
        return route

    def _forbid_tails(self, head: str) -> None:
        self._not_by_tail.add(head)
        for tails in self._tails.values():
            tails.pop(head, None)

    def _match(self, method: str, path: str) -> tuple[Route, Mapping[str, Any]]:
        try:
            return self._matcher.match(decode_path(path), method if method.isupper() else "--")
        except RequestRedirect as redirect:
            raise RedirectNeeded("/" + urlsplit(redirect.new_url).path.lstrip("/")) from None
        except MethodNotAllowed as error:
            allowed = sorted({*(error.valid_methods or ()), "OPTIONS"})
            raise MethodNotAllowed(allowed) from None


def quote_root(script_name: str) -> str:
    """SCRIPT_NAME as the beginning of a URL's path; it never begins with two slashes."""
    quoted = quote(script_name.encode("latin-1"), safe="/!$&'()*+,:;=@~")
    return "/" + quoted.strip("/") if quoted.strip("/") else ""
