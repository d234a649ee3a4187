"""Pyramid."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyramid.config import Configurator
from pyramid.response import Response as PyramidResponse

from bench import content

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

DISTRIBUTION = "pyramid"


class Response(PyramidResponse):  # type: ignore[misc]  # Pyramid has no types
    default_charset = "utf-8"  # as the others write it


def pages() -> WSGIApplication:
    views = {
        "/": lambda request: Response(content.HELLO),
        "/response": lambda request: Response(content.HELLO),
        "/json": lambda request: Response(
            content.to_json(content.PAYLOAD).encode(), content_type=content.JSON
        ),
        "/hello/{name}": _hello,
        "/page": lambda request: Response(content.page().render(title="Ports", items=content.ITEMS)),
        "/search": lambda request: Response(
            content.found(request.GET["q"], request.GET["page"], request.cookies["theme"])
        ),
        "/form": lambda request: Response(content.sent(request.POST["name"], request.POST["port"])),
    }
    with Configurator() as config:
        for rule, view in views.items():
            config.add_route(rule, rule)
            config.add_view(view, route_name=rule)
        config.add_notfound_view(lambda request: Response(content.NOT_FOUND, status=404))
        return _app(config)


def routes() -> WSGIApplication:
    with Configurator() as config:
        for number in range(content.MANY_ROUTES):
            config.add_route(str(number), content.section(number) + "/{name}")
            config.add_view(_hello, route_name=str(number))
        return _app(config)


def files(folder: Path) -> WSGIApplication:
    with Configurator() as config:
        config.add_static_view("static", str(folder))
        return _app(config)


def _hello(request: Any) -> Response:
    return Response(content.hello(request.matchdict["name"]))


def _app(config: Any) -> WSGIApplication:
    return config.make_wsgi_app()  # type: ignore[no-any-return]  # Pyramid has no types
