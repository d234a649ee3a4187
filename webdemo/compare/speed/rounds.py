"""Measures how fast the app is on each server, in interleaved rounds of load under the same conditions.

In each round every server is measured once in every case, in an order that rotates from round to round, so
that changes on the machine affect all servers equally. Servers and load are pinned to different processors
if there are at least two.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Literal, NamedTuple

from webdemo.client.http11 import KeepAliveClient
from webdemo.compare import processes
from webdemo.compare.results import Figure, Lifecycle, Measurement, Ratio, Speed
from webdemo.compare.runner import Run
from webdemo.compare.speed import slow_clients
from webdemo.compare.speed.cases import CASES, SLOW_CLIENTS, Case
from webdemo.compare.speed.intervals import FEWEST_ROUNDS, figure, is_significant, order_in_round, ratio
from webdemo.compare.speed.lifecycle import CYCLES, Cycle, run_cycle
from webdemo.compare.speed.load import Generator, Load, find_generator
from webdemo.compare.speed.load_client import RESPONSE_SECONDS, is_answered
from webdemo.worker.app_import import Target

ROUNDS = FEWEST_ROUNDS
SECONDS_PER_ROUND = 0.5
FEWEST_SECONDS = 0.15
SECONDS_OF_LOAD = 32.0  # on all servers together
WARM_UP_SECONDS = 0.3
# A processor that is busy for at least this share of the time limited the measurement.
BUSY = 0.85
# How long a server that was blocked by slow clients may take to recover.
_RECOVERY_SECONDS = 5.0


def seconds_per_round(servers: int) -> float:
    """How long a measurement takes by default, so that many servers do not take many minutes."""
    shared = SECONDS_OF_LOAD / (servers * len(CASES) * ROUNDS)
    return round(min(SECONDS_PER_ROUND, max(FEWEST_SECONDS, shared)), 2)


class _Round(NamedTuple):
    """One measurement of one server in one case."""

    load: Load
    server_cpu_seconds: float
    memory_bytes: int


OnStep = Callable[[str, int, int], object]
"""Called with what is measured next, and the number of steps done and in all."""


def measure(
    runs: Sequence[Run],
    target: Target,
    on_step: OnStep,
    *,
    path: str = "/",
    seconds_per_round: float = SECONDS_PER_ROUND,
    rounds: int = ROUNDS,
) -> Speed:
    """Measure the runs that are up and respond; then, in new runs, how each starts, stops and recovers.

    Each measurement takes `seconds_per_round`. Raises WebdemoError if the load generator fails.
    """
    began = time.monotonic()
    up = [run for run in runs if run.state == "up"]
    cpus = processes.split_cpus()
    generator = find_generator(cpus[1] if cpus else None)
    pids = {run.label: processes.with_descendants(run.pids) for run in up}
    if cpus:
        for own in pids.values():
            processes.pin(own, cpus[0])
    notes = _notes(generator, shared_cpus=cpus is None)
    steps = _Steps(on_step, total=len(up) * (1 + len(CASES) * rounds + CYCLES))
    for run in tuple(up):
        steps.next(f"warming up: {run.label}")
        status = _warm_up(generator, run, path)
        if status is None:
            notes.append(f"{run.label} did not respond to a request for {path}: its speed was not measured.")
            up.remove(run)
        elif status >= 400:
            notes.append(f"{path} responds with status {status}: the figures are those of an error.")
    found: dict[tuple[str, Case], list[_Round]] = {(run.label, case): [] for run in up for case in CASES}
    for number in range(rounds):
        for case in CASES:
            beside = ", beside slow clients" if case.name == SLOW_CLIENTS else ""
            for run in order_in_round(up, number):
                steps.next(
                    f"speed, round {number + 1} of {rounds}: "
                    f"{run.label}, {case.connections} connections{beside}"
                )
                found[run.label, case].append(
                    _measure_once(generator, run.port, path, case, seconds_per_round, pids[run.label])
                )
    measurements = [_measurement(label, case, all_rounds) for (label, case), all_rounds in found.items()]
    at_once = (len(cpus[0]) + 1) // 2 if cpus else 1  # a server and its clients keep two processors busy
    lifecycles = list(_lifecycles(up, target, path, steps, at_once))
    return Speed(
        path=path,
        client=generator.name,
        seconds_per_round=seconds_per_round,
        measurements=tuple(measurements),
        ratios=tuple(ratio for case in CASES for ratio in _ratios(found, case)),
        lifecycles=tuple(lifecycles),
        notes=tuple(dict.fromkeys(notes)),
        seconds=time.monotonic() - began,
    )


@dataclass(slots=True)
class _Steps:
    on_step: OnStep
    total: int
    done: int = 0

    def next(self, text: str) -> None:
        self.on_step(text, self.done, self.total)
        self.done += 1


def limit(client_share: float, server_share: float) -> Literal["server", "client", "unknown"]:
    """Which side used up its processor; the shares are of one processor's time."""
    if client_share >= BUSY:
        return "client"
    return "server" if server_share >= BUSY else "unknown"


def _notes(generator: Generator, *, shared_cpus: bool) -> list[str]:
    notes = []
    if generator.wrk is None:
        notes.append(
            "wrk is not installed, and the built-in client is slower than the faster servers: "
            "where it was the limit, they are faster than reported here."
        )
    if shared_cpus:
        notes.append("Servers and load shared a processor: they slowed each other down.")
    return notes


def _warm_up(generator: Generator, run: Run, path: str) -> int | None:
    """Warm up the server; returns the status of a response, or None if there is none."""
    with contextlib.closing(KeepAliveClient(run.endpoint, path, RESPONSE_SECONDS)) as client:
        try:
            status = client.get()
        except OSError:
            return None
    generator.run(run.port, path, connections=2, seconds=WARM_UP_SECONDS)
    return status


def _measure_once(
    generator: Generator, port: int, path: str, case: Case, seconds: float, pids: Sequence[int]
) -> _Round:
    is_slow = case.name == SLOW_CLIENTS
    with slow_clients.slow_clients(port) if is_slow else contextlib.nullcontext():
        before = processes.cpu_seconds(pids)
        load = generator.run(port, path, connections=case.connections, seconds=seconds)
        cpu_seconds = processes.cpu_seconds(pids) - before
    measured = _Round(load, cpu_seconds, processes.memory_bytes(pids))
    if is_slow:
        is_answered(port, path, _RECOVERY_SECONDS)
    return measured


def _measurement(label: str, case: Case, rounds: Sequence[_Round]) -> Measurement:
    loads = [one.load for one in rounds]
    seconds = sum(load.seconds for load in loads)
    costs = [one.server_cpu_seconds / one.load.requests * 1e6 for one in rounds if one.load.requests]
    responded = [load for load in loads if load.requests]
    return Measurement(
        server=label,
        case=case.name,
        connections=case.connections,
        requests_per_second=figure([load.per_second for load in loads]),
        p50_ms=figure([load.p50_ms for load in responded] or [0.0]),
        p90_ms=figure([load.p90_ms for load in responded] or [0.0]),
        p99_ms=figure([load.p99_ms for load in responded] or [0.0]),
        errors=sum(load.errors for load in loads),
        cpu_us_per_request=_figure(cost for cost in costs if cost > 0),
        memory_bytes=figure([one.memory_bytes for one in rounds])
        if all(one.memory_bytes for one in rounds)
        else None,
        limited_by=limit(
            sum(load.client_cpu_seconds for load in loads) / seconds,
            sum(one.server_cpu_seconds for one in rounds) / seconds,
        ),
    )


def _figure(values: Iterable[float | None]) -> Figure | None:
    known = [value for value in values if value is not None]
    return figure(known) if known else None


def _ratios(found: dict[tuple[str, Case], list[_Round]], case: Case) -> Iterator[Ratio]:
    """Each server's throughput as a ratio to the best one's in the case."""
    rates = {
        label: [one.load.per_second for one in rounds] for (label, c), rounds in found.items() if c == case
    }
    best = max(rates, key=lambda label: figure(rates[label]).value, default="")
    for label in rates:
        if label == best:
            continue
        share = ratio(rates[label], rates[best], comparisons=(len(rates) - 1) * len(CASES))
        if share is not None:
            yield Ratio(label, best, *case, share, is_significant(share))


def _lifecycles(
    runs: Sequence[Run], target: Target, path: str, steps: _Steps, at_once: int
) -> Iterator[Lifecycle]:
    def run_one(run: Run) -> Cycle:
        steps.next(f"start, kill -9 and stop: {run.label}")
        return run_cycle(run.choice, target, path)

    with ThreadPoolExecutor(at_once) as pool:
        cycles = pool.map(run_one, [run for run in runs for _ in range(CYCLES)])
        for run in runs:
            own = list(islice(cycles, CYCLES))
            lost = [one.lost for one in own if one.lost is not None]
            yield Lifecycle(
                server=run.label,
                start_seconds=_figure(one.start_seconds for one in own),
                stop_seconds=_figure(one.stop_seconds for one in own),
                lost_at_stop=sum(lost) if lost else None,
                back_seconds=_figure(one.back_seconds for one in own),
            )
