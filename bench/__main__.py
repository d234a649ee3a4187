"""Runs the benchmarks, or some parts of them: python -m bench [PART ...]"""

from __future__ import annotations

import argparse
import signal
import sys

from bench import edge, effort, inproc, limits, machine, ports, report, start, threads, wire
from bench.contestants import BARE, NAMES, OWN, PEER
from bench.tables import Part

PARTS = {
    "inproc": "what a request costs in one process, without a server",
    "edge": "what the run layer puts before an app",
    "wire": "requests over loopback: apps on servers, the run layer, files beside nginx",
    "threads": "threads, processes and processors",
    "start": "time to the first answer, memory, kills and stops",
    "ports": "1 to 64 ports",
}


def main() -> int:
    """Run the parts, print their tables, and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="How fast webdemo is, beside its peers and beside the limit.",
        epilog="Parts: " + "; ".join(f"{name}: {what}" for name, what in PARTS.items()) + ".",
    )
    parser.add_argument("part", nargs="*", metavar="PART", help="What to measure; all of it by default.")
    parser.add_argument("--quick", action="store_true", help="In less than two minutes, less exactly.")
    parser.add_argument(
        "--instructions", action="store_true", help="Count instructions as well, with valgrind: some minutes."
    )
    parser.add_argument(
        "--save", action="store_true", help="Keep the results, and write docs/performance.md with them."
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="Exit with 1 if a limit is not met, of instructions as well where there is valgrind.",
    )
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that started processes are stopped
    unknown = [name for name in chosen.part if name not in PARTS]
    if unknown:
        parser.error(f"there is no part {unknown[0]!r}; these are: {', '.join(PARTS)}")
    counted = NAMES if chosen.instructions else (BARE, OWN, PEER) if chosen.check else ()
    parts = []
    for name in chosen.part or PARTS:
        print(f"{name}: {PARTS[name]} ...", file=sys.stderr, flush=True)
        part = run(name, effort.QUICK if chosen.quick else effort.DEFAULT, counted=counted)
        part.machine = machine.describe()
        parts.append(part)
    print(report.text(parts))
    if chosen.save:
        report.save(parts)
    return 1 if chosen.check and limits.unmet(report.figures(parts)) else 0


def run(name: str, how_much: effort.Effort, *, counted: tuple[str, ...] = ()) -> Part:
    """Measure a part; `counted` are the contestants whose instructions are counted as well."""
    match name:
        case "inproc":
            return inproc.measure(how_much, counted=counted)
        case "edge":
            return edge.measure(how_much)
        case "wire":
            return wire.measure(how_much)
        case "threads":
            return threads.measure(how_much)
        case "start":
            return start.measure(how_much)
        case _:
            return ports.measure(how_much)


if __name__ == "__main__":
    sys.exit(main())
