"""From a command to the first response: time, CPU and memory; and from SIGTERM to the exit.

"Ready" means an HTTP response on every port, never a line of output. Memory is the proportional set size
(PSS), in which shared memory counts once.
"""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench import commands
from bench.contestants import OWN
from bench.effort import Effort
from bench.processes import Running, ask, free_ports
from bench.rounds import Sample
from bench.tables import Part, Table, megabytes, milliseconds, ratio

Commands = Callable[[list[int]], list[list[str]]]

TRIO = ("werkzeug", "waitress", "gunicorn")
_STOPPED = ("werkzeug", "waitress", "gunicorn", "cheroot", "gevent", "hypercorn", "wsgiref")
_SETTLE_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Way:
    """One way to start servers: the number of ports, and the commands."""

    title: str
    ports: int
    commands: Commands


@dataclass(frozen=True, slots=True)
class Found:
    """The measurements of one way, one value per round."""

    ready: Sample  # seconds
    cpu: Sample  # seconds, until ready
    pss: Sample  # bytes
    stop: Sample  # seconds


def measure(effort: Effort) -> Part:
    """Measure starts of webdemo, of its peers and of separate commands; kills; stops."""
    part = Part("start")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = measure_ways(_ways(), effort.start_rounds, folder)
        _tell(part, found, effort)
        _tell_again(part, effort, folder)
        _tell_stops(part, effort, folder)
    return part


def _ways() -> dict[str, Way]:
    def trio_of_webdemo(ports: list[int]) -> list[list[str]]:
        binds = [f"{server}://127.0.0.1:{port}" for server, port in zip(TRIO, ports, strict=True)]
        return [commands.webdemo(OWN, *binds)]

    def trio_of_commands(ports: list[int]) -> list[list[str]]:
        return [commands.own(server, OWN, port) for server, port in zip(TRIO, ports, strict=True)]

    return {
        "http.server": Way("`python -m http.server`", 1, lambda ports: [commands.http_server(ports[0])]),
        "run_simple": Way(
            "a bare `run_simple` of webdemo's app", 1, lambda ports: [commands.own("werkzeug", OWN, ports[0])]
        ),
        "flask": Way("`flask run`", 1, lambda ports: [commands.flask(ports[0])]),
        "waitress": Way("`waitress-serve`", 1, lambda ports: [commands.own("waitress", OWN, ports[0])]),
        "gunicorn": Way("`gunicorn`", 1, lambda ports: [commands.own("gunicorn", OWN, ports[0])]),
        "webdemo": Way(
            "`python -m webdemo`",
            1,
            lambda ports: [commands.webdemo(OWN, f"werkzeug://127.0.0.1:{ports[0]}")],
        ),
        "separate": Way("Werkzeug, Waitress and Gunicorn as three commands", 3, trio_of_commands),
        "together": Way("the same three as one webdemo", 3, trio_of_webdemo),
    }


def measure_ways(ways: Mapping[str, Way], rounds: int, folder: Path) -> dict[str, Found]:
    """Start and stop each way once per round, after one unmeasured time that compiles all modules."""
    values: dict[str, list[tuple[float, ...]]] = {name: [] for name in ways}
    for name, way in ways.items():
        _start_once(way, folder / f"{name}.log")
    for _ in range(rounds):
        for name, way in ways.items():
            values[name].append(_start_once(way, folder / f"{name}.log"))
    return {
        name: Found(*(Sample(column) for column in zip(*rows, strict=True))) for name, rows in values.items()
    }


def _start_once(way: Way, log: Path) -> tuple[float, ...]:
    ports = free_ports(way.ports)
    with Running(way.commands(ports), ports, log) as running:
        cpu = running.cpu_seconds()
        time.sleep(_SETTLE_SECONDS)
        pss = running.pss_bytes()
        stop = running.stop()
    return running.ready_seconds, cpu, pss, stop


def _tell(part: Part, found: dict[str, Found], effort: Effort) -> None:
    titles = {name: way.title for name, way in _ways().items()}
    part.tables.append(
        Table(
            f"From the command to the first response (medians of {effort.start_rounds} interleaved rounds)",
            ["", "ready", "CPU", "memory (PSS)", "stop"],
            [
                [
                    titles[name],
                    milliseconds(one.ready.median),
                    milliseconds(one.cpu.median),
                    megabytes(one.pss.median),
                    milliseconds(one.stop.median),
                ]
                for name, one in found.items()
            ],
        )
    )
    own, together, separate = found["webdemo"], found["together"], found["separate"]
    part.figures |= {
        "start.flask": own.ready.ratio_to(found["flask"].ready).median,
        "start.run_simple": own.ready.ratio_to(found["run_simple"].ready).median,
        "start.together.ready": together.ready.ratio_to(separate.ready).median,
        "start.together.memory": together.pss.ratio_to(separate.pss).median,
        "start.together.cpu": together.cpu.ratio_to(separate.cpu).median,
    }
    part.notes.append(
        f"Ready: webdemo takes {ratio(part.figures['start.flask'])} of `flask run`'s time and "
        f"{ratio(part.figures['start.run_simple'])} of the bare `run_simple`'s; three servers together take "
        f"{ratio(part.figures['start.together.ready'])} of the time, "
        f"{ratio(part.figures['start.together.memory'])} of the memory and "
        f"{ratio(part.figures['start.together.cpu'])} of the CPU of three commands."
    )


# -- killed, and stopped --------------------------------------------------------------------------


def _tell_again(part: Part, effort: Effort, folder: Path) -> None:
    rows = []
    for server in TRIO:
        [port] = free_ports(1)
        command = commands.webdemo(OWN, f"{server}://127.0.0.1:{port}")
        times = []
        for _ in range(effort.start_rounds):
            with Running([command], [port], folder / "killed.log") as running:
                times.append(_answers_again_after(running, port))
        sample = Sample(tuple(times))
        part.figures[f"start.again.{server}"] = sample.median
        rows.append([server, milliseconds(sample.median), milliseconds(max(sample.values))])
    part.tables.append(
        Table(
            "A server process killed with -9: time until its port answers again (no connection is refused)",
            ["server", "median", "longest"],
            rows,
        )
    )


def _answers_again_after(running: Running, port: int) -> float:
    """Kill the server process, which is the loader's child; returns the seconds until the next response."""
    supervisor = psutil.Process(running.pids()[0])
    [loader] = supervisor.children()
    [server] = loader.children()
    began = time.perf_counter()
    os.kill(server.pid, signal.SIGKILL)
    ask(port, "/")
    return time.perf_counter() - began


def _tell_stops(part: Part, effort: Effort, folder: Path) -> None:
    from webdemo.servers import registry

    rows = []
    there = [name for name in _STOPPED if registry.find(name).version() is not None]
    part.notes += [
        f"{name} is not installed, so its stop is not timed." for name in _STOPPED if name not in there
    ]
    for server in there:
        times = []
        for _ in range(effort.start_rounds):
            [port] = free_ports(1)
            command = commands.webdemo(OWN, f"{server}://127.0.0.1:{port}")
            with Running([command], [port], folder / "stopped.log") as running:
                time.sleep(_SETTLE_SECONDS)
                times.append(running.stop())
        sample = Sample(tuple(times))
        part.figures[f"start.stop.{server}"] = sample.median
        rows.append([server, milliseconds(sample.median), milliseconds(max(sample.values))])
    part.tables.append(
        Table("From SIGTERM to webdemo's end, with no connection open", ["server", "median", "longest"], rows)
    )
