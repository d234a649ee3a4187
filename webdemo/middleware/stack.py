"""What lies between the server and the app: as little as possible.

The probe that tells the supervisor that this very process answers, the facts for the demo site,
the counters and, where asked for, health, metrics, proxies and the access log. None of it when the
app is run by a bare server's own command.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from webdemo.middleware.access_log import AccessLog, mark_of
from webdemo.middleware.observe import watch
from webdemo.stats.counters import RequestCounter

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PROBE_HEADER = "X-Webdemo-Probe"
ANSWERED_HEADER = "X-Webdemo-Answered"
LIVE = "/livez"
READY = "/readyz"


class EdgeSettings(NamedTuple):
    """What the supervisor tells each server process; JSON-able."""

    process_id: int  # our number for it; a server's workers share it
    token: str  # who knows it is the supervisor
    service: str  # the name it is counted under
    server: str
    version: str
    binds: dict[str, str]  # port (or path of a Unix socket) -> bind text
    health: bool = False
    metrics: bool = False
    metrics_networks: Sequence[str] = ()  # who may read them, beside this machine
    access_log: str | None = "text"  # "text", "json" or None
    trusted_proxies: Sequence[str] = ()
    rfc7239: bool = False  # the proxies write Forwarded, not X-Forwarded-*
    trace_hosts: Sequence[str] = ()  # which the demo site's trace may contact
    services: Sequence[dict[str, Any]] = ()  # all of the run when this process began: server, urls, options

    def bind_of(self, environ: WSGIEnvironment) -> str:
        return self.binds.get(environ.get("SERVER_PORT", "")) or next(iter(self.binds.values()))


def wrap(
    app: WSGIApplication, settings: EdgeSettings, reports: int, draining: int, counter: RequestCounter
) -> WSGIApplication:
    """The app as the server is to run it.

    `reports` is the descriptor for its access log; `draining` is one that is readable once the run ends.
    """
    key = "HTTP_" + PROBE_HEADER.upper().replace("-", "_")
    token = settings.token
    trace_hosts = settings.trace_hosts
    facts = {
        "name": settings.server,
        "version": settings.version,
        "binds": settings.binds,
        "services": settings.services,
    }

    log = None
    if settings.access_log:
        log = AccessLog(
            server=settings.server,
            bind_of=settings.bind_of,
            fd=reports,
            mark=mark_of(token),
            as_json=settings.access_log == "json",
        )
    app = watch(app, counter, log)
    if settings.metrics:
        from webdemo.middleware.metrics import metrics

        app = metrics(app, counter.counters, settings.metrics_networks)
    if settings.trusted_proxies:
        from webdemo.middleware.proxy_headers import ForwardedHeaders

        app = ForwardedHeaders(app, settings.trusted_proxies, rfc7239=settings.rfc7239)
    if settings.health:
        app = health(app, lambda: not select.select([draining], [], [], 0)[0])
    inner = app

    def edge(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ.get(key) == token:
            headers = [(ANSWERED_HEADER, f"{settings.process_id} {os.getpid()}"), ("Content-Length", "0")]
            start_response("200 OK", headers)
            return [b""]
        environ["webdemo.server"] = facts
        environ["webdemo.trace_hosts"] = trace_hosts
        return inner(environ, start_response)

    return edge


def health(app: WSGIApplication, is_ready: Callable[[], bool]) -> WSGIApplication:
    """Answer /livez with 200 and /readyz with 200 or 503; pass on everything else."""

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO")
        if path != LIVE and path != READY:
            return app(environ, start_response)
        ready = path == LIVE or is_ready()
        body = b"ok\n" if ready else b"not ready\n"
        headers = [
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
        ]
        start_response("200 OK" if ready else "503 Service Unavailable", headers)
        return [body] if environ.get("REQUEST_METHOD") != "HEAD" else [b""]

    return answer


def not_loaded(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Stands for the app while it is being loaded."""
    body = b"The app is being loaded.\n"
    headers = [
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Length", str(len(body))),
        ("Retry-After", "1"),
    ]
    start_response("503 Service Unavailable", headers)
    return [body] if environ.get("REQUEST_METHOD") != "HEAD" else [b""]
