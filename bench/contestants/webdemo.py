"""webdemo."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import content
from webdemo import App, Request, Response, StaticFiles, abort, redirect

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


def handlers(folder: Path) -> WSGIApplication:
    app = App(templates=content.TEMPLATES, static=folder)
    mounted = App()
    app.mount("/mounted", mounted)

    @app.get("/text")
    @mounted.get("/text")
    def text(request: Request) -> str:
        return content.HELLO

    @app.get("/type")
    def with_type(request: Request) -> Response:
        return Response(content.HELLO, content_type="text/plain; charset=utf-8")

    @app.get("/header")
    def header(request: Request) -> Response:
        return Response(content.HELLO, headers={"X-Frame-Options": "DENY"})

    @app.get("/set_header")
    def set_header(request: Request) -> Response:
        response = Response(content.HELLO)
        response.headers["X-Frame-Options"] = "DENY"
        return response

    @app.get("/status")
    def status(request: Request) -> tuple[str, int]:
        return content.HELLO, 202

    @app.get("/headers")
    def headers(request: Request) -> tuple[str, int, dict[str, str]]:
        return content.HELLO, 202, {"X-Frame-Options": "DENY"}

    @app.get("/set_cookie")
    def set_cookie(request: Request) -> Response:
        response = Response(content.HELLO)
        response.set_cookie("theme", "dark", httponly=True, samesite="Lax")
        return response

    @app.get("/delete_cookie")
    def delete_cookie(request: Request) -> Response:
        response = Response(content.HELLO)
        response.delete_cookie("theme")
        return response

    @app.get("/redirect")
    def redirected(request: Request) -> Response:
        return redirect("/text")

    @app.get("/abort")
    def aborted(request: Request) -> str:
        abort(404)

    @app.errorhandler(404)
    def gone(request: Request, error: Exception) -> str:
        return content.GONE

    @app.get("/created")
    def created(request: Request) -> tuple[dict[str, Any], int]:
        return content.PAYLOAD, 201

    @app.get("/two/<x>/b/<y>")
    def two(request: Request, x: str, y: str) -> str:
        return content.found(x, y, "")

    @app.get("/int/<int:number>", name="int")
    def integer(request: Request, number: int) -> str:
        return content.hello(str(number + 1))

    @app.post("/json")
    def json(request: Request) -> str:
        return content.hello(request.json["name"])

    @app.post("/raw")
    def raw(request: Request) -> str:
        return content.hello(str(len(request.data)))

    @app.get("/list")
    def several(request: Request) -> str:
        return content.hello(" ".join(request.args.getlist("q")))

    @app.post("/form")
    def form(request: Request) -> str:
        return content.sent(request.form["name"], request.form["port"])

    @app.get("/cookie")
    def cookie(request: Request) -> str:
        return content.hello(request.cookies["theme"])

    @app.get("/url")
    def url(request: Request) -> str:
        return content.hello(request.url)

    @app.post("/upload")
    def upload(request: Request) -> str:
        return content.sent(request.form["title"], str(len(request.files["file"].read())))

    @app.get("/links")
    def links(request: Request) -> str:
        return app.render(content.LINKS, title="Ports", items=content.ITEMS, picture=content.PICTURE)

    @app.get("/stream")
    def stream(request: Request) -> Iterator[str]:
        yield from content.PARTS

    return app
