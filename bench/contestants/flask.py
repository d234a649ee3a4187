"""Flask."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import flask

from bench import content

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

DISTRIBUTION = "flask"


def pages() -> WSGIApplication:
    app = flask.Flask(__name__, template_folder=str(content.TEMPLATES), static_folder=None)
    app.add_url_rule("/", "index", lambda: content.HELLO)
    app.add_url_rule("/response", "response", lambda: flask.Response(content.HELLO))
    app.add_url_rule(
        "/json",
        "json",
        # jsonify would add a newline.
        lambda: flask.Response(content.to_json(content.PAYLOAD), mimetype=content.JSON),
    )
    app.add_url_rule("/hello/<name>", "hello", content.hello)
    app.add_url_rule(
        "/page", "page", lambda: flask.render_template(content.PAGE, title="Ports", items=content.ITEMS)
    )
    app.add_url_rule("/search", "search", _search)
    app.add_url_rule("/form", "form", _form, methods=["POST"])
    app.register_error_handler(404, lambda error: (content.NOT_FOUND, 404))
    return app


def routes() -> WSGIApplication:
    app = flask.Flask(__name__, static_folder=None)
    for number in range(content.MANY_ROUTES):
        app.add_url_rule(content.section(number) + "/<name>", f"route{number}", content.hello)
    return app


def files(folder: Path) -> WSGIApplication:
    return flask.Flask(__name__, static_folder=str(folder), static_url_path="/static")


def _search() -> str:
    request = flask.request
    return content.found(request.args["q"], request.args["page"], request.cookies["theme"])


def _form() -> str:
    return content.sent(flask.request.form["name"], flask.request.form["port"])
