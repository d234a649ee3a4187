"""The metrics in Prometheus's text format 0.0.4. Pure.

Names and units follow Prometheus's conventions: base units, and counters that only increase.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from webdemo.stats.counters import Totals
from webdemo.stats.latency import cumulative

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_STATUSES = ("none", "1xx", "2xx", "3xx", "4xx", "5xx")
_BUCKETS_PER_DECADE = 4

Sample = tuple[str, str, float]  # suffix of the family's name, further labels, value


class Family(NamedTuple):
    """A metric family, and a function for its samples of one service."""

    name: str
    kind: str
    help: str
    samples: Callable[[Totals], Iterable[Sample]]


def _durations(totals: Totals) -> Iterable[Sample]:
    *shorter, (_, count) = cumulative(totals.histogram, per_decade=_BUCKETS_PER_DECADE)
    for end, below in shorter:
        yield "_bucket", f',le="{end:.6g}"', below
    yield "_bucket", ',le="+Inf"', count
    yield "_sum", "", totals.seconds
    yield "_count", "", count


def _value(name: str) -> Callable[[Totals], Iterable[Sample]]:
    return lambda totals: [("", "", getattr(totals, name))]


_FAMILIES = (
    Family(
        "webdemo_requests_total",
        "counter",
        "Completed requests, by status class.",
        lambda totals: [
            ("", f',status="{status}"', count)
            for status, count in zip(_STATUSES, totals.by_status, strict=True)
        ],
    ),
    Family(
        "webdemo_requests_in_flight",
        "gauge",
        "Requests in progress.",
        _value("in_flight"),
    ),
    Family(
        "webdemo_request_duration_seconds",
        "histogram",
        "From the call of the app until the server has closed the response.",
        _durations,
    ),
    Family(
        "webdemo_response_body_bytes_total",
        "counter",
        "Bytes in response bodies.",
        _value("bytes"),
    ),
    Family(
        "webdemo_memory_bytes",
        "gauge",
        "Memory of the server process and its workers; shared memory is divided among its users.",
        _value("memory_bytes"),
    ),
    Family(
        "webdemo_cpu_seconds_total",
        "counter",
        "Processor time of the server process and its workers.",
        _value("cpu_seconds"),
    ),
    Family(
        "webdemo_processes",
        "gauge",
        "The server process and its workers.",
        _value("processes"),
    ),
    Family(
        "webdemo_restarts_total",
        "counter",
        "How often the server process died unexpectedly.",
        _value("restarts"),
    ),
)


class About(NamedTuple):
    """What tells the metrics of this run from those of other hosts and releases."""

    version: str = ""
    release: str = ""
    host: str = ""


def exposition(services: dict[str, Totals], about: About) -> str:
    """The text exposition format. The keys of `services` are their names: server, space, ports."""
    labels = ",".join(f'{name}="{_escaped(value)}"' for name, value in about._asdict().items())
    lines = [
        "# HELP webdemo_info The version of webdemo, the release of the app, and the host.",
        "# TYPE webdemo_info gauge",
        f"webdemo_info{{{labels}}} 1",
    ]
    for family in _FAMILIES:
        lines += [f"# HELP {family.name} {family.help}", f"# TYPE {family.name} {family.kind}"]
        for name, totals in services.items():
            server, _, ports = name.partition(" ")
            labels = f'server="{_escaped(server)}",ports="{_escaped(ports)}"'
            for suffix, more, value in family.samples(totals):
                lines.append(f"{family.name}{suffix}{{{labels}{more}}} {value}")
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
