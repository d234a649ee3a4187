"""/trace: a form for a URL, and its trace drawn step by step.

GET shows the form, so that a link can fill it in; only POST sends anything, and only from a page of this
site in a browser on this machine. `trace_policy` decides, by address, what may be contacted.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from webdemo.demo.connection_path import read_connection_path
from webdemo.demo.trace_policy import allow_loopback_and
from webdemo.errors import UrlRefused
from webdemo.syntax import is_loopback
from webdemo.text import format_duration
from webdemo.web import Request, Response
from webdemo.web.http_errors import prefers_json
from webdemo.web.page import Site
from webdemo.web.visitor import is_at_this_machine

if TYPE_CHECKING:
    from webdemo.trace import Hop, Trace

TIMEOUT_SECONDS = 6.0
# A trace of this server itself occupies two of its threads, and servers have four by default.
MOST_AT_ONCE = 2

_ELSEWHERE = (
    "A trace starts from this machine and could reach what other machines cannot. So only a client on this "
    "machine can start one: open this page there, at localhost or 127.0.0.1."
)
_BUSY = f"{MOST_AT_ONCE} traces are running. Wait until one has finished."
_ALONE = (
    "This server answers one request at a time, and is busy with this one: it cannot answer its own trace. "
    "Trace it from a terminal, with: webdemo trace URL"
)


def add_trace_page(site: Site) -> None:
    free = threading.BoundedSemaphore(MOST_AT_ONCE)

    def answer(request: Request, status: int, trace: Trace | None = None, problem: str = "") -> Response:
        source = request.form if request.method == "POST" else request.args
        if prefers_json(request.environ.get("HTTP_ACCEPT", "")):
            response = _as_json(status, trace, problem)
        else:
            from webdemo.trace.description import describe_answering, describe_redirect

            may_trace = is_at_this_machine(request.environ)
            response = site.page(
                "trace.html",
                status,
                url=source.get("url", "") or _own_url(request.environ, site.app.url_for("home")),
                insecure="insecure" in request.form,
                trace=trace,
                problem=problem,
                may_trace=may_trace,
                hosts=_allowed_hosts(request.environ) if may_trace else (),
                draw=draw_hop,
                describe_answering=describe_answering,
                describe_redirect=describe_redirect,
            )
        response.vary.add("Accept")
        return response

    @site.app.get("/trace")
    def trace(request: Request) -> Response:
        return answer(request, 200, problem="" if is_at_this_machine(request.environ) else _ELSEWHERE)

    @site.local_form("/trace")
    def trace_url(request: Request) -> Response:
        from webdemo.trace import parse_url
        from webdemo.trace import trace as follow

        text = request.form.get("url", "").strip()
        try:
            facts = parse_url(text).facts
        except UrlRefused as exc:
            return answer(request, 400, problem=f"{exc.problem} {exc.remedy}")
        if _is_alone(request.environ, facts.host, facts.port):
            return answer(request, 409, problem=_ALONE)
        if not free.acquire(blocking=False):
            return answer(request, 503, problem=_BUSY)
        try:
            found = follow(
                text,
                timeout_seconds=TIMEOUT_SECONDS,
                verify="insecure" not in request.form,
                allow=allow_loopback_and(_allowed_hosts(request.environ)),
            )
        finally:
            free.release()
        return answer(request, 200, found)


def draw_hop(hop: Hop) -> list[dict[str, Any]]:
    """The template data of each step: its sentences, and the position and width of its bar in percent."""
    from webdemo.trace.description import describe

    whole = max(hop.duration_ms, *(step.start_ms + step.duration_ms for step in hop.steps), 0.001)
    return [
        {
            "name": step.name,
            "duration": format_duration(step.duration_ms / 1000),
            "x": f"{min(step.start_ms / whole, 0.995):.2%}",
            "width": f"{max(step.duration_ms / whole, 0.005):.2%}",
            "sentences": describe(step.facts) if step.facts is not None else [],
            "failure": step.failure,
        }
        for step in hop.steps
    ]


def _as_json(status: int, trace: Trace | None, problem: str) -> Response:
    from webdemo.net.report import dump_json
    from webdemo.trace import to_json

    refusal = {"status": status, "detail": problem or "POST a url."}
    body = to_json(trace) if trace is not None else dump_json(refusal)
    return Response(body, status, {"Cache-Control": "no-store"}, mimetype="application/json")


def _own_url(environ: Mapping[str, Any], root: str) -> str:
    connection = read_connection_path(environ)
    return f"{connection.scheme}://{connection.host_header}{root}" if connection.name is not None else ""


def _allowed_hosts(environ: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(environ.get("webdemo.trace_hosts", ()))


def _is_alone(environ: Mapping[str, Any], host: str, port: int | None) -> bool:
    """Whether the URL leads to this server, and it has no other thread or process to answer."""
    connection = read_connection_path(environ)
    return (
        port == connection.port
        and (host == "localhost" or is_loopback(host))
        and not connection.many_threads
        and not connection.many_processes
    )
