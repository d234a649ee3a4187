"""Bottle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import bottle

from bench import content

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
