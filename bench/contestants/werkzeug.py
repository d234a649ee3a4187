"""Plain Werkzeug: its rules, requests and responses, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from werkzeug.exceptions import NotFound
from werkzeug.middleware.shared_data import SharedDataMiddleware
from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Request, Response

from bench import content

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

DISTRIBUTION = "werkzeug"


def pages() -> WSGIApplication:
    views = {
        "/": lambda request: _html(content.HELLO),
        "/response": lambda request: _html(content.HELLO),
        "/json": lambda request: Response(content.to_json(content.PAYLOAD), mimetype=content.JSON),
        "/hello/<name>": lambda request, name: _html(content.hello(name)),
        "/page": lambda request: _html(content.page().render(title="Ports", items=content.ITEMS)),
        "/search": lambda request: _html(
            content.found(request.args["q"], request.args["page"], request.cookies["theme"])
        ),
    }
    rules = [Rule(rule, endpoint=view, methods=["GET"]) for rule, view in views.items()]
    form = Rule(
        "/form",
        endpoint=lambda request: _html(content.sent(request.form["name"], request.form["port"])),
        methods=["POST"],
    )
    return partial(_answer, Map([*rules, form]))


def routes() -> WSGIApplication:
    rules = [
        Rule(
            content.section(number) + "/<name>",
            endpoint=lambda request, name: _html(content.hello(name)),
            methods=["GET"],
        )
        for number in range(content.MANY_ROUTES)
    ]
    return partial(_answer, Map(rules))


def files(folder: Path) -> WSGIApplication:
    return SharedDataMiddleware(NotFound(), {"/static": str(folder)})


def _html(text: str) -> Response:
    return Response(text, mimetype="text/html")


def _answer(urls: Map, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    request = Request(environ)
    try:
        view, arguments = urls.bind_to_environ(environ).match()
        response = view(request, **arguments)
    except NotFound:
        response = Response(content.NOT_FOUND, status=404, mimetype="text/html")
    answer: Iterable[bytes] = response(environ, start_response)
    return answer
