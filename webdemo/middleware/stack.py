"""The middleware stack between server and app, kept as small as possible. Runs in the server processes.

The response to the supervisor's probe, which shows that this very process answers; facts for the demo
site; the counters; the length of chunked bodies; and, if enabled, health checks, metrics, proxy headers and
the access log. None of it runs when the app is served by another server's own command.
"""

from __future__ import annotations

import itertools
import json
import os
import select
from collections.abc import Callable, Iterable
from functools import cache, partial
from typing import TYPE_CHECKING, NamedTuple

from webdemo.middleware import observe
from webdemo.middleware.access_log import AccessLog, mark_of
from webdemo.middleware.plain_response import respond
from webdemo.middleware.static_mounts import MissingHint, Mount, mounted, with_archive
from webdemo.stats.counters import RequestCounter
from webdemo.stats.exposition import About

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from webdemo.stats.board import Board
    from webdemo.web.request import Flag

PROBE_HEADER = "X-Webdemo-Probe"
ANSWERED_HEADER = "X-Webdemo-Answered"
LIVE = "/livez"
READY = "/readyz"

_UNAVAILABLE = "503 Service Unavailable"
_SOON = ("Retry-After", "1")
_HTML = "text/html; charset=utf-8"
_NOT_LOADED = "The app is not loaded yet; the log says why.\n"
UNTRUSTED_PROXY = (
    "A request has come through a proxy (X-Forwarded-For), and none is trusted: the app sees the proxy's "
    "address. If the proxy is yours: --trusted-proxies ADDRESS"
)
_MOST_LOOKED_AT = 100


class ServiceFacts(NamedTuple):
    """What apps may know about a service of the run."""

    server: str
    urls: tuple[str, ...]
    options: dict[str, str]


class Features(NamedTuple):
    """What the user wants of the middleware, beside the counters."""

    health: bool = False
    about: About = About()
    metrics: bool = False
    metrics_networks: tuple[str, ...] = ()  # which may read the metrics, in addition to this machine
    access_log: str | None = "text"  # "text", "json" or None
    trusted_proxies: tuple[str, ...] = ()
    rfc7239: bool = False  # the proxies send Forwarded instead of X-Forwarded-*
    trace_hosts: tuple[str, ...] = ()  # which the demo site's trace may contact
    buffer_chunked: bool = False  # give the app chunked bodies with their length
    static: tuple[Mount, ...] = ()  # folders to serve before the app is asked
    assets_archive: str | None = None  # a folder with the fingerprinted files of several releases
    debug: bool = False  # a page with the traceback; Django's own finders of static files
    live_reload: bool = False


class EdgeSettings(NamedTuple):
    """The settings that the supervisor sends to each server process."""

    process_id: int  # webdemo's number of the server process, not a pid; its workers share it
    token: str  # the run's secret, which authenticates the supervisor
    service: str  # the name under which its requests are counted
    server: str
    version: str
    binds: dict[str, str]  # port (or path of a Unix socket) -> bind text
    features: Features = Features()
    release: str = ""  # the name of the code's release, for live reload
    services: tuple[ServiceFacts, ...] = ()  # all of the run at this process's start

    def bind_of(self, port: str) -> str:
        return self.binds.get(port) or next(iter(self.binds.values()))


def wrap(
    app: WSGIApplication,
    settings: EdgeSettings,
    write: Callable[[bytes], object],
    hint: Callable[[str], None],
    draining: int,
    counter: RequestCounter,
    stopping: Flag,
    modules_of_server: Iterable[str],
) -> WSGIApplication:
    """Wrap the app in the middleware.

    `write`: called with lines of the access log; `hint`: with a line for the user; `draining`: a descriptor
    that becomes readable when the run ends; `stopping`: set when this process begins to drain; apps find it
    as `webdemo.draining`; `modules_of_server`: those whose OSErrors are about the client's connection.
    """
    observe.modules_of_server = tuple(f"{module}." for module in modules_of_server)
    key = "HTTP_" + PROBE_HEADER.upper().replace("-", "_")
    token = settings.token
    features = settings.features
    trace_hosts = features.trace_hosts
    facts = {
        "name": settings.server,
        "version": settings.version,
        "binds": settings.binds,
        "services": settings.services,
    }

    served = _with_files(app, features)
    log = _access_log(settings, write, hint) if features.access_log else None
    observed = partial(_observed, settings=settings, log=log, draining=draining, counter=counter)
    inner = answer = observed(served)
    app_for_chunked = cache(lambda: observed(_buffered(served)) if features.buffer_chunked else answer)
    looked_at = itertools.count(1)

    def look_for_proxy(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Only for the first requests, so that it costs the later ones nothing."""
        nonlocal inner
        is_forwarded = "HTTP_X_FORWARDED_FOR" in environ
        if is_forwarded:
            hint(UNTRUSTED_PROXY)
        if is_forwarded or next(looked_at) >= _MOST_LOOKED_AT:
            inner = answer
        return answer(environ, start_response)

    if not features.trusted_proxies:
        inner = look_for_proxy

    def edge(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ.get(key) == token:
            headers = [(ANSWERED_HEADER, f"{settings.process_id} {os.getpid()}"), ("Content-Length", "0")]
            start_response("200 OK", headers)
            return [b""]
        environ["webdemo.server"] = facts
        environ["webdemo.trace_hosts"] = trace_hosts
        environ["webdemo.draining"] = stopping
        if "HTTP_TRANSFER_ENCODING" in environ:
            return app_for_chunked()(environ, start_response)
        return inner(environ, start_response)

    return edge


def _with_files(app: WSGIApplication, features: Features) -> WSGIApplication:
    """What may answer instead of the app: the debug page, static files."""
    if features.debug:
        from webdemo.middleware.debug.middleware import debugged
        from webdemo.middleware.static_mounts import with_django_finders

        app = debugged(with_django_finders(app))
    if features.static:
        app = mounted(app, features.static)
    if features.assets_archive is not None:
        app = with_archive(app, features.assets_archive)
    return app


def _access_log(
    settings: EdgeSettings, write: Callable[[bytes], object], hint: Callable[[str], None]
) -> AccessLog:
    return AccessLog(
        server=settings.server,
        bind_of=settings.bind_of,
        write=write,
        mark=mark_of(settings.token),
        as_json=settings.features.access_log == "json",
        on_missing=None if settings.features.static else MissingHint(hint),
    )


def _observed(
    app: WSGIApplication,
    *,
    settings: EdgeSettings,
    log: AccessLog | None,
    draining: int,
    counter: RequestCounter,
) -> WSGIApplication:
    """Counts and logs requests; around that, what answers without being counted."""
    features = settings.features
    app = observe.watch(app, counter, log)
    if features.metrics:
        from webdemo.middleware.metrics import metrics

        app = metrics(app, counter.counters, features.metrics_networks, features.about)
    if features.live_reload:
        from webdemo.middleware.live_reload import live

        app = live(app, counter.counters.board, settings.release)
    return _outermost(app, features, lambda: not select.select([draining], [], [], 0)[0])


def _outermost(app: WSGIApplication, features: Features, is_ready: Callable[[], bool]) -> WSGIApplication:
    """Trusted proxies and health checks; whatever judges the client belongs within, to know of the proxy."""
    if features.trusted_proxies:
        from webdemo.middleware.proxy_headers import ForwardedHeaders

        app = ForwardedHeaders(app, features.trusted_proxies, rfc7239=features.rfc7239)
    return health(app, is_ready, features.about.release) if features.health else app


def _buffered(app: WSGIApplication) -> WSGIApplication:
    from webdemo.middleware.request_body import buffered  # at the first such request: it imports tempfile

    return buffered(app)


def health(app: WSGIApplication, is_ready: Callable[[], bool], release: str) -> WSGIApplication:
    """Answer /livez with 200, and /readyz with 200 or 503 and the release; pass on all other paths."""
    named = release_line(release)

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO")
        if path != LIVE and path != READY:
            return app(environ, start_response)
        status, body = ("200 OK", b"ok\n") if path == LIVE or is_ready() else (_UNAVAILABLE, b"not ready\n")
        return respond(environ, start_response, status, body + (named if path == READY else b""))

    return answer


def release_line(release: str) -> bytes:
    """The line of /readyz that names the release; none if it is not known."""
    return f"release: {release}\n".encode() if release else b""


def not_loaded(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """The placeholder app that answers 503 until the app is loaded, which may need a change of its code."""
    return respond(environ, start_response, _UNAVAILABLE, _NOT_LOADED.encode(), header=_SOON)


def placeholder(features: Features, board: Board) -> WSGIApplication:
    """What the main process serves where no server can: 503, and with --health live but not ready."""
    loading = _not_loaded_live(board) if features.live_reload else not_loaded
    return _outermost(loading, features, lambda: False)


def _not_loaded_live(board: Board) -> WSGIApplication:
    """`not_loaded` for a browser, as a page that shows why, and that is reloaded when the app is loaded."""
    from webdemo.middleware.live_reload import live

    body = f"<!doctype html>\n<title>Not loaded</title>\n<p>{_NOT_LOADED}".encode()

    def page(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return respond(environ, start_response, _UNAVAILABLE, body, content_type=_HTML, header=_SOON)

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return live(page, board, json.loads(board.read())["release"])(environ, start_response)

    return app
