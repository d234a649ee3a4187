"""Apps of several modules: included routes."""

from __future__ import annotations

import pytest

from tests.web.serving import call
from webdemo import App, Request, Routes
from webdemo.errors import UsageError


def blog() -> Routes:
    routes = Routes()
    routes.get("/", name="posts")(lambda request: "posts")

    @routes.get("/<int:number>")
    @routes.post("/<int:number>", name="change")
    def post(request: Request, number: int) -> str:
        return f"{request.method} {number}"

    routes.get("/fails")(lambda request: str(1 / 0))
    return routes


def test_included_routes_are_the_apps_own() -> None:
    app = App()
    app.get("/")(lambda request: "home")
    app.include(blog(), "/blog")
    app.errorhandler(ZeroDivisionError)(lambda request, error: ("handled", 500))
    assert call(app, "/blog/").body == b"posts"
    assert call(app, "/blog/5", "POST").body == b"POST 5"
    assert call(app, "/blog/fails").body == b"handled"
    assert (app.url_for("posts"), app.url_for("change", number=7)) == ("/blog/", "/blog/7")
    assert app.paths() == ["/", "/blog/", "/blog/fails"]


def test_routes_can_be_included_without_a_prefix_or_twice() -> None:
    app = App()
    routes = blog()
    app.include(routes)
    app.include(routes, "/other/")
    assert call(app, "/").body == call(app, "/other/").body == b"posts"
    with pytest.raises(UsageError, match="so has"):
        app.include(blog())


def test_another_app_is_not_included_but_mounted() -> None:
    with pytest.raises(UsageError, match=r"include takes Routes, not App\."):
        App().include(App())  # type: ignore[arg-type]
