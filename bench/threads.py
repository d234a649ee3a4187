"""Threads and processors: a threaded server left alone, in several processes, and each of them pinned.

Threads of one process fight over the interpreter's lock across processors. Views of three kinds show
where keeping each process to one processor helps, and where it hurts: one that only computes in Python,
one that waits, and one that computes outside the lock.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench import commands, load
from bench.effort import Effort
from bench.processes import Running, free_ports
from bench.rounds import interleave
from bench.tables import Part, Table

SERVERS = ("waitress", "gunicorn")
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
            measures = {
                name: partial(_per_second, f"http://127.0.0.1:{port}{path}", effort)
                for name, port in ports.items()
            }
            columns.append(interleave(effort.wire_rounds, measures))
    own, *_, best = ways
    part.figures[f"threads.{server}"] = columns[0][best].ratio_to(columns[0][own]).median
    part.tables.append(
        Table(
            f"{server.capitalize()} with {commands.THREADS} threads: requests per second, all {cores} "
            "processors, which the load needs as well",
            ["", *VIEWS.values()],
            [[name, *(f"{column[name].median:,.0f}" for column in columns)] for name in ways],
        )
    )


def _per_second(url: str, effort: Effort) -> float:
    return load.run(url, seconds=effort.wire_seconds, connections=16).per_second
