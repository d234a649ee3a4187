"""Hooks before and after each request of an app."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest

from tests.web.serving import call
from webdemo import App, Request, Response, abort
from webdemo.errors import UsageError


def app_with_views() -> App:
    app = App()
    app.get("/")(lambda request: "home")
    app.get("/json")(lambda request: ({"a": 1}, 201))
    app.get("/fails")(lambda request: str(1 / 0))

    @app.get("/stream")
    def stream(request: Request) -> Iterator[str]:
        yield "a"
        yield "b"

    return app


def test_hook_that_cannot_be_called_is_refused_when_it_is_added() -> None:
    def needs_key(*, key: object) -> None: ...

    app, wrong = App(), cast("Any", needs_key)
    for add, form in (
        (app.before, "(request)"),
        (app.after, "(request, response)"),
        (app.errorhandler(404), "(request, error)"),
        (app.context_processor, "(context)"),
        (app.on_worker_start, "()"),
    ):
        with pytest.raises(UsageError) as refused:
            add(wrong)
        assert refused.value.remedy == f"Write def needs_key{form}."


def test_errorhandler_without_a_code_or_class_is_refused() -> None:
    for key in (app_with_views, "404"):
        with pytest.raises(UsageError, match="is not a status code or a class of exceptions"):
            App().errorhandler(key)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/", "200", b"home"),
        ("/json", "201", b'{"a":1}'),
        ("/stream", "200", b"ab"),
        ("/nowhere", "404", None),
        ("/fails", "500", None),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_after_sees_every_response(path: str, status: str, body: bytes | None, method: str) -> None:
    app = app_with_views()

    @app.after
    def add(request: Request, response: Response) -> None:
        response.headers["X-Status"] = str(response.status_code)
        response.set_cookie("seen", "1")

    reply = call(app, path, method)
    assert (reply.status[:3], reply["X-Status"], reply["Set-Cookie"]) == (status, status, "seen=1; Path=/")
    if body is not None:
        assert reply.body == (body if method == "GET" else b"")


def test_after_may_return_another_response_or_change_the_body() -> None:
    app = app_with_views()

    @app.after
    def replace(request: Request, response: Response) -> Response | None:
        if request.path == "/json":
            return Response("other", 202)
        response.data = b"longer than before"
        return None

    assert call(app, "/json").body == b"other"
    reply = call(app)
    assert (reply.body, reply["Content-Length"]) == (b"longer than before", "18")


def test_before_may_answer_or_refuse() -> None:
    app = app_with_views()
    seen: list[str] = []

    @app.before
    def guard(request: Request) -> str | None:
        seen.append(request.path)
        if request.path == "/json":
            abort(403)
        return "early" if request.args.get("early") else None

    assert call(app).body == b"home"
    assert call(app, QUERY_STRING="early=1").body == b"early"
    assert call(app, "/json").status == "403 Forbidden"
    assert call(app, "/nowhere").status == "404 Not Found"
    assert seen == ["/", "/", "/json", "/nowhere"]


def test_hook_that_fails_is_a_500_and_closes_the_stream(caplog: pytest.LogCaptureFixture) -> None:
    app = app_with_views()

    @app.after
    def fail(request: Request, response: Response) -> None:
        raise RuntimeError

    for path in ("/", "/stream"):
        assert call(app, path).status == "500 Internal Server Error"
    assert "failed on GET /" in caplog.text
