"""Falcon."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import falcon
from falcon.media import JSONHandler

from bench import content
from webdemo import StaticFiles

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


def handlers(folder: Path) -> WSGIApplication:
    app = falcon.App(media_type=content.HTML)
    app.resp_options.media_handlers[content.JSON] = JSONHandler(dumps=content.to_json)
    app.resp_options.secure_cookies_by_default = False
    app.add_error_handler(falcon.HTTPNotFound, _gone)
    picture = f"/static/{StaticFiles(folder).url(content.PICTURE)}"

    def links(request: falcon.Request, response: falcon.Response) -> None:
        page = content.page(content.LINKS_BY_HAND)
        response.text = page.render(title="Ports", items=content.ITEMS, picture=picture)

    for path, view in {**_VIEWS, "/links": links}.items():
        app.add_route(path, _resource(view))
    return app


def _resource(view: Callable[..., None]) -> object:
    class Resource:
        on_get = on_post = staticmethod(view)

    return Resource()


def _text(request: falcon.Request, response: falcon.Response) -> None:
    response.text = content.HELLO


def _type(request: falcon.Request, response: falcon.Response) -> None:
    response.content_type = "text/plain; charset=utf-8"
    response.text = content.HELLO


def _header(request: falcon.Request, response: falcon.Response) -> None:
    response.set_header("X-Frame-Options", "DENY")
    response.text = content.HELLO


def _status(request: falcon.Request, response: falcon.Response) -> None:
    response.status = falcon.HTTP_202
    response.text = content.HELLO


def _headers(request: falcon.Request, response: falcon.Response) -> None:
    response.status = falcon.HTTP_202
    response.set_headers({"X-Frame-Options": "DENY"})
    response.text = content.HELLO


def _set_cookie(request: falcon.Request, response: falcon.Response) -> None:
    response.set_cookie("theme", "dark", path="/", http_only=True, same_site="Lax")
    response.text = content.HELLO


def _delete_cookie(request: falcon.Request, response: falcon.Response) -> None:
    response.unset_cookie("theme", path="/")
    response.text = content.HELLO


def _redirect(request: falcon.Request, response: falcon.Response) -> None:
    raise falcon.HTTPFound("/text", headers={"Content-Type": content.HTML})


def _abort(request: falcon.Request, response: falcon.Response) -> None:
    raise falcon.HTTPNotFound


def _gone(request: falcon.Request, response: falcon.Response, error: Exception, params: object) -> None:
    response.status = falcon.HTTP_404
    response.text = content.GONE


def _created(request: falcon.Request, response: falcon.Response) -> None:
    response.status = falcon.HTTP_201
    response.content_type = content.JSON
    response.media = content.PAYLOAD


def _two(request: falcon.Request, response: falcon.Response, x: str, y: str) -> None:
    response.text = content.found(x, y, "")


def _integer(request: falcon.Request, response: falcon.Response, number: int) -> None:
    response.text = content.hello(str(number + 1))


def _json(request: falcon.Request, response: falcon.Response) -> None:
    response.text = content.hello(request.get_media()["name"])


def _raw(request: falcon.Request, response: falcon.Response) -> None:
    response.text = content.hello(str(len(request.bounded_stream.read())))


def _several(request: falcon.Request, response: falcon.Response) -> None:
    response.text = content.hello(" ".join(request.get_param_as_list("q") or ()))


def _form(request: falcon.Request, response: falcon.Response) -> None:
    fields = request.get_media()
    response.text = content.sent(fields["name"], fields["port"])


def _cookie(request: falcon.Request, response: falcon.Response) -> None:
    response.text = content.hello(request.cookies["theme"])


def _url(request: falcon.Request, response: falcon.Response) -> None:
    response.text = content.hello(request.url)


def _upload(request: falcon.Request, response: falcon.Response) -> None:
    found = {}
    for part in request.get_media():
        found[part.name] = part.stream.read() if part.filename else part.text
    response.text = content.sent(found["title"], str(len(found["file"])))


def _stream(request: falcon.Request, response: falcon.Response) -> None:
    response.stream = (part.encode() for part in content.PARTS)


_VIEWS: dict[str, Callable[..., None]] = {
    "/text": _text,
    "/mounted/text": _text,
    "/type": _type,
    "/header": _header,
    "/set_header": _header,
    "/status": _status,
    "/headers": _headers,
    "/set_cookie": _set_cookie,
    "/delete_cookie": _delete_cookie,
    "/redirect": _redirect,
    "/abort": _abort,
    "/created": _created,
    "/two/{x}/b/{y}": _two,
    "/int/{number:int}": _integer,
    "/json": _json,
    "/raw": _raw,
    "/list": _several,
    "/form": _form,
    "/cookie": _cookie,
    "/url": _url,
    "/upload": _upload,
    "/stream": _stream,
}
