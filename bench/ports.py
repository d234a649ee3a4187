"""How time and memory grow with the number of ports."""

from __future__ import annotations

import tempfile
from pathlib import Path

from bench import commands
from bench.contestants import OWN
from bench.effort import Effort
from bench.start import Way, measure_ways
from bench.tables import Part, Table, megabytes, milliseconds, ratio

COUNTS = (1, 4, 16, 64)
_MOST = COUNTS[-1]


def measure(effort: Effort) -> Part:
    """Measure one server on all ports, a server per port, and a command per port."""
    part = Part("ports")
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for count in COUNTS:
            found = measure_ways(_ways(count), effort.port_rounds, Path(name))
            rows.append(
                [
                    str(count),
                    *(
                        f"{milliseconds(one.ready.median)}, {megabytes(one.pss.median)}"
                        for one in found.values()
                    ),
                ]
            )
    one, each, own = found["one"], found["each"], found["own"]
    part.figures = {
        "ports.one.ready": one.ready.ratio_to(own.ready).median,
        "ports.one.memory": one.pss.ratio_to(own.pss).median,
        "ports.each.memory": each.pss.median / _MOST,
    }
    part.tables.append(
        Table(
            f"Ready on every port, and memory (PSS); medians of {effort.port_rounds} rounds",
            ["ports", *(way.title for way in _ways(1).values())],
            rows,
        )
    )
    part.notes.append(
        f"{_MOST} ports of one server take {ratio(part.figures['ports.one.ready'])} of the time and "
        f"{ratio(part.figures['ports.one.memory'])} of the memory of {_MOST} commands; with a server for "
        f"each port, a port costs {part.figures['ports.each.memory'] / 1e6:.1f} MB."
    )
    return part


def _ways(count: int) -> dict[str, Way]:
    def one(ports: list[int]) -> list[list[str]]:
        return [commands.webdemo(OWN, *(f"waitress://127.0.0.1:{port}" for port in ports))]

    def each(ports: list[int]) -> list[list[str]]:
        # Binds with different options get a process each.
        binds = (f"waitress://127.0.0.1:{port}?channel_timeout={100 + n}" for n, port in enumerate(ports))
        return [commands.webdemo(OWN, *binds)]

    def own(ports: list[int]) -> list[list[str]]:
        return [commands.own("waitress", OWN, port) for port in ports]

    return {
        "one": Way("webdemo, one Waitress on all", count, one),
        "each": Way("webdemo, a Waitress for each", count, each),
        "own": Way("`waitress-serve` for each", count, own),
    }
