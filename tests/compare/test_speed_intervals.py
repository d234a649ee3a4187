"""The statistics, on simulated measurements: no process is started."""

from __future__ import annotations

import math
import random

import pytest

from webdemo.compare.speed import intervals
from webdemo.compare.speed.cases import CASES
from webdemo.compare.speed.intervals import figure, is_significant, ratio, student_quantile


@pytest.mark.parametrize(
    ("freedom", "quantile"), [(1, 12.7062), (2, 4.3027), (4, 2.7764), (5, 2.5706), (9, 2.2622), (30, 2.0423)]
)
def test_student_quantiles_are_those_of_the_tables(freedom: int, quantile: float) -> None:
    assert student_quantile(0.975, freedom) == pytest.approx(quantile, abs=1e-4)


def test_figure_of_few_rounds_spans_them_all() -> None:
    found = figure([3.0, 1.0, 2.0])
    assert (found.value, found.low, found.high, found.rounds) == (2.0, 1.0, 3.0, 3)


def test_figure_of_many_rounds_leaves_the_extremes_out() -> None:
    found = figure([float(n) for n in range(1, 21)])
    # The 6th and the 15th of 20: the binomial interval of the median, 95.9 %.
    assert (found.low, found.high) == (6.0, 15.0)


def measured(draw: random.Random, rate: float, *, noise: float, rounds: int = 6) -> list[float]:
    """Simulated rounds of a server, with noise and occasional disturbances of the machine."""
    return [rate * draw.lognormvariate(0, noise) * draw.choice([1.0] * 9 + [0.7]) for _ in range(rounds)]


@pytest.fixture
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enough for a verdict, and a tenth of the time."""
    monkeypatch.setattr(intervals, "RESAMPLES", 1000)


@pytest.mark.usefixtures("few_resamples")
@pytest.mark.parametrize("noise", [0.01, 0.05, 0.2])
def test_server_against_itself_shows_no_significant_difference_in_19_of_20_runs(noise: float) -> None:
    draw = random.Random(f"{noise}")
    verdicts = []
    for _ in range(100):
        one, other = (measured(draw, 1000, noise=noise) for _ in range(2))
        found = ratio(one, other, comparisons=len(CASES))
        assert found is not None
        verdicts.append(is_significant(found))
    assert sum(verdicts) <= 5


@pytest.mark.usefixtures("few_resamples")
def test_server_that_is_half_as_fast_is_found_out() -> None:
    draw = random.Random("half")
    for _ in range(50):
        one, other = measured(draw, 500, noise=0.05), measured(draw, 1000, noise=0.05)
        found = ratio(one, other, comparisons=len(CASES))
        assert found is not None
        assert is_significant(found)
        assert found.low < 0.5 < found.high or found.value == pytest.approx(0.5, rel=0.25)


def test_what_slows_a_whole_round_does_not_count() -> None:
    reference = [1000.0, 400.0, 900.0, 100.0, 1000.0, 700.0]
    found = ratio([value * 0.8 for value in reference], reference)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((0.8, 0.8))
    assert is_significant(found)


def test_two_starts_of_the_same_server_may_differ_by_a_little() -> None:
    found = ratio([1020.0] * 6, [1000.0] * 6)
    assert found is not None
    assert not is_significant(found)


def test_the_same_figures_give_the_same_interval() -> None:
    draw = random.Random(1)
    one, other = (measured(draw, 1000, noise=0.1) for _ in range(2))
    assert ratio(one, other) == ratio(one, other)


def test_more_comparisons_make_wider_intervals() -> None:
    draw = random.Random(2)
    one, other = (measured(draw, 1000, noise=0.1, rounds=12) for _ in range(2))
    alone, among_eight = ratio(one, other), ratio(one, other, comparisons=8)
    assert alone is not None
    assert among_eight is not None
    assert among_eight.low < alone.low < alone.value < alone.high < among_eight.high
    assert math.isclose(alone.value, among_eight.value)


@pytest.mark.parametrize(
    "values",
    [[1000.0] * 5, [1000.0, 900.0, 0.0, 1000.0, 900.0, 1000.0]],
    ids=["too few", "a round without answers"],
)
def test_no_ratio_where_the_rounds_cannot_tell(values: list[float]) -> None:
    assert ratio(values, [1000.0] * len(values)) is None
