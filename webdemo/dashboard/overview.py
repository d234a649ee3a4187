"""The supervisor's status and figures, prepared for display: one card per service.

Runs in the dashboard's process, and in server processes of the demo site. A card belongs to its ports: its
position and colour stay when the server behind them changes. The dashboard's own service has no card.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from webdemo import servers
from webdemo.dashboard import chart
from webdemo.dashboard.chart import Scales
from webdemo.servers import registry
from webdemo.stats import figures as stats
from webdemo.supervisor.actions import ACTIONS
from webdemo.supervisor.control import Instance
from webdemo.supervisor.control_messages import (
    History,
    Log,
    LogLines,
    ProcessStatus,
    RunHistory,
    RunStatus,
    ServiceStatus,
)

COLOURS = 6  # defined in the style sheet
_KEEP_SECONDS = 0.5  # how long a response of the supervisor is reused


@dataclass(frozen=True, slots=True)
class Port:
    """A port, or the path of a Unix socket."""

    name: str
    url: str

    @property
    def link(self) -> str | None:
        """The URL for a browser; None if a browser cannot open it."""
        return self.url if self.url.startswith("http") else None

    @property
    def label(self) -> str:
        return f":{self.name}" if self.name.isdecimal() else self.name.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Series:
    """The last minutes of a service as SVG paths; "" without data."""

    rate: str = ""
    p50: str = ""
    p99: str = ""

    @property
    def ground(self) -> str:
        return chart.area(self.rate)


@dataclass(frozen=True, slots=True)
class Card:
    key: str
    colour: int
    server: str
    version: str
    state: str
    ports: tuple[Port, ...]
    urls: tuple[str, ...]
    processes: tuple[ProcessStatus, ...]
    workers: int
    restarts: int
    problem: str  # why it is given up
    runs_app: bool
    figures: stats.Sample | None
    series: Series
    actions: tuple[str, ...]
    swaps: tuple[str, ...]  # names of servers that it can be swapped for

    @property
    def since(self) -> float | None:
        """The start of its oldest process, in epoch seconds."""
        return min((process.since for process in self.processes), default=None)


@dataclass(frozen=True, slots=True)
class Overview:
    """A snapshot of a run; times in epoch seconds."""

    pid: int
    app: str
    since: float
    now: float
    stopping: bool
    cards: tuple[Card, ...]
    scales: Scales

    @property
    def ports(self) -> int:
        return sum(len(card.ports) for card in self.cards)

    @property
    def app_ports(self) -> int:
        return sum(len(card.ports) for card in self.cards if card.runs_app)

    def card_of(self, port: str) -> Card | None:
        return next((card for card in self.cards if any(p.name == port for p in card.ports)), None)


class Watch:
    """Takes snapshots of one run, at most two a second however many clients ask. Thread-safe."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self._lock = threading.Lock()
        self._latest: Overview | None = None
        self._looked_at = 0.0

    def look(self, *, afresh: bool = False) -> Overview:
        """The run as it is now, or (unless `afresh`) as it was a moment ago; raises ControlUnavailable."""
        with self._lock:
            if self._latest is None or afresh or time.monotonic() - self._looked_at > _KEEP_SECONDS:
                status = self.instance.status()
                history = self.instance.call(History(chart.WINDOW_SECONDS), RunHistory)
                self._latest = read_overview(status, history)
                self._looked_at = time.monotonic()
            return self._latest

    def log(self, port: str, lines: int) -> list[str]:
        """The last log lines of the server on that port; raises ControlUnavailable or UsageError.

        The app's own output is prefixed, so that it cannot pass for an access log line.
        """
        found = self.instance.call(Log(port, lines), LogLines)
        return [line.text if line.access else f"app | {line.text}" for line in found.lines]


def read_overview(status: RunStatus, history: RunHistory) -> Overview:
    """Build an Overview from the replies to the commands `status` and `history`."""
    services = [service for service in status.services if not service.dashboard]
    series = {entry.ports: entry.series for entry in history.services}
    shown = [series[service.ports] for service in services if service.ports in series]
    scales = chart.scales(
        (value for one in shown for value in one.requests_per_second),
        (value for one in shown for value in one.p99_ms),
    )
    return Overview(
        pid=status.pid,
        app=status.target,
        since=status.since,
        now=time.time(),
        stopping=status.stopping,
        cards=tuple(
            _card(service, position % COLOURS + 1, _series(series.get(service.ports), history.time, scales))
            for position, service in enumerate(services)
        ),
        scales=scales,
    )


def _card(service: ServiceStatus, colour: int, series: Series) -> Card:
    adapter = registry.find(service.server)
    return Card(
        key=" ".join(service.ports),
        colour=colour,
        server=service.server,
        version=service.version,
        state=service.state,
        ports=tuple(Port(name, _url_of(name, service.urls)) for name in service.ports),
        urls=service.urls,
        processes=service.processes,
        workers=service.workers,
        restarts=service.restarts,
        problem=service.problem,
        runs_app=adapter.runs_app,
        figures=service.figures,
        series=series,
        actions=tuple(name for name, action in ACTIONS.items() if service.state in action.states),
        swaps=_swaps(adapter, service.urls),
    )


def _series(series: stats.Series | None, now: float, scales: Scales) -> Series:
    if series is None:
        return Series()
    times = series.time
    return Series(
        rate=chart.line(times, series.requests_per_second, now, scales.rate_y),
        p50=chart.line(times, series.p50_ms, now, scales.latency_y),
        p99=chart.line(times, series.p99_ms, now, scales.latency_y),
    )


def _url_of(port: str, urls: Sequence[str]) -> str:
    """The port's first URL: `http://127.0.0.1:8000/`, `ftp://[::1]:2121`, `unix:/path`."""
    return next(url for url in urls if url.rstrip("/").endswith(f":{port}"))


def _swaps(adapter: servers.Adapter, urls: Sequence[str]) -> tuple[str, ...]:
    """The servers that can serve these URLs and be swapped in without a gap."""
    if not adapter.runs_app or adapter.opens_own_sockets:
        return ()
    tls = any(url.startswith("https:") for url in urls)
    unix = any(url.startswith("unix:") for url in urls)
    return tuple(
        other.name
        for other in _installed()
        if other.name != adapter.name
        and other.runs_app
        and not other.opens_own_sockets
        and (other.several_sockets or len(urls) == 1)
        and (other.tls or not tls)
        and (other.unix or not unix)
    )


@functools.cache
def _installed() -> list[servers.Adapter]:
    return registry.installed()
