"""The kinds of load that each server is measured under."""

from __future__ import annotations

from dataclasses import dataclass

STEADY = "steady"
SLOW_CLIENTS = "slow clients"
# More than the connections that Waitress takes by default, and than any server here has threads.
SLOW_COUNT = 120


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    connections: int


ALONE = Case(STEADY, 1)
TYPICAL = Case(STEADY, 8)
MANY = Case(STEADY, 64)
SLOW = Case(SLOW_CLIENTS, 8)
CASES = (ALONE, TYPICAL, MANY, SLOW)
