"""The dashboard's WSGI app, a client of the run's control socket. Runs in the dashboard's server process.

The rules: every response is short, and pages poll once a second instead of holding a stream open, so that
no worker is occupied. Each view checks access first; `access` decides who may see and do what.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from werkzeug.exceptions import BadRequest, Forbidden, HTTPException, ServiceUnavailable

from webdemo import assets
from webdemo.client import wire
from webdemo.compare.behaviour.differences import compare
from webdemo.dashboard import access, actions, twin, view
from webdemo.dashboard.overview import Overview, Watch
from webdemo.errors import ControlUnavailable, UsageError
from webdemo.supervisor.control import Instance
from webdemo.web import App, Request, Response
from webdemo.web.page_headers import PAGE_HEADERS
from webdemo.web.visitor import is_at_this_machine
from webdemo.worker.app_import import DEMO_SITE

View = Callable[[Request], Any]

PAGES = (("", "Servers"), ("twin", "Twin mode"))
LOG_LINES = 8

# Requests to the demo site on which servers differ.
_JSON = "Accept: application/json"
EXAMPLES = (
    ("The environ", {"path": "/inspect", "headers": _JSON}),
    ("A header sent twice", {"path": "/inspect", "headers": f"{_JSON}\nX-Twice: 1\nX-Twice: 2"}),
    ("An underscore in a header’s name", {"path": "/inspect", "headers": f"{_JSON}\nunder_score: 1"}),
    (
        "A chunked body",
        {
            "method": "POST",
            "path": "/inspect",
            "headers": f"{_JSON}\nTransfer-Encoding: chunked",
            "body": "hello",
        },
    ),
    ("An encoded slash", {"path": "/hello/a%2Fb"}),
)


class _DashboardRequest(Request):
    max_content_length = 2 * twin.LONGEST_BODY * 3  # percent-encoding may triple the size of a body


def make_app(control: str, key: str, read_only: bool) -> App:
    """The dashboard of the run with this control socket (a path); `key` is needed to act."""
    path = Path(control)
    watch = Watch(Instance(int(path.stem), path))
    app = App(templates=assets.TEMPLATES, static=assets.STATIC, request_class=_DashboardRequest)

    def page(template: str, status: int = 200, **context: Any) -> Response:
        return Response(app.render(template, pages=PAGES, **context), status, PAGE_HEADERS)

    def check_place(request: Request) -> None:
        if not is_at_this_machine(request.environ):
            raise Forbidden(access.ELSEWHERE)

    def check_key(request: Request) -> None:
        check_place(request)
        if problem := access.why_not(request.environ, key):
            raise Forbidden(problem)

    @app.get("/")
    @_told
    def home(request: Request) -> Response:
        check_place(request)
        return page("dashboard.html", **view.context(watch.look()))

    @app.get("/live")
    @_told
    def live(request: Request) -> Response:
        """The changing part of the page; with the right key also logs and buttons."""
        check_place(request)
        overview = watch.look()
        if not access.has_key(request.environ, key):
            return page("dashboard_live.html", **view.context(overview))
        logs = _logs(watch, overview, request.args.getlist("log"))
        act_url = None if read_only else app.url_for(act)
        return page("dashboard_live.html", **view.context(overview, logs=logs, act_url=act_url))

    @app.post("/act")
    @_told
    def act(request: Request) -> dict[str, Any]:
        check_key(request)
        if read_only:
            raise Forbidden(access.READ_ONLY)
        form = request.form
        name = form.get("port", "")
        card = watch.look(afresh=True).card_of(name)
        if card is None:
            raise UsageError(f"No server of this run listens on {name!r}.", remedy="See the page.")
        port = next(port for port in card.ports if port.name == name)
        outcome = actions.act(watch, card, port, form.get("do", ""), form.get("server", ""))
        return {"text": f"{card.server} {port.label}: {outcome.describe(name)}"}

    @app.get("/twin")
    @_told
    def twin_page(request: Request) -> Response:
        check_place(request)
        overview = watch.look()
        asked = {name: request.args.get(name, "") for name in ("method", "path", "headers", "body")}
        # Another site may link to this page, but only a person here decides what is sent.
        led_here = request.environ.get("HTTP_SEC_FETCH_SITE", "none") in ("none", "same-origin")
        examples = EXAMPLES if overview.app == DEMO_SITE else ()
        return page(
            "twin.html",
            overview=overview,
            asked=asked | {"method": asked["method"] or "GET", "path": asked["path"] or "/"},
            run=led_here and "path" in request.args and asked["method"] in ("", *wire.SAFE_METHODS),
            methods=wire.SAFE_METHODS if read_only else twin.METHODS,
            safe_methods=wire.SAFE_METHODS,
            examples=[(name, f"{app.url_for(twin_page)}?{urlencode(fields)}") for name, fields in examples],
        )

    @app.post("/twin")
    @_told
    def send(request: Request) -> Response:
        check_key(request)
        form = request.form
        asked = twin.read_request(
            form.get("method", ""), form.get("path", ""), form.get("headers", ""), form.get("body", "")
        )
        if not asked.is_safe:
            if read_only:
                raise Forbidden(access.READ_ONLY)
            if "confirmed" not in form:
                raise UsageError(
                    f"{asked.method} may change data on every server.",
                    remedy="Confirm it, and send it again.",
                )
        overview = watch.look(afresh=True)
        responses = twin.send_to_all(asked, overview.cards)
        came = [response for response in responses if not response.observed.failure]
        return page(
            "twin_answers.html",
            responses=came,
            failed=[response for response in responses if response.observed.failure],
            comparison=compare([response.observed for response in came]),
            left_out=[card for card in overview.cards if card.runs_app and card.state != "up"],
        )

    @app.errorhandler(HTTPException)
    def explain(
        request: Request, error: HTTPException
    ) -> Response | tuple[dict[str, Any], int, dict[str, str]]:
        code, text = error.code or 500, error.description or error.name
        headers = dict(error.get_headers())
        del headers["Content-Type"]
        if request.method == "POST" or request.path == "/live":  # requested by a script
            return {"problem": text}, code, headers | PAGE_HEADERS
        response = page("error.html", code, code=code, title=error.name, detail=text)
        response.headers.update(headers)
        return response

    return app


def _told(view: View) -> View:
    """Wrap the view so that errors which the user can fix become 400 and 503 responses."""

    @functools.wraps(view)
    def telling(request: Request) -> Any:
        try:
            return view(request)
        except ControlUnavailable as exc:
            raise ServiceUnavailable(f"{exc.problem} {exc.remedy}") from exc
        except UsageError as exc:
            raise BadRequest(f"{exc.problem} {exc.remedy}") from exc

    return telling


def _logs(watch: Watch, overview: Overview, wanted: list[str]) -> dict[str, list[str]]:
    """The last log lines of the servers whose ports are in `wanted`, by card key."""
    found = {}
    for card in overview.cards:
        port = card.ports[0].name
        if port in wanted:
            found[card.key] = watch.log(port, LOG_LINES)
    return found
