"""Threads and processors: a threaded server left alone, in several processes, and each of them pinned.

Threads of one process fight over the interpreter's lock across processors. Views of three kinds show
where keeping each process to one processor helps, and where it hurts: one that only computes in Python,
one that waits, and one that computes outside the lock.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench import commands, load
from bench.effort import Effort
from bench.processes import Running, free_ports
from bench.rounds import Sample, interleave
from bench.tables import Part, Table

SERVERS = ("waitress", "gunicorn")
SPREADING = ("waitress", "cheroot", "gevent", "hypercorn", "gunicorn")
_CONNECTIONS = 16
_SETTLE_SECONDS = 0.1
VIEWS = {"/": "Python only", "/wait": "waits 5 ms", "/hash": "hashes 1 MB outside the lock"}


def measure(effort: Effort) -> Part:
    """Requests per second, all processors shared with the load."""
    part = Part("threads")
    if not load.is_there():
        part.notes.append("Threads are not measured: there is no wrk here. Debian: apt install wrk")
        return part
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as name:
        for server in SERVERS:
            _measure_server(part, effort, server, cores, Path(name))
        _measure_spread(part, effort, cores, Path(name))
    return part


def _ways(server: str, cores: int) -> dict[str, Callable[[int], list[str]]]:
    def by_webdemo(query: str, port: int) -> list[str]:
        return commands.webdemo("threaded", f"{server}://127.0.0.1:{port}{query}")

    ways: dict[str, Callable[[int], list[str]]] = {"own command": partial(commands.own, server, "threaded")}
    if server == "gunicorn":
        ways[f"own command, {cores} workers"] = partial(commands.own, server, "threaded", workers=cores)
    ways["webdemo"] = partial(by_webdemo, "")
    ways["webdemo, one worker on one processor"] = partial(
        by_webdemo, f"?cpus={min(os.sched_getaffinity(0))}"
    )
    ways[f"webdemo, workers={cores}"] = partial(by_webdemo, f"?workers={cores}")
    ways[f"webdemo, workers={cores}, cpus=each"] = partial(by_webdemo, f"?workers={cores}&cpus=each")
    return ways


def _measure_server(part: Part, effort: Effort, server: str, cores: int, folder: Path) -> None:
    ways = _ways(server, cores)
    columns = []
    with contextlib.ExitStack() as stack:
        ports = {}
        for name, command in ways.items():
            [ports[name]] = free_ports(1)
            stack.enter_context(Running([command(ports[name])], [ports[name]], folder / "log"))
        for path in VIEWS:
            measures = {name: partial(_per_second, port, path, effort) for name, port in ports.items()}
            columns.append(interleave(effort.wire_rounds, measures))
    own, *_, best = ways
    part.figures[f"threads.{server}"] = columns[0][best].ratio_to(columns[0][own]).median
    part.tables.append(
        Table(
            f"{server.capitalize()} with {commands.THREADS} threads: requests per second, all {cores} "
            "processors, shared with the load generator",
            ["", *VIEWS.values()],
            [[name, *(f"{column[name].median:,.0f}" for column in columns)] for name in ways],
        )
    )


# -- how connections are spread over the workers ---------------------------------------------------


def _measure_spread(part: Part, effort: Effort, cores: int, folder: Path) -> None:
    """Connections that arrive at once and stay open: how many of them the busiest worker has."""
    from webdemo.servers import registry

    rows = []
    with contextlib.ExitStack() as stack:
        for server in SPREADING:
            if registry.find(server).version() is None:
                part.notes.append(
                    f"{server} is not installed, so how it spreads connections is not measured."
                )
                continue
            cells = []
            for query in (f"workers={cores}", f"workers={cores}&cpus=each"):
                [port] = free_ports(1)
                command = commands.webdemo("threaded", f"{server}://127.0.0.1:{port}?{query}")
                stack.enter_context(Running([command], [port], folder / "log"))
                _most_of_one(port)  # then all workers are there
                found = Sample(tuple(_most_of_one(port) for _ in range(2 * effort.wire_rounds + 1)))
                cells.append(f"{found.median:.0f} ({min(found.values):.0f} to {max(found.values):.0f})")
            rows.append([server, *cells])
    part.tables.append(
        Table(
            f"{_CONNECTIONS} connections that arrive at once and stay open, on {cores} workers: connections "
            "of the busiest worker, median and range",
            ["", f"workers={cores}", f"workers={cores}, cpus=each"],
            rows,
        )
    )


def _most_of_one(port: int) -> int:
    time.sleep(_SETTLE_SECONDS)  # those that were open before are closed by then
    with contextlib.ExitStack() as stack:
        connections = []
        for _ in range(_CONNECTIONS):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            stack.callback(connection.close)
            connection.connect()
            connections.append(connection)
        processes: Counter[bytes] = Counter()
        for connection in connections:
            connection.request("GET", "/process")
        for connection in connections:
            processes[connection.getresponse().read()] += 1
    return max(processes.values())


def _per_second(port: int, path: str, effort: Effort) -> float:
    return load.run(port, path, seconds=effort.wire_seconds, connections=16).per_second
