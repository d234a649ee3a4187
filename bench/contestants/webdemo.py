"""webdemo."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import content
from webdemo import App, Request, Response, StaticFiles

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

DISTRIBUTION = "webdemo"


def pages() -> WSGIApplication:
    app = App(templates=content.TEMPLATES)

    @app.get("/")
    def index(request: Request) -> str:
        return content.HELLO

    @app.get("/response")
    def response(request: Request) -> Response:
        return Response(content.HELLO)

    @app.get("/json")
    def as_json(request: Request) -> dict[str, Any]:
        return content.PAYLOAD

    @app.get("/hello/<name>")
    def hello(request: Request, name: str) -> str:
        return content.hello(name)

    @app.get("/page")
    def page(request: Request) -> str:
        return app.render(content.PAGE, title="Ports", items=content.ITEMS)

    @app.get("/search")
    def search(request: Request) -> str:
        return content.found(request.args["q"], request.args["page"], request.cookies["theme"])

    @app.post("/form")
    def form(request: Request) -> str:
        return content.sent(request.form["name"], request.form["port"])

    return app


def routes() -> WSGIApplication:
    app = App()
    for number in range(content.MANY_ROUTES):

        @app.get(content.section(number) + "/<name>")
        def view(request: Request, name: str) -> str:
            return content.hello(name)

    return app


def files(folder: Path) -> WSGIApplication:
    app = App()
    app.mount("/static", StaticFiles(folder))
    return app
