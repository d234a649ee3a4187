"""Sixteen times the input takes at most twenty-four times the CPU time, whatever its shape."""

from __future__ import annotations

import pytest

from tests.fuzz.pace import MOST_GROWTH, TIMES, growth
from tests.fuzz.targets import TARGETS, Target, build

pytestmark = pytest.mark.fuzz


@pytest.mark.attack(
    "Time and size",
    "Long input of a shape that is hard on a parser: quotes, spaces, separators, escapes, nested parts",
    "Every parser takes time proportional to its input, or refuses it.",
)
@pytest.mark.parametrize("target", [pytest.param(target, id=target.name) for target in TARGETS])
def test_time_is_in_proportion_to_size(target: Target) -> None:
    for shape in target.shapes():
        long = build(shape, target.size * TIMES)
        times = growth(target.read, build(shape, target.size), long)
        assert times <= MOST_GROWTH, f"{times:.0f} times the time for {TIMES} times {shape}"
