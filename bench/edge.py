"""Cost of the run layer in one process: the probe's check, the counters, the access log."""

from __future__ import annotations

import os
import time
from functools import partial
from time import process_time_ns
from typing import TYPE_CHECKING, Any

from bench.cases import CASES, environs
from bench.effort import Effort
from bench.inproc import call
from bench.rounds import interleave
from bench.tables import Part, Table
from webdemo.middleware import stack
from webdemo.servers import Stopping
from webdemo.stats.counters import RequestCounter, SharedCounters

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_CALLS = 2000  # in each round
_LOG_SECONDS = 0.05  # within which a batch of lines is written


def measure(effort: Effort) -> Part:
    """CPU time of one request, in microseconds."""
    part = Part("edge")
    counter = RequestCounter(SharedCounters.create(), "bench")
    draining, _ = os.pipe()
    null = os.open(os.devnull, os.O_WRONLY)

    def wrapped(access_log: str | None) -> WSGIApplication:
        settings = stack.EdgeSettings(
            process_id=1,
            token="unguessed",
            service="bench",
            server="bench",
            version="1",
            binds={"80": ":80"},
            features=stack.Features(access_log=access_log),
        )
        write = partial(os.write, null)
        return stack.wrap(_hello, settings, write, print, draining, counter, Stopping(), ())

    samples = interleave(
        effort.rounds,
        {
            "the app alone": partial(_per_request, _hello),
            "with the probe's check and the counters": partial(_per_request, wrapped(None)),
            "with the access log as text, too": partial(_per_request, wrapped("text")),
            "with the access log as JSON, too": partial(_per_request, wrapped("json")),
            "the counters' own calls alone": partial(_per_count, counter),
        },
    )
    alone = samples["the app alone"].median
    part.figures = {f"edge.{name}": sample.median for name, sample in samples.items()}
    part.tables.append(
        Table(
            "Cost of the run layer: CPU time of a request in one process, without a server",
            ["", "µs", "more than the app alone, µs"],
            [
                [name, f"{s.median:.2f}", f"{s.median - alone:.2f}" if name.startswith("with") else "-"]
                for name, s in samples.items()
            ],
        )
    )
    return part


def _hello(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", "5")])
    return [b"hello"]


def _per_request(app: WSGIApplication) -> float:
    """The log's lines included, which are written a moment later in a thread."""
    batch = environs(CASES[0], _CALLS, {})
    began = process_time_ns()
    call(app, batch)
    time.sleep(_LOG_SECONDS)
    return (process_time_ns() - began) / _CALLS / 1000


def _per_count(counter: RequestCounter) -> float:
    def counted(environ: WSGIEnvironment, start_response: StartResponse) -> Any:
        counter.end(counter.begin(), "200 OK", 5, 400_000)
        return ()

    def uncounted(environ: WSGIEnvironment, start_response: StartResponse) -> Any:
        return ()

    return _per_request(counted) - _per_request(uncounted)
