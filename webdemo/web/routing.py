"""From a method and a path to a view: Werkzeug's rules, with dicts before its matcher.

The dicts answer only where the matcher would answer the same: a path without parameters, and
`head/<tail>` where nothing else could match. The matcher decides the rest: slashes, methods, 404.
Paths are compared as WSGI gives them: UTF-8 bytes as Latin-1 characters (PEP 3333).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from werkzeug.exceptions import MethodNotAllowed, NotFound
from werkzeug.routing import BaseConverter, Map, RequestRedirect, Rule

from webdemo.errors import UsageError
from webdemo.web.request import decode_path

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

View = Callable[..., Any]

_plain_parameter = re.compile(r"<([A-Za-z_][A-Za-z0-9_]*)>")


class RedirectNeeded(Exception):
    """The path lacks its slash, or has too many: `path` is the right one, quoted, below the app's root."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


class Mount:
    """Another WSGI app below a prefix: what the prefix takes from PATH_INFO goes to SCRIPT_NAME."""

    def __init__(self, prefix: str, app: WSGIApplication) -> None:
        self.prefix = prefix
        self.below = prefix + "/"
        self.app = app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        # A copy: whoever called us (an access log, say) still sees the path that was asked for.
        shifted = environ.copy()
        root = environ.get("SCRIPT_NAME")
        shifted["SCRIPT_NAME"] = root.rstrip("/") + self.prefix if root else self.prefix
        shifted["PATH_INFO"] = environ["PATH_INFO"][len(self.prefix) :]
        return self.app(shifted, start_response)


class Router:
    """`shortcuts` has two dicts for each method: of views without parameters, by their path, and of
    those of `head/<tail>`, by the head. No tail is empty.
    """

    def __init__(self, converters: Mapping[str, type[BaseConverter]] | None = None) -> None:
        self.shortcuts: dict[str, tuple[dict[str, View], dict[str, View]]] = {}
        self.mounts: list[Mount] = []
        self._heads_for_matcher: set[str] = set()
        self._first_segments: set[str] = {""}
        self._any_first_segment = False
        self._named: dict[str, list[View]] = {}
        self._map = Map(converters=converters)
        self._matcher = self._map.bind("")

    def add(self, rule: str, view: View, methods: Iterable[str] | None, name: str | None) -> None:
        """Route a rule to a view. Of two routes that match equally well, the first one stands."""
        if not rule.startswith("/") or "//" in rule:
            right = "/" + re.sub("/+", "/", rule).lstrip("/")
            raise UsageError(f"The rule {rule!r} is not a path.", remedy=f"Write {right!r}.")
        added = Rule(rule, endpoint=view, methods=methods)
        self._map.add(added)
        named = self._named.setdefault(name or _name(view), [])
        if view not in named:
            named.append(view)
        first = rule.split("/")[1]
        self._first_segments.add(encode_path(first))
        self._any_first_segment |= "<" in first
        for method in added.methods or ():
            self._add_shortcut(method, rule, view)

    def _add_shortcut(self, method: str, rule: str, view: View) -> None:
        exact, tails = self.shortcuts.setdefault(method, ({}, {}))
        static, opening, _ = rule.partition("<")
        if not opening:
            exact.setdefault(encode_path(rule), view)
            return
        cut = static.rindex("/")
        head, (segment, *more) = encode_path(rule[:cut]), rule[cut + 1 :].split("/")
        parameter = _plain_parameter.fullmatch(segment)
        if parameter is None:  # <int:n> and the like come first there, or take part of the segment
            self._heads_for_matcher.add(head)
            for _, others in self.shortcuts.values():
                others.pop(head, None)
        elif not more and head not in self._heads_for_matcher and _takes(view, parameter[1]):
            tails.setdefault(head, view)

    def mount(self, prefix: str, app: WSGIApplication) -> None:
        """Give a prefix to an app; of several that fit a path, the longest has it."""
        if not prefix.startswith("/") or not prefix.strip("/"):
            raise UsageError(
                f"{prefix!r} is not a prefix to mount at.", remedy="Give a path below /, such as '/api'."
            )
        self.mounts.append(Mount(encode_path(prefix.rstrip("/")), app))
        self.mounts.sort(key=lambda mount: -len(mount.prefix))

    def find_mount(self, path: str) -> Mount | None:
        """The mount that a path lies in: `/api` holds `/api` and `/api/x`, not `/apix`."""
        for mount in self.mounts:
            if path.startswith(mount.below) or path == mount.prefix:
                return mount
        return None

    def match(self, method: str, path: str) -> tuple[View, Mapping[str, Any]] | None:
        """The view for a path that no dict has, and its arguments; None when there is no such page.

        Raises MethodNotAllowed (with the methods that are) or RedirectNeeded.
        """
        if not self._any_first_segment and path[1:].partition("/")[0] not in self._first_segments:
            return None
        known_method = method if method.isupper() else "--"  # methods are case-sensitive, RFC 9110 9.1
        try:
            return self._matcher.match(decode_path(path), known_method)
        except RequestRedirect as redirect:
            raise RedirectNeeded("/" + urlsplit(redirect.new_url).path.lstrip("/")) from None
        except MethodNotAllowed as error:
            raise MethodNotAllowed(sorted({*(error.valid_methods or ()), "OPTIONS"})) from None
        except NotFound:
            return None

    def paths(self, method: str) -> list[str]:
        """The rules without parameters that answer a method, unless a mount takes them first."""
        return [
            rule.rule
            for rule in self._map.iter_rules()
            if not rule.arguments
            and (
                method in rule.methods
                if rule.methods is not None
                else self.find_mount(encode_path(rule.rule)) is None  # a mount comes before the matcher
            )
        ]

    def methods(self) -> list[str]:
        """Every method that some route has: what the app as a whole allows."""
        return sorted(
            {"OPTIONS", *(method for rule in self._map.iter_rules() for method in rule.methods or ())}
        )

    def build(self, endpoint: str | View, values: Mapping[str, Any]) -> str:
        """The quoted path of a view, named or given itself (LookupError when there is not exactly one)."""
        views = self._named.get(endpoint, []) if isinstance(endpoint, str) else [endpoint]
        if len(views) != 1:
            raise LookupError(f"{len(views)} views are named {endpoint!r}, and url_for needs one")
        return self._matcher.build(views[0], values)


def source(view: View) -> str:
    """Where a view comes from, for messages: module and qualified name."""
    return f"{getattr(view, '__module__', '?')}.{getattr(view, '__qualname__', type(view).__qualname__)}"


def _takes(view: View, parameter: str) -> bool:
    """Whether `view(request, value)` is the same as `view(request, parameter=value)`."""
    _, *others = signature(view).parameters.values()
    return [(each.name, each.kind) for each in others] == [(parameter, Parameter.POSITIONAL_OR_KEYWORD)]


def _name(view: View) -> str:
    name: str = getattr(view, "__name__", type(view).__name__)
    return name


def encode_path(text: str) -> str:
    """A path as WSGI gives it; the reverse of `decode_path`."""
    return text.encode().decode("latin-1")


def quote_query(query: str) -> str:
    """A request's query as it may stand in a URL; servers pass on bytes that no URL holds."""
    return quote(query.encode("latin-1", "replace"), safe="/?:@!$&'()*+,;=%-._~[]|")


def quote_root(script_name: str) -> str:
    """SCRIPT_NAME as the beginning of a URL's path; it never begins with two slashes."""
    quoted = quote(script_name.encode("latin-1"), safe="/!$&'()*+,:;=@~").strip("/")
    return f"/{quoted}" if quoted else ""
