"""An app's responses: each kind of result, errors, streams, mounts, and no header injection."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import UndefinedError
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import Gone, HTTPException, Unauthorized
from werkzeug.test import run_wsgi_app
from werkzeug.wrappers import Response as WerkzeugResponse

from tests.web.serving import Reply, call, collect, environ
from webdemo import App, Request, Response, abort, redirect
from webdemo.errors import UsageError, WebdemoError


def reply_to(result: Any, method: str = "GET", **more: Any) -> Reply:
    """The response for a view's result, checked by wsgiref.validate."""
    app = App()
    app.get("/")(
        lambda request: result() if callable(result) and not isinstance(result, WerkzeugResponse) else result
    )
    return call(app, method=method, **more)


class Page(str):
    """A subclass of str, like Markup."""


results = {
    "text": ("Grüße", "200", "text/html; charset=utf-8", "Grüße".encode()),
    "special text": (Page("x"), "200", "text/html; charset=utf-8", b"x"),
    "bytes": (b"\x00\xff", "200", "application/octet-stream", b"\x00\xff"),
    "dict": ({"ü": [1, None]}, "200", "application/json", '{"ü":[1,null]}'.encode()),
    "list": ([1, 2], "200", "application/json", b"[1,2]"),
    "status": (("made", 201), "201", "text/html; charset=utf-8", b"made"),
    "status text": (("made", "299 Odd Thing"), "299 Odd Thing", "text/html; charset=utf-8", b"made"),
    "JSON with a status": (({"a": 1}, 202), "202", "application/json", b'{"a":1}'),
    "headers": (("x", 200, {"X-A": "1"}), "200", "text/html; charset=utf-8", b"x"),
    "own type": (("x", 200, {"Content-Type": "text/plain"}), "200", "text/plain", b"x"),
    "light response": (lambda: Response("x"), "200 OK", "text/html; charset=utf-8", b"x"),
    "light response with status": (lambda: Response(b"x", 404), "404", "text/html; charset=utf-8", b"x"),
    "full response": (lambda: Response("x", mimetype="text/plain"), "200", "text/plain; charset=utf-8", b"x"),
    "Werkzeug's response": (lambda: WerkzeugResponse("x"), "200", "text/plain; charset=utf-8", b"x"),
    "iterator": (lambda: iter(["a", b"b", "ü"]), "200", "text/html; charset=utf-8", "abü".encode()),
    "iterator with status": (lambda: (iter(["a"]), 203), "203", "text/html; charset=utf-8", b"a"),
    "streamed response": (
        lambda: Response(iter(["a"]), mimetype="text/csv"),
        "200",
        "text/csv; charset=utf-8",
        b"a",
    ),
    "redirect": (lambda: redirect("/x"), "302", "text/html; charset=utf-8", None),
    "returned error": (lambda: Gone(), "410", "text/html; charset=utf-8", None),
}


@pytest.mark.parametrize("kind", results)
def test_each_kind_of_result_is_answered_and_head_has_the_same_headers(kind: str) -> None:
    result, status, content_type, body = results[kind]
    reply = reply_to(result)
    assert reply.status.startswith(status)
    assert reply["Content-Type"] == content_type
    assert body is None or reply.body == body
    head = reply_to(result, "HEAD")
    assert (head.status, head.headers, head.body) == (reply.status, reply.headers, b"")


@pytest.mark.parametrize(
    "kind", [kind for kind in results if "iterator" not in kind and "stream" not in kind]
)
def test_content_length_is_set_where_it_is_known(kind: str) -> None:
    reply = reply_to(results[kind][0])
    assert reply["Content-Length"] == str(len(reply.body))


@pytest.mark.parametrize("status", [204, 304])
@pytest.mark.parametrize(
    "make",
    [
        lambda code: ("x", code),
        lambda code: Response("x", code),
        lambda code: ("", code, {}),
        lambda code: (iter(["x"]), code),
        lambda code: Response((each for each in ["x"]), code),
    ],
)
def test_answers_without_content_have_no_body_and_no_type(make: Any, status: int) -> None:
    reply = reply_to(lambda: make(status))
    assert (reply.status[:3], reply.body) == (str(status), b"")
    assert not {"content-type", "content-length"} & {name.lower() for name, _ in reply.headers}


@pytest.mark.parametrize(
    "result", [None, 5, object(), {1, 2}, ("x", None), ("x", 200, {}, 1), (("x", 201), 202)]
)
def test_other_results_are_errors_that_name_the_view(result: Any, caplog: pytest.LogCaptureFixture) -> None:
    assert reply_to(lambda: result).status == "500 Internal Server Error"
    assert "reply_to.<locals>.<lambda> returned" in caplog.text


@pytest.mark.parametrize("first", [1, None, bytearray(b"x"), "\ud800"])
def test_stream_whose_first_part_cannot_be_sent_is_answered_with_500(first: Any) -> None:
    assert reply_to(lambda: iter([first])).status == "500 Internal Server Error"


def test_json_is_valid_or_an_error(caplog: pytest.LogCaptureFixture) -> None:
    assert reply_to({"half": "\ud800"}).body == b'{"half":"\\ud800"}'
    assert reply_to([float("nan")]).status.startswith("500")


@pytest.mark.parametrize("bad", ["a\r\nX-B: 1", "a\nb", "a\rb", "a\0b", "snow\N{SNOWMAN}", "\x7f", "\ud800"])
@pytest.mark.parametrize(
    "make",
    [
        lambda bad: ("x", 200, {"X-A": bad}),
        lambda bad: Response("x", headers={"X-A": bad}),
        lambda bad: Response("x", content_type=f"text/{bad}"),
        lambda bad: ("x", 200, {f"X-{bad}": "a"}),
        lambda bad: Response("x", status=f"200 {bad}"),
        lambda bad: ("x", f"200 {bad}"),
    ],
)
def test_nothing_breaks_out_of_a_header(make: Any, bad: str, caplog: pytest.LogCaptureFixture) -> None:
    reply = reply_to(lambda: make(bad))
    assert reply.status == "500 Internal Server Error"
    assert len(caplog.records) == 1


@given(text=st.text(max_size=20))
def test_redirects_and_cookies_from_user_input_cannot_break_out(text: str) -> None:
    logging.disable()
    try:
        for result in (
            lambda: redirect("/" + text),
            lambda: redirect(text),
            lambda: _with_cookie("name", text),
        ):
            reply = reply_to(result)
            assert reply.status[:3] in ("200", "302", "500")
            for name, value in reply.headers:
                assert re.fullmatch(r"[\t -~\x80-\xff]*", f"{name}: {value}")
    finally:
        logging.disable(logging.NOTSET)


def _with_cookie(name: str, value: str) -> Response:
    response = Response("x")
    response.set_cookie(name, value)
    return response


def test_redirect_to_text_that_is_not_ascii_is_quoted() -> None:
    assert reply_to(lambda: redirect("/grüße?a=ü", 303))["Location"] == "/gr%C3%BC%C3%9Fe?a=%C3%BC"


def test_redirect_refuses_a_code_that_is_none() -> None:
    with pytest.raises(ValueError, match="200 is not a redirect"):
        redirect("/", 200)


def test_light_response_becomes_what_it_would_have_been() -> None:
    for touch in ("status_code", "headers", "data", "mimetype", "is_json", "response"):
        light = Response("Grüße", 201)
        full = WerkzeugResponse("Grüße", 201, mimetype="text/html")
        assert getattr(light, touch) == getattr(full, touch)
    assert not hasattr(Response("x"), "nonsense")


def test_what_is_set_on_a_light_response_is_sent() -> None:
    def changed() -> Response:
        response = Response("first")
        response.status_code = 418
        response.data = "second"
        response.headers["X-A"] = "1"
        response.set_cookie("a", "b", httponly=True)
        response.delete_cookie("c")
        return response

    reply = reply_to(changed)
    assert reply.status.startswith("418")
    assert (reply.body, reply["X-A"], reply["Content-Length"]) == (b"second", "1", "6")
    assert [value for name, value in reply.headers if name == "Set-Cookie"] == [
        "a=b; HttpOnly; Path=/",
        "c=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; Path=/",
    ]


def test_header_lists_are_not_shared_between_answers() -> None:
    app = App()
    app.get("/")(lambda request: "x")
    app.get("/json")(lambda request: {})
    app.get("/response")(lambda request: Response("x"))
    for path in ("/", "/json", "/response", "/missing"):
        first = collect(app, environ(path)).headers
        first.append(("X-Server", "added"))
        assert collect(app, environ(path)).headers == first[:-1]


# Errors


def test_a_view_that_raises_is_500_with_the_traceback_logged_and_not_sent(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = App()

    @app.get("/boom")
    def boom(request: Request) -> str:
        raise RuntimeError("the secret")

    reply = call(app, "/boom")
    assert reply.status == "500 Internal Server Error"
    assert b"secret" not in reply.body
    assert b"Traceback" not in reply.body
    (record,) = caplog.records
    assert record.name == "webdemo"
    assert "boom failed on GET /boom" in record.message
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "the secret"


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", "text/html; charset=utf-8"),
        ("*/*", "text/html; charset=utf-8"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "text/html; charset=utf-8"),
        ("application/json", "application/json"),
        ("application/json, text/html;q=0.5", "application/json"),
        ("application/json;q=0.5, text/html", "text/html; charset=utf-8"),
        ("application/*", "application/json"),
        ("image/png", "text/html; charset=utf-8"),
        ("nonsense;;q=x", "text/html; charset=utf-8"),
    ],
)
def test_errors_are_html_or_json_as_accept_prefers(accept: str, content_type: str) -> None:
    reply = call(App(), "/missing", HTTP_ACCEPT=accept)
    assert (reply.status, reply["Content-Type"], reply["Vary"]) == ("404 Not Found", content_type, "Accept")
    if content_type == "application/json":
        assert json.loads(reply.body).keys() == {"status", "title", "detail"}


def test_the_standard_error_page_follows_the_browsers_colours_under_every_policy() -> None:
    page = call(App(), "/missing").body
    assert b'<meta name="color-scheme" content="light dark">' in page
    assert not re.search(rb"<style|<script|style=|<link", page)


def test_abort_takes_a_code_and_a_description_which_is_escaped() -> None:
    def refuse() -> None:
        abort(403, "not <you>")

    reply = reply_to(refuse)
    assert reply.status == "403 Forbidden"
    assert b"not &lt;you&gt;" in reply.body
    as_json = reply_to(refuse, HTTP_ACCEPT="application/json").body
    assert json.loads(as_json) == {"status": 403, "title": "Forbidden", "detail": "not <you>"}


def test_abort_takes_a_response() -> None:
    assert reply_to(lambda: abort(Response("mine", 409))).body == b"mine"


def test_response_that_is_raised_passes_by_the_handler_of_all_errors() -> None:
    app = App()
    app.errorhandler(HTTPException)(lambda request, error: f"error {error.code}")
    app.get("/")(lambda request: abort(redirect("/elsewhere")))
    reply = call(app)
    assert (reply.status, reply["Location"]) == ("302 Found", "/elsewhere")


def test_an_error_keeps_its_own_headers() -> None:
    def locked() -> None:
        raise Unauthorized(www_authenticate=WWWAuthenticate("basic", {"realm": "x"}))

    assert reply_to(locked)["WWW-Authenticate"] == "Basic realm=x"


def test_error_handler_of_a_code_answers_with_that_code() -> None:
    app = App()
    app.errorhandler(404)(lambda request, error: f"no {request.path}")
    reply = call(app, "/missing")
    assert (reply.status[:3], reply.body) == ("404", b"no /missing")
    assert call(app, "/missing", "HEAD").headers == reply.headers


def test_error_handler_may_choose_another_status() -> None:
    app = App()
    app.errorhandler(404)(lambda request, error: ("moved on", 200))
    assert call(app, "/missing").status == "200 OK"


def test_error_handler_of_the_nearest_class_is_used(caplog: pytest.LogCaptureFixture) -> None:
    app = App()

    @app.get("/")
    def view(request: Request) -> str:
        return {"a": "b"}[request.args["key"]]

    app.errorhandler(LookupError)(lambda request, error: ("lookup", 422))
    app.errorhandler(KeyError)(lambda request, error: type(error).__name__)
    app.errorhandler(HTTPException)(lambda request, error: f"http {error.code}")
    reply = call(app, QUERY_STRING="key=z")
    assert (reply.status[:3], reply.body) == ("500", b"KeyError")
    assert call(app, "/missing").body == b"http 404"


def test_error_handler_of_500_sees_the_exception(caplog: pytest.LogCaptureFixture) -> None:
    app = App()
    app.get("/")(lambda request: str(1 / 0))
    app.errorhandler(500)(lambda request, error: type(error).__name__)
    assert call(app).body == b"ZeroDivisionError"


def test_error_handler_that_fails_leaves_the_standard_answer(caplog: pytest.LogCaptureFixture) -> None:
    app = App()
    app.errorhandler(404)(lambda request, error: str(1 / 0))
    assert call(app, "/missing").status == "500 Internal Server Error"
    assert "The error handler for" in caplog.text


# Streams


class Source:
    """An iterator that counts the calls of its close()."""

    def __init__(self, items: list[Any]) -> None:
        self.items = iter(items)
        self.closed = 0

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        item = next(self.items)
        if isinstance(item, Exception):
            raise item
        return item

    def close(self) -> None:
        self.closed += 1


wraps = [lambda source: source, lambda source: Response(source), lambda source: (source, 200, {"X-A": "1"})]


@pytest.mark.parametrize("wrap", wraps)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_stream_is_closed_once_at_its_end(wrap: Any, method: str) -> None:
    source = Source(["a", b"b"])
    reply = reply_to(lambda: wrap(source), method)
    assert reply.body == (b"ab" if method == "GET" else b"")
    assert source.closed == 1


@pytest.mark.parametrize("wrap", wraps)
def test_stream_is_closed_once_when_the_client_leaves(wrap: Any) -> None:
    source = Source(["a", "b"])
    app = App()
    app.get("/")(lambda request: wrap(source))
    body: Any = app(environ(), lambda *head: lambda data: None)
    assert next(iter(body)) == b"a"
    body.close()
    body.close()
    assert source.closed == 1


@pytest.mark.parametrize("wrap", wraps)
@pytest.mark.parametrize("bad", [RuntimeError("broken"), 5, None])
def test_stream_that_fails_is_logged_broken_off_and_closed_once(
    wrap: Any, bad: Any, caplog: pytest.LogCaptureFixture
) -> None:
    source = Source(["a", bad])
    app = App()
    app.get("/")(lambda request: wrap(source))
    body: Any = app(environ(), lambda *head: lambda data: None)
    parts = iter(body)
    assert next(parts) == b"a"
    with pytest.raises((RuntimeError, TypeError, AttributeError)):
        next(parts)
    body.close()
    assert source.closed == 1
    assert "broke off" in caplog.text


def test_stream_is_closed_when_the_server_refuses_the_headers() -> None:
    source = Source(["a"])
    app = App()
    app.get("/")(lambda request: source)

    def refuse(*head: Any) -> Any:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        app(environ(), refuse)
    assert source.closed == 1


def test_generator_view_runs_below_the_script_name_of_its_request() -> None:
    app = App()

    @app.get("/")
    def view(request: Request) -> Iterator[str]:
        yield app.url_for("view")

    assert call(app, SCRIPT_NAME="/demo").body == b"/demo/"
    assert call(app).body == b"/"


# Mounts


def tell(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    told = [environ["REQUEST_METHOD"], environ["SCRIPT_NAME"], environ["PATH_INFO"]]
    return [b"" if told[0] == "HEAD" else " ".join(told).encode("latin-1")]


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/api", "/api "),
        ("/api/", "/api /"),
        ("/api/x%2Fy", "/api /x%2Fy"),
        ("/api//x", "/api //x"),
        ("/ap\xc3\xa9/x", "/ap\xc3\xa9 /x"),
        ("/api/deep/x", "/api/deep /x"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "BREW"])
def test_mounted_app_gets_every_method_and_its_part_of_the_path(path: str, told: str, method: str) -> None:
    app = App()
    for prefix in ("/api", "/apé/", "/api/deep"):
        app.mount(prefix, tell)
    assert collect(app, environ(path, method)).body.decode("latin-1") == f"{method} {told}"
    assert (
        collect(app, environ(path, method, SCRIPT_NAME="/up")).body.decode("latin-1") == f"{method} /up{told}"
    )


def test_prefix_ends_at_a_slash() -> None:
    app = App()
    app.mount("/api", tell)
    assert call(app, "/apix").status == "404 Not Found"


@pytest.mark.parametrize("prefix", ["", "/", "api", "//"])
def test_mount_refuses_what_is_no_prefix(prefix: str) -> None:
    with pytest.raises(UsageError, match="is not a prefix"):
        App().mount(prefix, tell)


def test_mount_leaves_the_callers_environ_alone() -> None:
    app = App()
    app.mount("/api", tell)
    made = environ("/api/x")
    collect(app, made)
    assert (made["SCRIPT_NAME"], made["PATH_INFO"]) == ("", "/api/x")


def test_mount_wins_over_a_pattern_that_has_other_paths_too() -> None:
    app = App()
    app.get("/<path:anything>")(lambda request, anything: "pattern")
    app.get("/<name>")(lambda request, name: "name")
    app.mount("/api", tell)
    assert call(app, "/api").body == b"GET /api "
    assert call(app, "/api/x").body == b"GET /api /x"
    assert call(app, "/other").body == b"name"


@pytest.mark.parametrize("rule", ["/apé", "/apé/", "/apé/fixed", "/apé/<x>", "/apé/<int:x>/deep"])
@pytest.mark.parametrize("first", ["mount", "rule"])
def test_rule_below_a_mount_is_refused(rule: str, first: str) -> None:
    app = App()
    add = app.get(rule)
    if first == "mount":
        app.mount("/apé", tell)
        with pytest.raises(UsageError, match=f"The rule '{rule}' is below"):
            add(lambda request, **_: "")
    else:
        add(lambda request, **_: "")
        with pytest.raises(UsageError, match=f"The rule '{rule}' is below"):
            app.mount("/apé", tell)


def test_rule_beside_a_mount_is_not_below_it() -> None:
    app = App()
    app.mount("/api", tell)
    app.get("/apis")(lambda request: "")
    app.get("/api<x>")(lambda request, x: x)
    assert call(app, "/apix").body == b"x"


def test_url_for_is_right_in_apps_within_apps() -> None:
    outer, inner = App(), App()
    outer.get("/home", name="home")(lambda request: "")
    inner.get("/page", name="page")(lambda request: f"{inner.url_for('page')} {outer.url_for('home')}")
    outer.mount("/in", inner)
    assert call(outer, "/in/page").body == b"/in/page /home"
    assert call(outer, "/in/page", SCRIPT_NAME="/up").body == b"/up/in/page /up/home"


def test_url_for_is_right_from_any_app_to_any_other() -> None:
    outer, admin, blog, deep = App(), App(), App(), App()
    outer.mount("/admin", admin)
    outer.mount("/bl\u00f6g", blog)
    blog.mount("/deep", deep)
    admin.get("/", name="dashboard")(lambda request: "")
    deep.get("/x/<name>", name="x")(
        lambda request, name: f"{admin.url_for('dashboard')} {blog.url_for('posts')}"
    )
    blog.get("/", name="posts")(lambda request: f"{admin.url_for('dashboard')} {deep.url_for('x', name='y')}")
    outer.get("/", name="home")(lambda request: f"{admin.url_for('dashboard')} {deep.url_for('x', name='y')}")
    for root in ("", "/up"):
        there = f"{root}/admin/ {root}/bl%C3%B6g/deep/x/y".encode()
        assert call(outer, SCRIPT_NAME=root).body == there
        assert call(outer, "/bl\xc3\xb6g/", SCRIPT_NAME=root).body == there
        reply = call(outer, "/bl\xc3\xb6g/deep/x/1", SCRIPT_NAME=root)
        assert reply.body == f"{root}/admin/ {root}/bl%C3%B6g/".encode()
    assert call(admin, "/").status == "200 OK"


def test_url_for_of_a_mounted_app_is_right_where_it_is_served_alone() -> None:
    outer, inner = App(), App()
    outer.mount("/in", inner)
    inner.get("/page", name="page")(lambda request: inner.url_for("page"))
    assert call(inner, "/page").body == b"/page"
    assert call(outer, "/in/page").body == b"/in/page"
    assert inner.url_for("page") == "/in/page"


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"x": "a", "n": 5}, "/t/a/5"),
        ({"x": 7, "n": "5"}, "/t/7/5"),
        ({"x": "a b/c", "n": 5}, "/t/a%20b/c/5"),
        ({"x": "<n>", "n": 5}, "/t/%3Cn%3E/5"),
        ({"x": "\u00fc", "n": 5, "q": "1"}, "/t/%C3%BC/5?q=1"),
    ],
)
def test_url_for_quotes_its_values(values: dict[str, Any], path: str) -> None:
    app = App()
    app.get("/t/<x>/<int:n>", name="t")(lambda request, x, n: "")
    assert app.url_for("t", **values) == path


# Odd requests


latin1 = st.text(st.characters(min_codepoint=1, max_codepoint=255), max_size=12)


@given(
    path=st.one_of(st.none(), latin1),
    script_name=st.one_of(st.none(), latin1),
    query=st.one_of(st.none(), latin1),
    host=st.one_of(st.none(), latin1),
    method=st.sampled_from(["GET", "HEAD", "POST", "OPTIONS", "get", "", "BREW", "\xff"]),
    length=st.one_of(st.none(), st.sampled_from(["", "0", "3", "99", "x", "-1", "\xb2"])),
    accept=st.one_of(st.none(), latin1),
    kind=st.sampled_from(
        [
            "",
            "text/plain",
            "application/x-www-form-urlencoded",
            "application/json",
            "multipart/form-data; boundary=ü",
        ]
    ),
)
def test_no_odd_request_is_a_500(
    path: Any, script_name: Any, query: Any, host: Any, method: str, length: Any, accept: Any, kind: str
) -> None:
    app = App()

    def view(request: Request, **arguments: Any) -> Any:
        told = [
            request.url,
            request.base_url,
            request.host_url,
            request.full_path,
            request.args,
            request.cookies,
        ]
        return {"told": [*map(str, told), request.form.to_dict(), request.get_json(silent=True)]}

    for rule in ("/", "/a", "/a/", "/n/<int:n>/", "/<name>", "/p/<path:p>"):
        app.route(rule, methods=["GET", "POST"], name=rule)(view)
    made = environ(method=method, wsgi_input=io.BytesIO(b"a=1"), CONTENT_TYPE=kind)
    given_ = {"PATH_INFO": path, "SCRIPT_NAME": script_name and f"/{script_name}", "QUERY_STRING": query}
    given_ |= {"HTTP_HOST": host, "CONTENT_LENGTH": length, "HTTP_ACCEPT": accept}
    for key, value in given_.items():
        made.pop(key, None)
        if value is not None:
            made[key] = value
    reply = collect(app, made)
    assert reply.status[:3] in ("200", "204", "308", "400", "404", "405"), reply


# Folders and pages


def test_templates_and_static_beside_the_callers_file_are_taken(tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "page.html").write_text(
        "{{ static('app.css') }} {{ url_for('page') }} {{ name }}"
    )
    (tmp_path / "static").mkdir()
    (tmp_path / "static" / "app.css").write_text("body {}")
    code = """
from webdemo import App
app = App()
@app.get("/page")
def page(request):
    return app.render("page.html", name="<Ada>")
"""
    namespace: dict[str, Any] = {"__file__": str(tmp_path / "site.py"), "__name__": "site"}
    exec(compile(code, "site.py", "exec"), namespace)
    app = namespace["app"]
    url, path, name = call(app, "/page", SCRIPT_NAME="/up").body.decode().split()
    assert (path, name) == ("/up/page", "&lt;Ada&gt;")
    assert url.startswith("/up/static/app.")
    assert call(app, url.removeprefix("/up")).body == b"body {}"


@pytest.mark.parametrize("kind", ["templates", "static"])
def test_folder_that_does_not_exist_fails_when_the_app_is_made(kind: str, tmp_path: Path) -> None:
    missing: Any = {kind: tmp_path / "missing"}
    with pytest.raises(WebdemoError, match=f"The {kind} folder .*missing does not exist"):
        App(**missing)


def test_pages_and_assets_without_their_folder_name_the_remedy() -> None:
    app = App()
    with pytest.raises(WebdemoError, match="no templates folder"):
        app.render("x.html")
    with pytest.raises(WebdemoError, match="no static folder"):
        app.static_url("x.css")


def test_name_that_is_not_there_is_an_error_in_a_template(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("{{ mispelt }}")
    with pytest.raises(UndefinedError, match="mispelt"):
        App(templates=tmp_path).render("page.html")


def test_template_of_plain_text_can_leave_escaping_off(tmp_path: Path) -> None:
    (tmp_path / "mail.txt").write_text("{% autoescape false %}{{ name }}{% endautoescape %}")
    assert App(templates=tmp_path).render("mail.txt", name="<Ada>") == "<Ada>"


def test_edited_template_is_read_again_within_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from webdemo.web import templates

    clock = [0.0]
    monkeypatch.setattr(templates, "monotonic", lambda: clock[0])
    app = App(templates=tmp_path)
    (tmp_path / "page.html").write_text("first")
    assert app.render("page.html") == "first"
    (tmp_path / "page.html").write_text("second, longer")
    os.utime(tmp_path / "page.html", (1, 1))
    clock[0] = 1.5
    assert app.render("page.html") == "second, longer"


def test_one_app_answers_many_threads() -> None:
    app = App()

    @app.get("/hello/<name>")
    def hello(request: Request, name: str) -> str:
        return f"{request.args['q']} {name} {app.url_for('hello', name=name)}"

    wrong: list[bytes] = []

    def ask(number: int) -> None:
        for _ in range(100):
            body = call(app, f"/hello/{number}", QUERY_STRING=f"q={number}", SCRIPT_NAME=f"/s{number}").body
            if body != f"{number} {number} /s{number}/hello/{number}".encode():
                wrong.append(body)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert wrong == []


def test_test_client_follows_redirects_and_keeps_cookies() -> None:
    app = App()

    @app.get("/set")
    def set_cookie(request: Request) -> Response:
        response = redirect("/get")
        response.set_cookie("a", "1")
        return response

    app.get("/get")(lambda request: request.cookies.to_dict())
    assert app.test_client().get("/set", follow_redirects=True).json == {"a": "1"}


def test_a_response_is_a_wsgi_app() -> None:
    status = run_wsgi_app(Response("x"), environ())[1]
    assert status == "200 OK"


def test_the_paths_without_parameters_are_listed_by_method() -> None:
    app, shop, cellar = App(), App(), App()
    for rule in ("/b", "/of/<name>", "/a/", "/\u00e9t\u00e9"):
        app.get(rule)(lambda request, name="": name)
    app.post("/b")(lambda request: "")
    app.route("/any", methods=None)(lambda request: "")
    shop.get("/")(lambda request: "")
    shop.get("/cellar/wine")(lambda request: "")  # the longer mount takes it
    cellar.get("/beer")(lambda request: "")
    app.mount("/shop", shop)
    app.mount("/shop/cellar", cellar)
    app.mount("/plain", lambda environ, start_response: [])
    assert app.paths() == ["/b", "/a/", "/\u00e9t\u00e9", "/any", "/shop/cellar/beer", "/shop/"]
    assert app.paths("HEAD") == app.paths()
    assert app.paths("POST") == ["/b", "/any"]
    for path in app.paths():
        assert app.test_client().get(path).status_code == 200, path
