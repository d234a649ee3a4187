"""The form of twin mode, and the comparison of the responses. Runs in the dashboard's process."""

from __future__ import annotations

from urllib.parse import urlencode

from webdemo.client import wire
from webdemo.compare.behaviour.differences import compare
from webdemo.dashboard import twin
from webdemo.dashboard.site import Site
from webdemo.errors import UsageError
from webdemo.web import Request, Response
from webdemo.worker.app_import import DEMO_SITE

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


def add_twin_pages(site: Site) -> None:
    @site.view("/twin")
    def form(request: Request) -> Response:
        overview = site.watch.look()
        asked = {name: request.args.get(name, "") for name in ("method", "path", "headers", "body")}
        # Another site may link to this page, but must not decide what is sent.
        led_here = request.environ.get("HTTP_SEC_FETCH_SITE", "none") in ("none", "same-origin")
        examples = EXAMPLES if overview.app == DEMO_SITE else ()
        return site.page(
            "twin.html",
            overview=overview,
            asked=asked | {"method": asked["method"] or "GET", "path": asked["path"] or "/"},
            run=led_here and "path" in request.args and asked["method"] in ("", *wire.SAFE_METHODS),
            methods=wire.SAFE_METHODS if site.read_only else twin.METHODS,
            safe_methods=wire.SAFE_METHODS,
            examples=[(name, f"{site.app.url_for(form)}?{urlencode(fields)}") for name, fields in examples],
        )

    @site.action("/twin")
    def send(request: Request) -> Response:
        fields = (request.form.get(name, "") for name in ("method", "path", "headers", "body"))
        asked = twin.read_request(*fields)
        if not asked.is_safe:
            site.refuse_if_read_only()
            if "confirmed" not in request.form:
                raise UsageError(
                    f"{asked.method} may change data on every server.",
                    remedy="Confirm it, and send it again.",
                )
        overview = site.watch.look(afresh=True)
        responses = twin.send_to_all(asked, overview.cards)
        received = [response for response in responses if not response.observed.failure]
        return site.page(
            "twin_answers.html",
            responses=received,
            failed=[response for response in responses if response.observed.failure],
            comparison=compare([response.observed for response in received]),
            left_out=[card for card in overview.cards if card.runs_app and card.state != "up"],
        )
