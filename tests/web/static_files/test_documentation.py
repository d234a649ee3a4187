"""The table in docs/static-files.md names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).resolve().parent
PAGE = TESTS.parents[2] / "docs" / "static-files.md"


def test_each_row_names_a_test_that_exists() -> None:
    defined = {
        name
        for file in TESTS.glob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", file.read_text(), re.M)
    }
    rows = [row for row in PAGE.read_text().splitlines() if row.startswith("|") and "`test_" in row]
    assert len(rows) > 30
    for row in rows:
        named = re.findall(r"`(test_\w+)`", row)
        assert named, row
        assert set(named) <= defined, row
