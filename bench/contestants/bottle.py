"""Bottle."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bottle

from bench import content
from webdemo import StaticFiles

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

DISTRIBUTION = "bottle"

bottle.BaseResponse.default_content_type = content.HTML  # as the others write it


def pages() -> WSGIApplication:
    app = bottle.Bottle(autojson=False)
    app.install(bottle.JSONPlugin(json_dumps=content.to_json))
    app.get("/", callback=lambda: content.HELLO)
    app.get(
        "/response",
        callback=lambda: bottle.HTTPResponse(content.HELLO),
    )
    app.get("/json", callback=lambda: content.PAYLOAD)
    app.get("/hello/<name>", callback=content.hello)
    app.get("/page", callback=lambda: content.page().render(title="Ports", items=content.ITEMS))
    app.get("/search", callback=_search)
    app.post("/form", callback=_form)
    app.error(404, callback=lambda error: content.NOT_FOUND)
    return app  # type: ignore[no-any-return]  # Bottle has no types


def routes() -> WSGIApplication:
    app = bottle.Bottle()
    for number in range(content.MANY_ROUTES):
        app.get(content.section(number) + "/<name>", callback=content.hello)
    return app  # type: ignore[no-any-return]  # as above


def files(folder: Path) -> WSGIApplication:
    app = bottle.Bottle()
    app.get("/static/<name:path>", callback=lambda name: bottle.static_file(name, root=str(folder)))
    return app  # type: ignore[no-any-return]  # as above


def _search() -> str:
    query: Any = bottle.request.query
    return content.found(query.q, query.page, bottle.request.get_cookie("theme"))


def _form() -> str:
    fields: Any = bottle.request.forms
    return content.sent(fields.name, fields.port)


def handlers(folder: Path) -> WSGIApplication:
    app = bottle.Bottle(autojson=False)
    app.install(bottle.JSONPlugin(json_dumps=content.to_json))
    for path, view in _VIEWS.items():
        app.route(path, ["GET", "POST"], view)
    mounted = bottle.Bottle(autojson=False)
    mounted.get("/text", callback=lambda: content.HELLO)
    app.mount("/mounted/", mounted)
    app.get("/text", name="text", callback=lambda: content.HELLO)
    app.get("/two/<x>/b/<y>", name="two", callback=lambda x, y: content.found(x, y, ""))
    app.get("/int/<number:int>", name="int", callback=lambda number: content.hello(str(number + 1)))
    app.error(404, callback=lambda error: content.GONE)
    page = content.page(content.LINKS)
    page.globals.update(url_for=app.get_url, static=lambda path: f"/static/{StaticFiles(folder).url(path)}")
    picture = page.globals["static"](content.PICTURE)
    page.globals["static"] = lambda path: picture
    app.get(
        "/links",
        callback=lambda: page.render(title="Ports", items=content.ITEMS, picture=content.PICTURE),
    )
    return app  # type: ignore[no-any-return]  # as above


def _type() -> str:
    bottle.response.content_type = "text/plain; charset=utf-8"
    return content.HELLO


def _header() -> str:
    bottle.response.set_header("X-Frame-Options", "DENY")
    return content.HELLO


def _status() -> str:
    bottle.response.status = 202
    return content.HELLO


def _headers() -> Any:
    return bottle.HTTPResponse(content.HELLO, 202, {"X-Frame-Options": "DENY"})


def _set_cookie() -> str:
    bottle.response.set_cookie("theme", "dark", path="/", httponly=True, samesite="lax")
    return content.HELLO


def _delete_cookie() -> str:
    bottle.response.delete_cookie("theme", path="/")
    return content.HELLO


def _created() -> dict[str, Any]:
    bottle.response.status = 201
    return content.PAYLOAD


def _json() -> str:
    return content.hello(bottle.request.json["name"])


def _raw() -> str:
    return content.hello(str(len(bottle.request.body.read())))


def _several() -> str:
    return content.hello(" ".join(bottle.request.query.decode().getall("q")))


def _cookie() -> str:
    return content.hello(bottle.request.get_cookie("theme"))


def _url() -> str:
    return content.hello(bottle.request.url)


def _upload() -> str:
    file: Any = bottle.request.files["file"]
    return content.sent(bottle.request.forms.title, str(len(file.file.read())))


def _stream() -> Iterator[str]:
    yield from content.PARTS


_VIEWS = {
    "/type": _type,
    "/header": _header,
    "/set_header": _header,
    "/status": _status,
    "/headers": _headers,
    "/set_cookie": _set_cookie,
    "/delete_cookie": _delete_cookie,
    "/redirect": lambda: bottle.redirect("/text", 302),
    "/abort": lambda: bottle.abort(404),
    "/created": _created,
    "/json": _json,
    "/raw": _raw,
    "/list": _several,
    "/form": _form,
    "/cookie": _cookie,
    "/url": _url,
    "/upload": _upload,
    "/stream": _stream,
}
