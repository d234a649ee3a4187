"""/metrics: metrics of every server of the run, for Prometheus.

Runs in the server processes. Any of them answers for all, because all count in the same shared memory. The
metrics name every port and socket file of the run, so only this machine and the configured networks may
read them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from webdemo.middleware.plain_response import respond
from webdemo.middleware.proxy_headers import Networks
from webdemo.stats.counters import SharedCounters
from webdemo.stats.exposition import CONTENT_TYPE, About, exposition
from webdemo.web.visitor import client_address, is_at_this_machine

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PATH = "/metrics"

_REFUSAL = b"/metrics is available to this machine and to the networks in --metrics-networks.\n"


def metrics(
    app: WSGIApplication, counters: SharedCounters, networks: Iterable[str], about: About
) -> WSGIApplication:
    """Serve /metrics to this machine and these networks (403 for others); pass on all other paths.

    Raises UsageError for an invalid network.
    """
    named = Networks(networks, "A network that may read /metrics")

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ.get("PATH_INFO") != PATH:
            return app(environ, start_response)
        address = client_address(environ)
        is_named = address is not None and named.includes(address)
        if not (is_named or is_at_this_machine(environ)):
            return respond(environ, start_response, "403 Forbidden", _REFUSAL)
        body = exposition(counters.read(), about).encode()
        return respond(environ, start_response, "200 OK", body, content_type=CONTENT_TYPE)

    return answer
