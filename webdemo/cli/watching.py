"""`webdemo ps --watch`: the servers' figures once a second, until q or Ctrl-C.

On a terminal the table is redrawn; a pipe or a file gets one table after the other, or lines of JSON with
--json.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence

import click
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from webdemo.stats.figures import INTERVAL_SECONDS, Sample
from webdemo.supervisor.control import statuses
from webdemo.supervisor.control_messages import RunStatus, ServiceStatus
from webdemo.text import format_duration, format_size, terminal_line
from webdemo.worker.codec import plain

_ENDING_KEYS = (b"q", b"Q", b"")  # b"": the terminal is gone
_WIDTH_WITHOUT_TERMINAL = 240
_MOST_PORTS = 4
_NONE_RUNS = "No webdemo of yours is running."
_KEY_COLUMNS = 2  # server and port, which begin each table
_LEFT = ("SERVER", "PORT", "STATE")
_RIGHT = ("REQ/S", "P50", "P99", "IN FLIGHT", "ERRORS", "MEMORY", "CPU", "RESTARTS")


def watch(*, as_json: bool) -> None:
    """Show the figures until the user quits."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that SIGTERM also restores the terminal
    with contextlib.suppress(KeyboardInterrupt):
        if as_json:
            _repeat(lambda statuses: click.echo(json.dumps([plain(status) for status in statuses])), _sleep)
        elif not sys.stdout.isatty():
            console = Console(width=_WIDTH_WITHOUT_TERMINAL, color_system=None)
            _repeat(lambda statuses: _print(console, statuses), _sleep)
        else:
            with _keys() as ended, Live(screen=True, auto_refresh=False) as live:
                _repeat(
                    lambda statuses: live.update(picture(statuses, live.console.width), refresh=True), ended
                )


def _repeat(show: Callable[[list[RunStatus]], None], ended: Callable[[float], bool]) -> None:
    """Call `show` once per interval until `ended`, which waits the given seconds, returns True."""
    while True:
        began = time.monotonic()
        show(statuses()[0])
        if ended(max(0.0, began + INTERVAL_SECONDS - time.monotonic())):
            return


def _sleep(seconds: float) -> bool:
    time.sleep(seconds)
    return False


@contextlib.contextmanager
def _keys() -> Iterator[Callable[[float], bool]]:
    """Yield a function that waits, and returns True if the user quits; without a keyboard it only sleeps."""
    if not sys.stdin.isatty():
        yield _sleep
        return
    import termios
    import tty

    keyboard = sys.stdin.fileno()
    before = termios.tcgetattr(keyboard)

    def pressed(seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while select.select([keyboard], [], [], max(0.0, deadline - time.monotonic()))[0]:
            if os.read(keyboard, 1) in _ENDING_KEYS:
                return True
        return False

    tty.setcbreak(keyboard)
    try:
        yield pressed
    finally:
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)


def _print(console: Console, found: list[RunStatus]) -> None:
    console.print(Text(time.strftime("%H:%M:%S")), picture(found, console.width))
    sys.stdout.flush()  # so that a reader of the pipe sees it at once


def picture(found: list[RunStatus], width: int) -> Group:
    """A heading and tables of at most this width for each webdemo."""
    parts: list[Text | Table] = [] if found else [Text(_NONE_RUNS)]
    for status in found:
        age = format_duration(time.time() - status.since)
        app = terminal_line(status.target)
        parts.append(Text(f"webdemo {status.pid}, {app}, up {age}", style="bold", no_wrap=True))
        for table in _tables(status, width):
            parts += [table, Text()]
    return Group(*parts)


def _tables(status: RunStatus, width: int) -> Iterator[Table]:
    """One table if it fits; else those of the columns that fit, each with the server and its ports."""
    rows = [_cells(service) for service in status.services]
    names = [*_LEFT, *_RIGHT]
    needed = [max(len(name), *(len(row[i]) for row in rows), 0) + 1 for i, name in enumerate(names)]
    rest = list(range(_KEY_COLUMNS, len(names)))
    while rest:
        shown, room = [*range(_KEY_COLUMNS)], width - sum(needed[:_KEY_COLUMNS])
        while rest and (needed[rest[0]] <= room or len(shown) == _KEY_COLUMNS):
            room -= needed[rest[0]]
            shown.append(rest.pop(0))
        table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim")
        for i in shown:
            right = names[i] in _RIGHT
            table.add_column(names[i], justify="right" if right else "left", no_wrap=i >= _KEY_COLUMNS)
        for row, service in zip(rows, status.services, strict=True):
            cells = (Text(row[i]) for i in shown)
            table.add_row(*cells, style=None if service.state == "up" else "red")
        yield table


def _cells(service: ServiceStatus) -> list[str]:
    figures = service.figures
    counted = ["-"] * 7
    if figures is not None:
        counted = [
            f"{figures.requests_per_second:.0f}",
            _latency(figures.p50_ms),
            _latency(figures.p99_ms),
            _in_flight(figures),
            str(figures.errors),
            format_size(figures.memory_bytes),
            f"{figures.cpu_percent:.0f}%",
        ]
    return [
        service.server,
        _ports(service.ports),
        service.state,
        *counted,
        str(service.restarts),
    ]


def _ports(ports: Sequence[str]) -> str:
    more = f" +{len(ports) - _MOST_PORTS}" if len(ports) > _MOST_PORTS else ""
    return terminal_line(" ".join(ports[:_MOST_PORTS])) + more


def _in_flight(figures: Sample) -> str:
    """The number of requests, and the age of the oldest if it is worth a look."""
    age = figures.oldest_request_seconds
    return f"{figures.in_flight} ({format_duration(age)})" if age > 1 else str(figures.in_flight)


def _latency(milliseconds: float | None) -> str:
    return "-" if milliseconds is None else format_duration(milliseconds / 1000)
