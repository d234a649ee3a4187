"""Paths are routed to the same views as by Werkzeug's own matcher."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.exceptions import MethodNotAllowed, NotFound
from werkzeug.routing import BaseConverter, Map, RequestRedirect, Rule

from tests.web.serving import call, collect, environ
from webdemo import App, Request
from webdemo.errors import UsageError
from webdemo.web.request import decode_path
from webdemo.web.routing import RedirectNeeded, Router


def app_with(*rules: str, **options: Any) -> App:
    """An app whose views return their rule and arguments."""
    app = App(**options)
    for rule in rules:
        app.get(rule, name=rule)(lambda request, _rule=rule, **arguments: {"rule": _rule, **arguments})
    return app


def found(app: App, path: str) -> Any:
    response = app.test_client().get(path)
    return response.json if response.status_code == 200 else response.status_code


def test_path_without_parameters_is_found() -> None:
    assert found(app_with("/", "/about"), "/about") == {"rule": "/about"}


def test_parameters_are_converted() -> None:
    app = app_with("/n/<int:n>", "/p/<path:p>", "/two/<a>/<b>", "/f/<float:f>.html")
    assert found(app, "/n/42") == {"rule": "/n/<int:n>", "n": 42}
    assert found(app, "/p/a/b.txt") == {"rule": "/p/<path:p>", "p": "a/b.txt"}
    assert found(app, "/two/x/y") == {"rule": "/two/<a>/<b>", "a": "x", "b": "y"}
    assert found(app, "/f/1.5.html") == {"rule": "/f/<float:f>.html", "f": 1.5}
    assert found(app, "/n/x") == 404


def test_own_converters_work() -> None:
    class Hex(BaseConverter):
        regex = "[0-9a-f]+"

        def to_python(self, value: str) -> int:
            return int(value, 16)

        def to_url(self, value: int) -> str:
            return f"{value:x}"

    app = app_with("/h/<hex:n>", converters={"hex": Hex})
    assert found(app, "/h/ff") == {"rule": "/h/<hex:n>", "n": 255}
    assert app.url_for("/h/<hex:n>", n=255) == "/h/ff"


def test_non_ascii_paths_arrive_as_text() -> None:
    app = app_with("/grüße", "/wer/<name>", "/tief/<name>/<int:n>")
    assert found(app, "/gr%C3%BC%C3%9Fe") == {"rule": "/grüße"}
    assert found(app, "/wer/J%C3%B6rg") == {"rule": "/wer/<name>", "name": "Jörg"}
    assert found(app, "/tief/J%C3%B6rg/1") == {"rule": "/tief/<name>/<int:n>", "name": "Jörg", "n": 1}


def test_invalid_utf8_in_a_path_is_replaced() -> None:
    assert found(app_with("/wer/<name>"), "/wer/%ff") == {
        "rule": "/wer/<name>",
        "name": "\N{REPLACEMENT CHARACTER}",
    }


def test_a_view_with_other_parameters_gets_its_value_by_name() -> None:
    app = App()

    @app.get("/hello/<name>")
    def hello(request: Request, greeting: str = "Hello", *, name: str) -> str:
        return f"{greeting}, {name}"

    assert call(app, "/hello/Ada").body == b"Hello, Ada"


def test_view_in_a_decorator_gets_its_value_by_name() -> None:
    def decorator(view: Callable[..., str]) -> Callable[..., str]:
        @functools.wraps(view)
        def inner(request: Request, **arguments: Any) -> str:
            return view(request, **arguments)

        return inner

    app = App()

    @app.get("/hello/<name>")
    @decorator
    def hello(request: Request, name: str) -> str:
        return name

    assert call(app, "/hello/Ada").body == b"Ada"


@pytest.mark.parametrize("path", ["/0/b/1", "/<>/b/<int:>", "/<x>/b/<y>"])
def test_segments_that_look_like_parameters_are_text(path: str) -> None:
    _, x, _, y = path.split("/")
    assert found(app_with("/<x>/b/<y>"), path) == {"rule": "/<x>/b/<y>", "x": x, "y": y}


def test_integer_with_too_many_digits_is_404() -> None:
    app = app_with("/n/<int:n>", "/m/<int:m>/<path:p>", "/t/<int:n>", "/t/<text>/x", "/t/<text>")
    assert found(app, "/n/" + "9" * 30) == {"rule": "/n/<int:n>", "n": int("9" * 30)}
    assert found(app, "/t/" + "9" * 30)["rule"] == "/t/<int:n>"
    assert found(app, "/n/" + "9" * 5000) == 404
    assert found(app, "/m/" + "9" * 5000 + "/x") == 404


def test_own_converter_takes_the_place_of_one_with_its_name() -> None:
    class Shouted(BaseConverter):
        def to_python(self, value: str) -> str:
            return value.upper()

    app = app_with("/a/<x>", "/b/<x>/<y>", converters={"default": Shouted})
    assert found(app, "/a/x") == {"rule": "/a/<x>", "x": "X"}
    assert found(app, "/b/x/y") == {"rule": "/b/<x>/<y>", "x": "X", "y": "Y"}


def test_slash_is_added_with_the_query_kept() -> None:
    response = app_with("/about/").test_client().get("/about?a=1&b=%20")
    assert (response.status_code, response.location) == (308, "/about/?a=1&b=%20")


def test_redirect_stays_below_the_script_name() -> None:
    reply = call(app_with("/about/"), "/about", SCRIPT_NAME="/demo")
    assert reply["Location"] == "/demo/about/"


@pytest.mark.parametrize(
    "path", ["//evil.example/x", "///evil.example/x", "/\\evil.example/x", "//evil.example//x"]
)
@pytest.mark.parametrize("script_name", ["", "//evil.example", "/"])
def test_redirect_never_leaves_the_site(path: str, script_name: str) -> None:
    reply = collect(app_with("/<host>/<page>/"), environ(path, SCRIPT_NAME=script_name))
    assert reply.status.startswith("308")
    assert reply["Location"][0] == "/"
    assert reply["Location"][1] not in "/\\"


def test_empty_path_below_a_prefix_gets_its_slash() -> None:
    assert call(app_with("/"), "", SCRIPT_NAME="/demo")["Location"] == "/demo/"


def test_wrong_method_is_405_with_allow() -> None:
    app = app_with("/about")
    app.post("/about")(lambda request: "")
    reply = call(app, "/about", "DELETE")
    assert (reply.status, reply["Allow"]) == ("405 Method Not Allowed", "GET, HEAD, OPTIONS, POST")


@pytest.mark.parametrize("method", ["BREW", "M-SEARCH", "PROPFIND"])
def test_unknown_method_is_405_where_there_is_a_page_and_404_elsewhere(method: str) -> None:
    app = app_with("/about", "/hello/<name>", "/n/<int:n>")
    for path in ("/about", "/hello/x", "/n/1"):
        assert app.test_client().open(path, method=method).status_code == 405
    assert app.test_client().open("/nope", method=method).status_code == 404


def test_methods_are_case_sensitive() -> None:
    assert collect(app_with("/about"), environ("/about", "get")).status.startswith("405")


def test_options_comes_by_itself() -> None:
    reply = call(app_with("/about"), "/about", "OPTIONS")
    assert (reply.status, reply["Allow"], reply.body) == ("204 No Content", "GET, HEAD, OPTIONS", b"")


def test_options_of_the_whole_server_names_every_method() -> None:
    app = app_with("/about")
    app.put("/x")(lambda request: "")
    assert collect(app, environ("*", "OPTIONS"))["Allow"] == "GET, HEAD, OPTIONS, PUT"


def test_own_options_view_is_used() -> None:
    app = app_with("/about")
    app.route("/about", methods=["OPTIONS"])(lambda request: "mine")
    assert call(app, "/about", "OPTIONS").body == b"mine"


def test_static_part_comes_before_a_parameter() -> None:
    app = app_with("/u/<name>", "/u/me", "/u/<int:n>", "/u/<name>/edit")
    assert found(app, "/u/me") == {"rule": "/u/me"}
    assert found(app, "/u/7") == {"rule": "/u/<int:n>", "n": 7}
    assert found(app, "/u/you") == {"rule": "/u/<name>", "name": "you"}
    assert found(app, "/u/you/edit") == {"rule": "/u/<name>/edit", "name": "you"}


def test_method_decides_between_a_static_path_and_a_parameter() -> None:
    app = App()
    app.get("/u/me")(lambda request: "me")
    app.post("/u/<name>")(lambda request, name: name)
    assert call(app, "/u/me", "POST").body == b"me"
    assert call(app, "/u/you", "POST").body == b"you"


@pytest.mark.parametrize(
    ("first", "second"), [("/a", "/a"), ("/a/<x>", "/a/<string:y>"), ("/<int:a>", "/<int:b>")]
)
def test_second_view_of_a_rule_is_refused(first: str, second: str) -> None:
    def one(request: Request, **_: Any) -> str:
        return "one"

    def two(request: Request, **_: Any) -> str:
        return "two"

    app = App()
    app.get(first)(one)
    with pytest.raises(UsageError, match=r"two has the rule '.*' for GET, and so has .*one\."):
        app.route(second, methods=["POST", "GET"])(two)
    app.get(second)(one)
    app.delete(second)(two)
    assert app.test_client().delete(second.replace("<int:b>", "5")).text == "two"


@pytest.mark.parametrize("methods", [(None, ["GET"]), (["GET"], None)])
@pytest.mark.parametrize("rule", ["/a", "/a/<x>"])
def test_view_of_every_method_shares_its_rule_with_no_other(rule: str, methods: tuple[Any, Any]) -> None:
    app = App()
    app.route(rule, methods=methods[0])(lambda request, **_: "one")
    with pytest.raises(UsageError, match="so has"):
        app.route(rule, methods=methods[1])(lambda request, **_: "two")


def test_decorator_without_a_rule_is_refused() -> None:
    app = App()
    with pytest.raises(UsageError, match=r"The decorator of .*app_with has no rule"):
        app.get(app_with)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rule", "view"),
    [
        ("/", lambda: ""),
        ("/<x>", lambda request: ""),
        ("/<x>", lambda request, y: ""),
        ("/", lambda request, x: ""),
    ],
)
def test_view_that_cannot_be_called_is_refused(rule: str, view: Any) -> None:
    with pytest.raises(UsageError, match="cannot be the view of '/") as caught:
        App().get(rule)(view)
    assert "def <lambda>(request" in caught.value.remedy


def test_async_view_and_what_is_no_app_are_refused() -> None:
    app = App()

    async def view(request: Request) -> str:
        return "late"

    with pytest.raises(UsageError, match="view is async, and so cannot be the view of '/'"):
        app.get("/")(view)  # type: ignore[type-var]
    for other in (view, 5):
        with pytest.raises(UsageError, match="cannot be mounted at '/x'"):
            app.mount("/x", other)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rule", "right"), [("about", "/about"), ("//about", "/about"), ("/a//<b>", "/a/<b>")]
)
def test_rule_that_is_no_path_is_refused_with_the_right_one(rule: str, right: str) -> None:
    with pytest.raises(UsageError) as caught:
        App().get(rule)(lambda request: "")
    assert caught.value.remedy == f"Write '{right}'."


def test_url_for_takes_a_name_or_a_view() -> None:
    app = App()

    @app.get("/hello/<name>")
    @app.post("/hello/<name>")
    def hello(request: Request, name: str) -> str:
        return app.url_for("hello", name=name, page=2)

    assert app.url_for("hello", name="a b/c") == "/hello/a%20b/c"
    assert app.url_for(hello, name="Jörg", page=2) == "/hello/J%C3%B6rg?page=2"
    assert call(app, "/hello/x", SCRIPT_NAME="/dem\xc3\xb6").body == b"/dem%C3%B6/hello/x?page=2"
    assert app.url_for(hello, name="x") == "/hello/x"


def test_url_for_refuses_a_name_of_no_view_or_of_two() -> None:
    app = App()
    app.get("/a", name="twice")(lambda request: "")
    app.get("/b", name="twice")(lambda request: "")
    with pytest.raises(LookupError, match="2 views are named 'twice'"):
        app.url_for("twice")
    with pytest.raises(LookupError, match="no view is named 'never'"):
        app.url_for("never")


def names(rule: str) -> list[str]:
    return [part.split(":")[-1] for part in rule.replace("<", ">").split(">")[1::2]]


rules = st.lists(
    st.lists(
        st.sampled_from(
            ["a", "b", "ü", "<x>", "<int:n>", "<path:p>", "x<y>", "<string(length=2):s>", "<z>.html", ""]
        ),
        min_size=1,
        max_size=4,
    ).map(lambda segments: "/" + "/".join(segments)),
    min_size=1,
    max_size=8,
).map(
    lambda rules: [rule for rule in rules if "//" not in rule and len(names(rule)) == len(set(names(rule)))]
)
paths = st.lists(st.sampled_from(["a", "b", "ü", "7", "xy", "q.html", "", "*"]), max_size=5).map(
    lambda segments: "".join(f"/{segment}" for segment in segments)
)


@given(rules=rules, methods=st.data(), path=paths, method=st.sampled_from(["GET", "POST", "HEAD", "PUT"]))
def test_dicts_answer_as_werkzeugs_matcher_does(
    rules: list[str], methods: st.DataObject, path: str, method: str
) -> None:
    router, plain = Router(), Map()
    for number, rule in enumerate(rules):
        chosen = methods.draw(st.sampled_from([["GET"], ["POST"], ["GET", "POST"]]))
        try:
            router.add(rule, _view(number, rule), chosen, name=None)
        except UsageError:  # the same rule again
            continue
        plain.add(Rule(rule, endpoint=number, methods=chosen))

    def expected() -> Any:
        try:
            return plain.bind("").match(path, method)
        except NotFound:
            return None
        except MethodNotAllowed as error:
            return sorted(error.valid_methods or ())
        except RequestRedirect as redirect:
            return redirect.new_url.removeprefix("http://")

    wsgi_path = path.encode().decode("latin-1")

    def answered() -> Any:
        exact, tails = router.shortcuts.get(method, ({}, {}))
        if (view := exact.get(wsgi_path)) is not None:
            return view(None), {}
        head, _, tail = wsgi_path.rpartition("/")
        if tail and (view := tails.get(head)) is not None:
            return view(None), {_only_parameter(rules[view(None)]): decode_path(tail)}
        try:
            match = router.match(method, wsgi_path)
        except MethodNotAllowed as error:
            return sorted({*(error.valid_methods or ())} - {"OPTIONS"})
        except RedirectNeeded as redirect:
            return redirect.path
        if match is None:
            return None
        view, positional, named = match
        return view(None), dict(zip(names(rules[view(None)]), positional, strict=False)) | dict(named)

    assert answered() == expected()


def _view(number: int, rule: str) -> Callable[..., int]:
    namespace: dict[str, Any] = {}
    parameters = names(rule)
    # real parameter names, so that the router may pass a tail by position
    exec(f"def view(request, {', '.join(f'{name}=None' for name in parameters)}): return {number}", namespace)
    view: Callable[..., int] = namespace["view"]
    return view


def _only_parameter(rule: str) -> str:
    return rule[rule.index("<") + 1 : rule.index(">")]
