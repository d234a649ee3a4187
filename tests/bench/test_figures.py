"""Rounds, tables, limits and the page: how figures are processed."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest

from bench import limits, load, report, tables
from bench.rounds import Sample, interleave
from webdemo.compare.speed.load import Load


def test_rounds_are_interleaved_and_each_begins_with_another_contestant() -> None:
    order: list[str] = []
    counter = itertools.count()

    def measure(name: str) -> float:
        order.append(name)
        return float(next(counter))

    found = interleave(3, {name: lambda name=name: measure(name) for name in "abc"})  # type: ignore[misc]
    assert "".join(order) == "abcacbcab"
    assert found["a"].values == (0.0, 3.0, 7.0)


def test_ratio_is_taken_round_by_round() -> None:
    # In the last round the machine was half as fast, for both.
    mine, theirs = Sample((2.0, 2.0, 4.0)), Sample((1.0, 1.0, 2.0))
    assert mine.ratio_to(theirs).values == (2.0, 2.0, 2.0)
    assert mine.ratio_to(theirs).uncertainty == 0.0
    assert (mine.median, mine.minimum) == (2.0, 2.0)


def test_table_is_markdown() -> None:
    table = tables.Table("Speed", ["case", "a", "b"], [["hello", "1.00", "-"]])
    assert table.markdown() == (
        "**Speed**\n\n| case | a | b |\n| --- | ---: | ---: |\n| hello | 1.00 | - |\n"
    )


@pytest.mark.parametrize(
    ("value", "text"), [(0.384, "0.38"), (1.75, "1.75"), (17.44, "17.4"), (123.4, "123")]
)
def test_ratio_has_three_digits(value: float, text: str) -> None:
    assert tables.ratio(value) == text


def test_part_survives_its_json() -> None:
    part = tables.Part("wire", [tables.Table("t", ["a"], [["1"]])], {"x": 1.5}, ["a note"], "a machine")
    again = tables.Part.from_json(part.as_json())
    assert again == part
    assert again.markdown() == part.markdown()


def test_limit_is_met_or_not_or_not_measured() -> None:
    limit = limits.Limit("hello : Falcon", "mine", at_most=0.3, of="theirs")
    assert limit.measured({}) is None
    assert limit.measured({"mine": 1.0}) is None
    assert limit.measured({"mine": 1.0, "theirs": 4.0}) == 0.25
    assert limit.is_met(0.25)
    assert not limit.is_met(0.31)
    assert not limits.Limit("throughput", "x", at_least=0.95).is_met(0.9)


def test_limits_name_what_is_not_measured() -> None:
    rows = {
        row[0]: row for row in limits.table({"inproc.hello.webdemo": 1.9, "start.again.waitress": 0.06}).rows
    }
    assert rows["hello : bare"] == ["hello : bare", "≤ 2", "1.90", "yes"]
    assert rows["answers again when killed, Waitress"][1:] == ["≤ 50 ms", "60.00 ms", "**no**"]
    assert rows["JSON : bare"][1:] == ["≤ 1.2", "not measured", ""]


def test_unmet_limits_are_only_those_that_were_measured() -> None:
    assert limits.unmet({}) == []
    assert [limit.title for limit in limits.unmet({"inproc.hello.webdemo": 2.1})] == ["hello : bare"]


def test_every_limit_has_one_bound_and_its_own_title() -> None:
    titles = [limit.title for limit in limits.LIMITS]
    assert len(titles) == len(set(titles))
    for limit in limits.LIMITS:
        assert (limit.at_most is None) != (limit.at_least is None), limit.title


def test_saving_keeps_the_parts_of_earlier_runs(tmp_path: Path) -> None:
    results, page = tmp_path / "results.json", tmp_path / "performance.md"
    report.save([tables.Part("inproc", notes=["first"]), tables.Part("wire", notes=["kept"])], results, page)
    report.save([tables.Part("inproc", notes=["second"])], results, page)
    assert {part.name: part.notes for part in report.read(results)} == {
        "inproc": ["second"],
        "wire": ["kept"],
    }
    text = page.read_text()
    assert "- second" in text
    assert "- kept" in text
    assert "- first" not in text
    assert "Not measured yet." in text  # for the parts that were not run
    assert not re.search(r"\$\w", text)  # every placeholder is filled


def test_errors_that_wrk_counts_are_no_figures() -> None:
    found = Load(10, 1.0, 1.0, 1.0, 1.0, failed_connections=2, error_responses=0, client_cpu_seconds=0.1)
    assert load.checked(found, reconnect=True) is found
    with pytest.raises(RuntimeError, match="2 failed connections"):
        load.checked(found, reconnect=False)
    with pytest.raises(RuntimeError, match="12 error responses"):
        load.checked(found._replace(error_responses=12), reconnect=True)
