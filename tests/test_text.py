"""Untrusted text is printed as one harmless line."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webdemo.text import printable


@pytest.mark.attack(
    "The log",
    "text with control characters, line separators, marks that turn text round, invisible characters",
    "each is written out; letters of every language, and the joiners that they need, stay",
)
@given(st.text())
def test_printed_text_is_one_line_that_steers_nothing(text: str) -> None:
    line = printable(text)
    assert len(line.splitlines()) <= 1
    for character in line:
        assert character in "\t\u200c\u200d" or unicodedata.category(character) not in (
            "Cc",
            "Zl",
            "Zp",
            "Cs",
        )
        assert unicodedata.bidirectional(character) not in (
            "LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI",
        )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a\nb\r\x85c", r"a\nb\r\x85c"),
        ("\x1b[31mred\x9b0m\x7f\x00\x1e", r"\x1b[31mred\x9b0m\x7f\x00\x1e"),
        ("a\u2028b\u2029c", r"a\u2028b\u2029c"),
        ("\u202egpj.exe\u2066\u200f", r"\u202egpj.exe\u2066\u200f"),
        ("\ufeff\u200b\U000e0041\ud800", r"\ufeff\u200b\U000e0041\ud800"),
        ("caf\u00e9\u00a0: \u4e2d\u6587 \u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645\t|", None),
    ],
)
def test_what_is_written_out_and_what_stays(text: str, line: str | None) -> None:
    assert printable(text) == (text if line is None else line)
