"""Falcon."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import falcon
from falcon.media import JSONHandler

from bench import content

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

DISTRIBUTION = "falcon"


class Index:
    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        response.text = content.HELLO


class Json:
    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        response.content_type = content.JSON
        response.media = content.PAYLOAD


class Hello:
    def on_get(self, request: falcon.Request, response: falcon.Response, name: str) -> None:
        response.text = content.hello(name)


class Page:
    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        response.text = content.page().render(title="Ports", items=content.ITEMS)


class Search:
    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        query = request.params
        response.text = content.found(str(query["q"]), str(query["page"]), request.cookies["theme"])


class Form:
    def on_post(self, request: falcon.Request, response: falcon.Response) -> None:
        fields = request.get_media()
        response.text = content.sent(fields["name"], fields["port"])


def pages() -> WSGIApplication:
    app = falcon.App(media_type=content.HTML)
    app.resp_options.media_handlers[content.JSON] = JSONHandler(dumps=content.to_json)
    app.add_route("/", Index())
    app.add_route("/response", Index())
    app.add_route("/json", Json())
    app.add_route("/hello/{name}", Hello())
    app.add_route("/page", Page())
    app.add_route("/search", Search())
    app.add_route("/form", Form())
    app.add_error_handler(falcon.HTTPNotFound, _not_found)
    return app


def routes() -> WSGIApplication:
    app = falcon.App(media_type=content.HTML)
    for number in range(content.MANY_ROUTES):
        app.add_route(content.section(number) + "/{name}", Hello())
    return app


def files(folder: Path) -> WSGIApplication:
    app = falcon.App()
    app.add_static_route("/static", str(folder))
    return app


def _not_found(
    request: falcon.Request, response: falcon.Response, error: falcon.HTTPNotFound, params: object
) -> None:
    response.status = falcon.HTTP_404
    response.text = content.NOT_FOUND
