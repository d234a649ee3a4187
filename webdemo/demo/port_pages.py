"""/ports and /ports/<number or name>: the line of all ports, and details of one.

Names and ranges are public; who listens on this machine is shown only to clients on it.
"""

from __future__ import annotations

from webdemo.demo.connection_path import read_connection_path
from webdemo.demo.port_line import line_context
from webdemo.demo.port_lookup import (
    is_name,
    line_data,
    neighbours,
    public_facts,
    search,
    uses_by_range,
)
from webdemo.net.holders import tcp_listeners
from webdemo.net.ports import ephemeral_range, find_shadows, gather_facts
from webdemo.net.report import dump_json, examine
from webdemo.web import Request, Response
from webdemo.web.http_errors import prefers_json
from webdemo.web.page import Site
from webdemo.web.visitor import is_at_this_machine

_JSON_HEADERS = {"Vary": "Accept", "Cache-Control": "no-store"}


def add_port_pages(site: Site) -> None:
    @site.app.get("/ports")
    def ports(request: Request) -> Response:
        text = request.args.get("q", "").strip()[:80]
        found = search(text) if text else None
        may_see = is_at_this_machine(request.environ)
        listening = tcp_listeners() if may_see else []
        if prefers_json(request.environ.get("HTTP_ACCEPT", "")):
            ephemeral = ephemeral_range() if may_see else None
            facts = found if found is not None else line_data(listening, ephemeral)
            return Response(dump_json(facts), 200, _JSON_HEADERS, mimetype="application/json")
        response = site.page(
            "ports.html",
            **line_context(read_connection_path(request.environ), may_see),
            search=found,
            listening=listening,
            shadows=find_shadows(listening),
            in_use={one.port for one in listening},
            groups=uses_by_range(),
        )
        response.vary.add("Accept")
        return response

    @site.app.get("/ports/<text>")
    def port(request: Request, text: str) -> Response:
        may_see = is_at_this_machine(request.environ)
        found = search(text[:80])
        exact = [one.port for one in found.found] if found.is_exact else []
        as_json = prefers_json(request.environ.get("HTTP_ACCEPT", ""))
        if not exact or (len(exact) > 1 and not is_name(text)):
            if as_json:
                return Response(dump_json(found), 404, _JSON_HEADERS, mimetype="application/json")
            response = site.page("port_unknown.html", 404, search=found)
            response.vary.add("Accept")
            return response
        number = exact[0]
        report = examine(number) if may_see else None
        if as_json:
            facts = public_facts(number) if report is None else report
            return Response(dump_json(facts), 200, _JSON_HEADERS, mimetype="application/json")
        before, after = neighbours(number)
        response = site.page(
            "port.html",
            **line_context(read_connection_path(request.environ), may_see),
            facts=gather_facts(number, []) if report is None else report.facts,
            report=report,
            others=[one for one in found.found if one.port != number],
            before=before,
            after=after,
        )
        response.vary.add("Accept")
        return response
