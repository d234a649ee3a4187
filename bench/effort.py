"""How much is measured: enough for stable figures by default, little with --quick."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Effort:
    rounds: int = 31  # of calls in one process
    batch_seconds: float = 0.008  # per contestant in each of these rounds
    wire_rounds: int = 5
    wire_seconds: float = 1.0  # of wrk in each of these rounds
    start_rounds: int = 7
    port_rounds: int = 3


DEFAULT = Effort()
QUICK = Effort(rounds=7, batch_seconds=0.004, wire_rounds=1, wire_seconds=1.0, start_rounds=2, port_rounds=1)
