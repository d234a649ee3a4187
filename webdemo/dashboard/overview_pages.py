"""The page of servers, its live part, and the buttons. Runs in the dashboard's process."""

from __future__ import annotations

from typing import Any

from webdemo.dashboard import actions, view
from webdemo.dashboard.overview import Overview, Watch
from webdemo.dashboard.site import Site
from webdemo.errors import UsageError
from webdemo.web import Request, Response

LOG_LINES = 8


def add_overview_pages(site: Site) -> None:
    watch = site.watch

    @site.view("/")
    def home(request: Request) -> Response:
        return site.page("dashboard.html", **view.context(watch.look()))

    @site.view("/live")
    def live(request: Request) -> Response:
        """The changing part of the page; with the right key also logs and buttons."""
        overview = watch.look()
        if not site.has_key(request):
            return site.page("dashboard_live.html", **view.context(overview))
        logs = _logs(watch, overview, request.args.getlist("log"))
        act_url = None if site.read_only else site.app.url_for(act)
        return site.page("dashboard_live.html", **view.context(overview, logs=logs, act_url=act_url))

    @site.action("/act")
    def act(request: Request) -> dict[str, Any]:
        site.refuse_if_read_only()
        form = request.form
        name = form.get("port", "")
        card = watch.look(afresh=True).card_of(name)
        if card is None:
            raise UsageError(f"No server of this run listens on {name!r}.", remedy="See the page.")
        port = next(port for port in card.ports if port.name == name)
        outcome = actions.act(watch, card, port, form.get("do", ""), form.get("server", ""))
        return {"text": f"{card.server} {port.label}: {outcome.describe(name)}"}


def _logs(watch: Watch, overview: Overview, wanted: list[str]) -> dict[str, list[str]]:
    """The last log lines of the servers whose ports are in `wanted`, by card key."""
    found = {}
    for card in overview.cards:
        port = card.ports[0].name
        if port in wanted:
            found[card.key] = watch.log(port, LOG_LINES)
    return found
