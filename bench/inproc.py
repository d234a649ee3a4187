"""The cost of a WSGI callable per request, in one process without a server: CPU time or instructions.

Environs are made in advance and used once. All figures, the limit's included, contain the cost of calling the
app and of reading and closing its body.
"""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import geometric_mean
from time import process_time_ns
from typing import TYPE_CHECKING, Any

from bench import content, instructions
from bench.cases import CASES, HANDLERS, Case, environs
from bench.contestants import BARE, OWN, PEER, Contestant, installed
from bench.effort import Effort
from bench.responses import Response, conditions, respond
from bench.rounds import Sample, interleave
from bench.tables import Part, Table, column_or_dash

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

# Few enough to stay in the processor's cache.
_CALLS_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Runner:
    """An app, and a case that it answers in the same way as the limit."""

    app: WSGIApplication
    case: Case
    more: dict[str, str]

    def calls(self, count: int) -> int:
        """Call the app `count` times; returns the CPU time in nanoseconds."""
        total = 0
        while count > 0:
            batch = environs(self.case, min(count, _CALLS_AT_ONCE), self.more)
            count -= len(batch)
            total += call(self.app, batch)
        return total


def call(app: WSGIApplication, batch: list[WSGIEnvironment]) -> int:
    """Call the app with each environ as a server does; returns the CPU time in nanoseconds."""
    began = process_time_ns()
    for environ in batch:
        body = app(environ, _start_response)
        for _ in body:
            pass
        close = getattr(body, "close", None)
        if close is not None:
            close()
    return process_time_ns() - began


def _start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
    return None


def equal_runners(
    case: Case, contestants: list[Contestant], folder: Path
) -> tuple[dict[str, Runner], list[str]]:
    """The contestants that answer the case in the same way as the limit, and a line for each other one."""
    runners: dict[str, Runner] = {}
    left_out = []
    right = None
    for contestant in contestants:
        app = contestant.make(case.kind, folder)
        if app is None:
            continue
        more = conditions(app, case)
        for _ in range(2):  # the second response may come from a cache
            found, _ = respond(app, environs(case, 1, more)[0])
            if not case.compares_body:
                found = Response(found.status, "", "", b"")
            right = right or found
            difference = found.differs_from(right)
            if difference:
                left_out.append(f"{contestant.name} is left out of “{case.title}”: {difference}.")
                break
        else:
            runners[contestant.name] = Runner(app, case, more)
    return runners, left_out


def measure(effort: Effort, *, counted: tuple[str, ...] = ()) -> Part:
    """Measure every contestant in every case, relative to the limit, and count the instructions of some."""
    part = Part("inproc")
    contestants, missing = installed()
    part.notes += missing
    names = [contestant.name for contestant in contestants if contestant.name != BARE]
    rows = []
    uncertainties = []
    with tempfile.TemporaryDirectory() as name:
        folder = _folder(Path(name))
        for case in CASES:
            runners, left_out = equal_runners(case, contestants, folder)
            part.notes += left_out
            found = _time(effort, runners)
            bare = found[BARE]
            ratios = {who: sample.ratio_to(bare) for who, sample in found.items()}
            for who, sample in ratios.items():
                part.figures[f"inproc.{case.name}.{who}"] = sample.median
            uncertainties += [sample.uncertainty for sample in ratios.values()]
            rows.append(
                [
                    case.title,
                    f"{bare.median / 1000:.2f}",
                    *column_or_dash(ratios[who].median if who in ratios else None for who in names),
                ]
            )
        part.tables.append(
            Table(
                "CPU time of a request in one process, as a multiple of bare plain functions behind a dict "
                f"(medians of {effort.rounds} interleaved rounds, whose 95 % confidence intervals reach "
                f"± {max(uncertainties):.0%} at most)",
                ["case", "bare, µs", *names],
                rows,
            )
        )
        _measure_handlers(effort, part, contestants, folder)
        if counted:
            instructions.add(part, [each for each in contestants if each.name in counted], folder)
    return part


def _measure_handlers(effort: Effort, part: Part, contestants: list[Contestant], folder: Path) -> None:
    """Measure what handlers of real apps do, in microseconds and relative to Falcon."""
    contestants = [each for each in contestants if "handlers" in each.makers]
    names = [each.name for each in contestants]
    rows = []
    shares = []
    for case in HANDLERS:
        runners, left_out = equal_runners(case, contestants, folder)
        part.notes += left_out
        found = _time(effort, runners)
        for who, sample in found.items():
            part.figures[f"inproc.{case.name}.{who}"] = sample.median
        share = None
        if OWN in found and PEER in found:
            share = found[OWN].ratio_to(found[PEER]).median
            shares.append(share)
        rows.append(
            [
                case.title,
                *(f"{found[who].median / 1000:.1f}" if who in found else "-" for who in names),
                *column_or_dash([share]),
            ]
        )
    if shares:
        part.figures["inproc.handlers"] = geometric_mean(shares)
        rows.append(["geometric mean", *("" for _ in names), *column_or_dash([geometric_mean(shares)])])
    part.tables.append(
        Table(
            f"What handlers do, in µs of CPU time (medians of {effort.rounds} interleaved rounds)",
            ["handler", *names, f"{OWN} : {PEER}"],
            rows,
        )
    )


def _folder(folder: Path) -> Path:
    content.write_files(folder)
    instructions.let_rest(folder)
    return folder


def _time(effort: Effort, runners: dict[str, Runner]) -> dict[str, Sample]:
    """CPU time per request, in nanoseconds, by contestant."""
    measures: dict[str, Callable[[], float]] = {}
    for name, runner in runners.items():
        cost = runner.calls(_CALLS_AT_ONCE) / _CALLS_AT_ONCE
        count = max(10, min(20_000, int(effort.batch_seconds * 1e9 / cost)))
        measures[name] = partial(_one_batch, runner, count)
    return interleave(effort.rounds, measures)


def _one_batch(runner: Runner, count: int) -> float:
    gc.collect()
    return runner.calls(count) / count
