"""Costs as instruction counts, by valgrind: equal on a busy machine and an idle one.

Each contestant runs in its own process under callgrind, which dumps its counts whenever the process calls
getppid: before and after the calls of a case.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import geometric_mean

from bench.contestants import BARE, OWN, PEER, Contestant
from bench.tables import Part, Table, column_or_dash

CALLS = 200
_DUMP = re.compile(r"^summary: (\d+)", re.MULTILINE)
_REST_SECONDS = 2.5  # webdemo does not cache a file that was changed within the last two seconds


def let_rest(folder: Path) -> None:
    """Wait until every file of the folder is old enough to be cached in memory."""
    newest = max(path.stat().st_mtime for path in folder.iterdir())
    time.sleep(max(0.0, newest + _REST_SECONDS - time.time()))


def add(part: Part, contestants: list[Contestant], folder: Path) -> None:
    """Count the instructions of each contestant, and add the table to the part."""
    from bench.cases import CASES

    valgrind = shutil.which("valgrind")
    if valgrind is None:
        part.notes.append("Instructions are not counted: there is no valgrind here.")
        return
    counted = {c.name: count(valgrind, c.name, folder) for c in contestants}
    names = [name for name in counted if name != BARE]
    rows = []
    for case in CASES:
        bare = counted[BARE][case.name]
        ratios = [counted[who][case.name] / bare if case.name in counted[who] else None for who in names]
        rows.append([case.title, f"{bare / 1000:.1f}", *column_or_dash(ratios)])
        for who, value in zip(names, ratios, strict=True):
            if value is not None:
                part.figures[f"instructions.{case.name}.{who}"] = value
    _add_handlers(part, {name: counted[name] for name in names})
    part.tables.append(
        Table(
            f"The same in instructions, counted by valgrind over {CALLS} requests",
            ["case", "bare, thousands", *names],
            rows,
        )
    )


def _add_handlers(part: Part, counted: Mapping[str, Mapping[str, float]]) -> None:
    from bench.cases import HANDLERS

    names = [name for name, found in counted.items() if HANDLERS[0].name in found]
    rows = []
    for case in HANDLERS:
        cells = [f"{counted[name][case.name] / 1000:.0f}" for name in names]
        rows.append([case.title, *cells])
        for name in names:
            part.figures[f"instructions.{case.name}.{name}"] = counted[name][case.name]
    if OWN in names and PEER in names:
        shares = [counted[OWN][case.name] / counted[PEER][case.name] for case in HANDLERS]
        part.figures["instructions.handlers"] = geometric_mean(shares)
        ratio = f"{geometric_mean(shares):.2f} of {PEER}"
        rows.append(["geometric mean", *(ratio if name == OWN else "" for name in names)])
    part.tables.append(Table("What handlers do, in thousands of instructions", ["handler", *names], rows))


def count(valgrind: str, name: str, folder: Path) -> dict[str, float]:
    """Instructions per request, by case name."""
    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "out"
        result = subprocess.run(
            [
                valgrind,
                "--tool=callgrind",
                f"--callgrind-out-file={out}",
                "--dump-before=getppid",
                sys.executable,
                "-m",
                "bench.counted",
                name,
                str(folder),
            ],
            capture_output=True,
            text=True,
            timeout=300,
            env=os.environ | {"PYTHONHASHSEED": "0"},
            check=True,
        )
        cases = result.stdout.split()
        # Dump 1 ends before the calls of the first case, 2 after them, 3 before the next case's ...
        totals = [_total(out.with_name(f"out.{number}")) for number in range(1, 2 * len(cases) + 1)]
        return {case: total / CALLS for case, total in zip(cases, totals[1::2], strict=True)}


def _total(dump: Path) -> int:
    match = _DUMP.search(dump.read_text())
    assert match is not None, f"{dump} has no summary"
    return int(match[1])
