"""Routing of a method and a path to a view: Werkzeug's rules, with dicts in front of its matcher.

The dicts cover only cases in which the matcher would find the same view: paths without parameters,
`head/<tail>` where no other rule could match, and a tree of segments that are text, `<name>` or
`<int:name>`. The matcher decides the rest: slashes, methods, 404. Paths are compared in their WSGI form:
UTF-8 bytes as Latin-1 characters (PEP 3333).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from inspect import Parameter, isasyncgenfunction, iscoroutinefunction, signature
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from werkzeug.exceptions import MethodNotAllowed, NotFound
from werkzeug.routing import BaseConverter, Map, RequestRedirect, Rule

from webdemo.errors import UsageError
from webdemo.web.request import decode_path

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

View = Callable[..., Any]
Match = tuple[View, Sequence[Any], Mapping[str, Any]]
"""A view with the positional and the named arguments that follow the request."""

_plain_parameter = re.compile(r"<([A-Za-z_][A-Za-z0-9_]*)>")
_parameter_name = re.compile("<(?:([^<>]*):)?[^<>:]*>")
_text_converters = (None, "default", "string")
_int_digits = 18
_no_names: Mapping[str, Any] = {}
_is_plain_segment = re.compile("[A-Za-z0-9._~-]+").fullmatch
_plain_path = re.compile("(?:/(?:<[A-Za-z_][A-Za-z0-9_]*>|[A-Za-z0-9._~-]*))+")
ANY_METHOD = "*"
_SAFE_IN_QUERY = "/?:@!$&'()*+,;=%-._~[]|"
_tree_parameter = re.compile(r"<(int:)?([A-Za-z_][A-Za-z0-9_]*)>")


class RedirectNeeded(Exception):
    """The path lacks a trailing slash or has too many slashes.

    `path` is the canonical path, quoted, relative to the app's root.
    """

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


class PathApp:
    """A WSGI app that can be given the path, so that a mount does not have to make an environ for it."""

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return self.respond(environ, start_response, environ.get("PATH_INFO", ""))

    def respond(self, environ: WSGIEnvironment, start_response: StartResponse, path: str) -> Iterable[bytes]:
        """Respond with what is at `path`, whatever PATH_INFO is."""
        raise NotImplementedError


class Mount:
    """Another WSGI app at a prefix, which moves from PATH_INFO to SCRIPT_NAME."""

    def __init__(self, prefix: str, app: WSGIApplication) -> None:
        self.prefix = prefix
        self.below = prefix + "/"
        self.length = len(prefix)
        self.app = app
        self.respond = app.respond if isinstance(app, PathApp) else None

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        # A copy, so that the caller (an access log, for example) still sees the requested path.
        shifted = environ.copy()
        root = environ.get("SCRIPT_NAME")
        shifted["SCRIPT_NAME"] = root.rstrip("/") + self.prefix if root else self.prefix
        shifted["PATH_INFO"] = environ["PATH_INFO"][len(self.prefix) :]
        return self.app(shifted, start_response)


class _Node:
    """A place in the tree of segments; `for_matcher` where a rule goes on that the tree cannot hold.

    `views` has, by method, a view and the names of its parameters, if they cannot be passed by position;
    None where the matcher decides.
    """

    __slots__ = ("below", "for_matcher", "integer", "text", "views")

    def __init__(self) -> None:
        self.below: dict[str, _Node] = {}
        self.text: _Node | None = None
        self.integer: _Node | None = None
        self.for_matcher = False
        self.views: dict[str, tuple[View, list[str]] | None] = {}

    def add(self, segment: str, parameter: re.Match[str] | None) -> _Node:
        if parameter is None:
            return self.below.setdefault(segment, _Node())
        if parameter[1]:
            self.integer = self.integer or _Node()
            return self.integer
        self.text = self.text or _Node()
        return self.text


class Router:
    """All routes of an app, and its mounts.

    `shortcuts` has two dicts for each method: views of rules without parameters by their path, and views
    of `head/<tail>` by the head; they do not apply to an empty tail.
    """

    def __init__(self, converters: Mapping[str, type[BaseConverter]] | None = None) -> None:
        self.shortcuts: dict[str, tuple[dict[str, View], dict[str, View]]] = {}
        self.mounts: list[Mount] = []
        self._heads_for_matcher: set[str] = set()
        self._any_first_segment = False
        self._views: dict[str, dict[str, View]] = {}  # by rule and method
        self._rules_by_path: dict[str, str] = {}  # a rule for each path before the first parameter
        # By view and by name: a path with %s for each parameter, and whether that is an integer.
        self._plain_rules: dict[str | View, tuple[str, dict[str, bool]] | None] = {}
        self._named: dict[str, list[View]] = {}
        self._tree = _Node()
        self._has_tree = not {"default", "int"} & (converters or {}).keys()
        self._map = Map(converters=converters)
        self._matcher = self._map.bind("")

    def add(self, rule: str, view: View, methods: Iterable[str] | None, name: str | None) -> None:
        """Route a rule to a view.

        Raises UsageError if the rule is not a path or already has a view, or if the view cannot be called.
        """
        if not rule.startswith("/") or "//" in rule:
            right = "/" + re.sub("/+", "/", rule).lstrip("/")
            raise UsageError(f"The rule {rule!r} is not a path.", remedy=f"Write {right!r}.")
        added = Rule(rule, endpoint=view, methods=methods)
        self._check_new(rule, view, [ANY_METHOD] if methods is None else map(str.upper, methods))
        static, parameter, _ = encode_path(rule).partition("<")
        path = static[: static.rindex("/") + 1] if parameter else static
        self._rules_by_path[path] = rule
        self._check_mounts([path])
        self._map.add(added)
        check_call(view, f"the view of {rule!r}", "request", parameters=sorted(added.arguments))
        self._add_name(name or _name(view), rule, view)
        self._any_first_segment |= "<" in rule.split("/")[1]
        self._add_to_tree(rule, view, added.methods)
        for method in added.methods or ():
            self._add_shortcut(method, rule, view)

    def _check_new(self, rule: str, view: View, methods: Iterable[str]) -> None:
        """Raise UsageError if another view has the same rule, whatever its parameters are called."""
        views = self._views.setdefault(_parameter_name.sub(_converter, rule), {})
        for method in methods:
            others = views.values() if method == ANY_METHOD else (views.get(method), views.get(ANY_METHOD))
            for other in others:
                if other not in (None, view):
                    shown = "every method" if method == ANY_METHOD else method
                    raise UsageError(
                        f"{source(view)} has the rule {rule!r} for {shown}, and so has {source(other)}.",
                        remedy="Give one of them another rule or method.",
                    )
            views[method] = view

    def _check_mounts(self, paths: Iterable[str]) -> None:
        """Raise UsageError if a mount takes all requests of one of the rules with these paths."""
        for path in paths:
            if (mount := self.find_mount(path)) is not None:
                raise UsageError(
                    f"The rule {self._rules_by_path[path]!r} is below {decode_path(mount.prefix)!r}, "
                    "where an app is mounted that gets all requests.",
                    remedy="Route it in the mounted app, or mount an app of its own for it.",
                )

    def _add_name(self, name: str, rule: str, view: View) -> None:
        """Keep the rule for `build`: in short, if it is the view's only one and needs no quoting."""
        named = self._named.setdefault(name, [])
        if view not in named:
            named.append(view)
        path = _tree_parameter.sub(r"<\2>", rule)
        plain = None
        if view in self._plain_rules:
            self._plain_rules.update(
                dict.fromkeys((each for each, views in self._named.items() if view in views), None)
            )
        elif self._has_tree and _plain_path.fullmatch(path):
            parameters = {name: bool(integer) for integer, name in _tree_parameter.findall(rule)}
            plain = _tree_parameter.sub("%s", rule), parameters
        self._plain_rules[view] = plain
        self._plain_rules[name] = plain if len(named) == 1 else None

    def _add_shortcut(self, method: str, rule: str, view: View) -> None:
        exact, tails = self.shortcuts.setdefault(method, ({}, {}))
        static, opening, _ = rule.partition("<")
        if not opening:
            exact.setdefault(encode_path(rule), view)
            return
        cut = static.rindex("/")
        head, (segment, *more) = encode_path(rule[:cut]), rule[cut + 1 :].split("/")
        parameter = _plain_parameter.fullmatch(segment)
        if parameter is None:  # <int:n> and similar have priority, or match a part of the segment
            self._heads_for_matcher.add(head)
            for _, others in self.shortcuts.values():
                others.pop(head, None)
        elif (
            self._has_tree
            and not more
            and head not in self._heads_for_matcher
            and _takes(view, [parameter[1]])
        ):
            tails.setdefault(head, view)

    def _add_to_tree(self, rule: str, view: View, methods: Iterable[str] | None) -> None:
        node, names = self._tree, []
        for segment in encode_path(rule).split("/")[1:]:
            parameter = _tree_parameter.fullmatch(segment) if self._has_tree else None
            if parameter is None and "<" in segment:
                node.for_matcher = True
                return
            node = node.add(segment, parameter)
            if parameter is not None:
                names.append(parameter[2])
        if methods is None:
            node.views = dict.fromkeys([ANY_METHOD, *node.views])
        elif ANY_METHOD not in node.views:
            by_name = [] if _takes(view, names) else names
            for method in methods:
                node.views.setdefault(method, (view, by_name))

    def mount(self, prefix: str, app: WSGIApplication) -> None:
        """Mount an app at a prefix; the longest matching prefix wins. Raises UsageError if it is invalid."""
        if not prefix.startswith("/") or not prefix.strip("/"):
            raise UsageError(
                f"{prefix!r} is not a prefix to mount at.", remedy="Give a path below /, such as '/api'."
            )
        check_call(app, f"mounted at {prefix!r}", "environ", "start_response")
        self.mounts.append(Mount(encode_path(prefix.rstrip("/")), app))
        self.mounts.sort(key=lambda mount: -len(mount.prefix))
        self._check_mounts(self._rules_by_path)

    def find_mount(self, path: str) -> Mount | None:
        """The mount that contains a path: `/api` contains `/api` and `/api/x`, but not `/apix`."""
        for mount in self.mounts:
            if path.startswith(mount.below) or path == mount.prefix:
                return mount
        return None

    def match(self, method: str, path: str) -> Match | None:
        """The view and its arguments for a path that no dict covers; None if no rule matches.

        Raises MethodNotAllowed (with the allowed methods) or RedirectNeeded.
        """
        first, slash, rest = path.removeprefix("/").partition("/")
        values: list[str | int] = []
        if first and (node := self._tree.below.get(first)) is not None:
            segments = rest.split("/") if slash else ()
        elif first and not self._any_first_segment:
            return None
        else:
            node, segments = self._tree, path.split("/")[1:]
        for segment in segments:
            below = node.below.get(segment)
            if below is None:
                value: str | int = segment
                if node.integer is not None and segment.isdecimal():
                    if len(segment) > _int_digits:
                        break
                    below, value = node.integer, int(segment)
                else:
                    below = node.text
                if below is None or node.for_matcher or not segment or not segment.isascii():
                    break
                values.append(value)
            node = below
        else:
            if (found := node.views.get(method)) is not None:
                view, names = found
                if names:
                    return view, (), dict(zip(names, values, strict=True))
                return view, values, _no_names
        return self._match_by_rules(method, path)

    def _match_by_rules(self, method: str, path: str) -> Match | None:
        known_method = method if method.isupper() else "--"  # methods are case-sensitive, RFC 9110 9.1
        try:
            view, named = self._matcher.match(decode_path(path), known_method)
            return view, (), named
        except RequestRedirect as redirect:
            raise RedirectNeeded("/" + urlsplit(redirect.new_url).path.lstrip("/")) from None
        except MethodNotAllowed as error:
            raise MethodNotAllowed(sorted({*(error.valid_methods or ()), "OPTIONS"})) from None
        except (NotFound, ValueError):  # a converter refused the value: an int of 5,000 digits
            return None

    def paths(self, method: str) -> list[str]:
        """The rules without parameters that have a method."""
        return [
            rule.rule
            for rule in self._map.iter_rules()
            if not rule.arguments and (rule.methods is None or method in rule.methods)
        ]

    def methods(self) -> list[str]:
        """Every method of any route: what the app as a whole allows."""
        return sorted(
            {"OPTIONS", *(method for rule in self._map.iter_rules() for method in rule.methods or ())}
        )

    def build(self, endpoint: str | View, values: Mapping[str, Any]) -> str:
        """The quoted path of a view, given itself or its name. Raises LookupError unless there is one."""
        plain = self._plain_rules.get(endpoint)
        if plain is None or len(plain[1]) != len(values):
            return self._build_by_rules(endpoint, values)
        path, parameters = plain
        if not values:
            return path
        texts = []
        for name, is_integer in parameters.items():
            value = values.get(name)
            if type(value) is int and value >= 0:
                value = str(value)
            elif is_integer or type(value) is not str or not _is_plain_segment(value):
                return self._build_by_rules(endpoint, values)
            texts.append(value)
        return path % tuple(texts)

    def _build_by_rules(self, endpoint: str | View, values: Mapping[str, Any]) -> str:
        views = self._named.get(endpoint, []) if isinstance(endpoint, str) else [endpoint]
        if len(views) != 1:
            found = f"{len(views)} views are" if views else "no view is"
            raise LookupError(f"{found} named {endpoint!r}, and url_for needs one")
        return self._matcher.build(views[0], values)


def source(view: View) -> str:
    """A view's module and qualified name, for messages."""
    return f"{getattr(view, '__module__', '?')}.{getattr(view, '__qualname__', type(view).__qualname__)}"


def _converter(parameter: re.Match[str]) -> str:
    return "<>" if parameter[1] in _text_converters else f"<{parameter[1]}>"


def check_call(called: Callable[..., Any], use: str, *given: str, parameters: Sequence[str] = ()) -> None:
    """Raise UsageError unless it can be called with what is given by position, and `parameters` by name."""
    wanted = f"def {_name(called)}({', '.join([*given, *parameters])})"
    if iscoroutinefunction(called) or isasyncgenfunction(called):
        raise UsageError(f"{source(called)} is async, and so cannot be {use}.", remedy=f"Write {wanted}.")
    try:
        signature(called, follow_wrapped=False).bind(*given, **dict.fromkeys(parameters))
    except ValueError:  # some built-in functions have no signature
        return
    except TypeError as error:
        raise UsageError(f"{source(called)} cannot be {use}: {error}.", remedy=f"Write {wanted}.") from None


def _takes(view: View, names: list[str]) -> bool:
    """Whether the view takes these parameters after the request, in this order, and no others."""
    _, *others = signature(view, follow_wrapped=False).parameters.values()
    kind = Parameter.POSITIONAL_OR_KEYWORD
    return [(each.name, each.kind) for each in others] == [(name, kind) for name in names]


def _name(view: View) -> str:
    name: str = getattr(view, "__name__", type(view).__name__)
    return name


def encode_path(text: str) -> str:
    """The WSGI form of a path; the inverse of `decode_path`."""
    return text.encode().decode("latin-1")


def with_query(path: str, environ: WSGIEnvironment) -> str:
    """A quoted path and the request's query; servers let through bytes of it that a URL may not contain."""
    query = environ.get("QUERY_STRING", "").encode("latin-1", "replace")
    return f"{path}?{quote(query, safe=_SAFE_IN_QUERY)}" if query else path


def quote_root(script_name: str) -> str:
    """SCRIPT_NAME as the start of a URL's path; never with two slashes at its start."""
    quoted = quote(script_name.encode("latin-1", "replace"), safe="/!$&'()*+,:;=@~").strip("/")
    return f"/{quoted}" if quoted else ""
