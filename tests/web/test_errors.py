"""Error handlers: which one is called, what it must not lose, and what is logged."""

from __future__ import annotations

import json
from typing import Any

import pytest
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import (
    BadRequest,
    HTTPException,
    NotFound,
    RequestedRangeNotSatisfiable,
    TooManyRequests,
    Unauthorized,
)
from werkzeug.routing import RequestRedirect

from tests.web.serving import call
from webdemo import App, Request, Response, abort


class Denied(Exception):
    pass


class Teapot(HTTPException):
    code = 418


def app_that_raises(error: Exception, *handlers: Any) -> App:
    app = App()

    @app.get("/")
    def view(request: Request) -> str:
        raise error

    for key in handlers:
        app.errorhandler(key)(lambda request, error, key=key: str(key))
    return app


@pytest.mark.parametrize(
    ("error", "handlers", "chosen"),
    [
        (Denied(), (Denied, 500), Denied),
        (Denied(), (Exception, 500), Exception),
        (Denied(), (500, HTTPException), 500),
        (KeyError("x"), (LookupError, Exception), LookupError),
        (Teapot(), (HTTPException, 418), 418),
        (Teapot(), (Teapot, 418), Teapot),
        (Teapot(), (HTTPException, Exception, 500), HTTPException),
        (Teapot(), (Exception,), Exception),
        (NotFound(), (404, NotFound), NotFound),
    ],
)
def test_handler_of_the_nearest_class_is_called(error: Exception, handlers: Any, chosen: Any) -> None:
    assert call(app_that_raises(error, *handlers)).body == str(chosen).encode()


def test_handler_that_returns_an_error_leaves_the_standard_page_to_it() -> None:
    app = app_that_raises(Denied())
    app.errorhandler(Denied)(lambda request, error: TooManyRequests("Wait.", retry_after=5))
    app.errorhandler(404)(lambda request, error: error)
    reply = call(app)
    assert (reply.status[:3], reply["Retry-After"], b"Wait." in reply.body) == ("429", "5", True)
    assert call(app, "/nowhere").body == call(App(), "/nowhere").body


@pytest.mark.parametrize(
    ("handlers", "is_logged"),
    [((), True), ((500,), True), ((Denied,), False), ((Exception,), True), ((Exception, Denied), False)],
)
def test_only_exceptions_without_a_handler_of_their_own_are_logged(
    handlers: Any, is_logged: bool, caplog: pytest.LogCaptureFixture
) -> None:
    assert call(app_that_raises(Denied(), *handlers)).status.startswith("500")
    assert ("view failed on GET /" in caplog.text) == is_logged


@pytest.mark.parametrize("make", [lambda error: "page", lambda error: Response("page", error.code)])
@pytest.mark.parametrize(
    ("error", "name", "value"),
    [
        (Unauthorized(www_authenticate=WWWAuthenticate("basic", {"realm": "r"})), "WWW-Authenticate", None),
        (TooManyRequests(retry_after=5), "Retry-After", "5"),
        (RequestedRangeNotSatisfiable(length=9), "Content-Range", "bytes */9"),
    ],
)
def test_own_error_page_keeps_the_headers_of_its_status(
    make: Any, error: HTTPException, name: str, value: str | None
) -> None:
    app = app_that_raises(error)
    app.errorhandler(HTTPException)(lambda request, error: make(error))
    reply = call(app)
    assert reply.body == b"page"
    assert reply[name] == (value or "Basic realm=r")


def test_own_page_of_405_has_allow_and_may_set_it() -> None:
    app = App()
    app.get("/x")(lambda request: "")
    app.errorhandler(405)(lambda request, error: "no")
    assert call(app, "/x", "POST")["Allow"] == "GET, HEAD, OPTIONS"
    app.errorhandler(405)(lambda request, error: ("no", 405, {"Allow": "GET"}))
    assert call(app, "/x", "POST")["Allow"] == "GET"


def test_page_with_another_status_does_not_get_the_headers() -> None:
    app = App()
    app.get("/x")(lambda request: "")
    app.errorhandler(405)(lambda request, error: ("elsewhere", 200))
    assert "Allow" not in dict(call(app, "/x", "POST").headers)


def test_exception_that_makes_its_own_response_is_sent_as_it_is() -> None:
    class Problem(HTTPException):
        code = 422

        def get_body(self, environ: Any = None, scope: Any = None) -> str:
            return json.dumps({"error": self.description})

        def get_headers(self, environ: Any = None, scope: Any = None) -> list[tuple[str, str]]:
            return [("Content-Type", "application/problem+json")]

    reply = call(app_that_raises(Problem("bad")))
    assert (reply.status, reply["Content-Type"]) == ("422 UNPROCESSABLE ENTITY", "application/problem+json")
    assert json.loads(reply.body) == {"error": "bad"}
    moved = call(app_that_raises(RequestRedirect("/p")))
    assert (moved.status[:3], moved["Location"]) == ("308", "/p")


def test_abort_of_a_code_that_is_no_error_is_refused() -> None:
    for code in (200, 999):
        with pytest.raises(LookupError, match=str(code)):
            abort(code)
    with pytest.raises(BadRequest) as caught:
        abort(400, "why")
    assert caught.value.description == "why"


def test_missing_field_is_named_in_its_400() -> None:
    app = App()
    app.get("/")(lambda request: request.args["page"])
    reply = call(app, HTTP_ACCEPT="application/json")
    assert (reply.status, json.loads(reply.body)["detail"]) == (
        "400 Bad Request",
        "The request has no 'page'.",
    )


def test_test_client_raises_what_no_handler_expects_when_asked(caplog: pytest.LogCaptureFixture) -> None:
    app = app_that_raises(Denied(), 500)
    assert app.test_client().get("/").text == "500"
    outer = App()
    outer.mount("/in", app)
    for asked, path in ((app, "/"), (outer, "/in/")):
        with pytest.raises(Denied):
            asked.test_client(raise_errors=True).get(path)
    app.errorhandler(Denied)(lambda request, error: ("denied", 403))
    assert app.test_client(raise_errors=True).get("/").text == "denied"
    assert app.test_client(raise_errors=True).get("/nowhere").status_code == 404
