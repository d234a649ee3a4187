"""The load cases in which each server is measured."""

from __future__ import annotations

from typing import NamedTuple

STEADY = "steady"
SLOW_CLIENTS = "slow clients"
# More than Waitress's default connection limit, and more than any server here has threads.
SLOW_COUNT = 120


class Case(NamedTuple):
    name: str
    connections: int


ALONE = Case(STEADY, 1)
TYPICAL = Case(STEADY, 8)
MANY = Case(STEADY, 64)
SLOW = Case(SLOW_CLIENTS, 8)
CASES = (ALONE, TYPICAL, MANY, SLOW)
