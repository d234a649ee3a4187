"""No header text makes the parsers of conditions and codings raise."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webdemo.web.static.conditions import http_date, parse_date, range_applies, status_by_conditions
from webdemo.web.static.content_coding import SUFFIXES, choose

DATES = st.integers(0, 4_000_000_000)
HEADER_TEXT = st.text(st.characters(max_codepoint=255)) | st.text('W/"a*, \\') | DATES.map(http_date)
FIELDS = ["HTTP_IF_MATCH", "HTTP_IF_UNMODIFIED_SINCE", "HTTP_IF_NONE_MATCH", "HTTP_IF_MODIFIED_SINCE"]
CODINGS = st.sampled_from([*SUFFIXES, "identity", "*", "x-gzip", "deflate"])


@given(st.dictionaries(st.sampled_from(FIELDS), HEADER_TEXT), HEADER_TEXT)
def test_no_condition_raises(environ: dict[str, str], if_range: str) -> None:
    assert status_by_conditions(environ, '"a"', 1_000_000_000) in (None, 304, 412)
    assert range_applies(if_range, '"a"', 1_000_000_000, 2_000_000_000) in (True, False)


@given(DATES)
def test_a_date_is_read_as_it_was_written(seconds: int) -> None:
    assert parse_date(http_date(seconds)) == seconds


@given(st.text(st.characters(max_codepoint=255)), st.sets(st.sampled_from(list(SUFFIXES))))
def test_no_accept_encoding_raises(accept: str, available: set[str]) -> None:
    assert choose(accept, tuple(available)) in {None, "identity", *available}


@given(
    st.dictionaries(CODINGS, st.sampled_from(["0", "0.000", "0.1", "0.5", "1"])),
    st.sets(st.sampled_from(list(SUFFIXES))),
)
def test_nothing_refused_is_chosen(weights: dict[str, str], available: set[str]) -> None:
    weights = {coding: weight for coding, weight in weights.items() if coding != "x-gzip"}
    accept = ", ".join(f"{coding};q={weight}" for coding, weight in weights.items())
    chosen = choose(accept, tuple(coding for coding in SUFFIXES if coding in available))
    others = float(weights.get("*", 0))
    if chosen is None:
        assert float(weights.get("identity", weights.get("*", 1))) == 0
        assert all(float(weights.get(coding, others)) == 0 for coding in available)
    elif chosen != "identity":
        assert (
            float(weights.get(chosen, others))
            == max(float(weights.get(each, others)) for each in available)
            > 0
        )


@pytest.mark.parametrize(
    "text",
    [
        "Mon, 31 Feb 2020 00:00:00 GMT",
        "Sat, 01 Jan 2022 00:00:00 GMT, Sun, 02 Jan 2022 00:00:00 GMT",
        "Sat, 01 Jan 2022 24:61:00 GMT",
        "Sat, 01 Jan 2022 00:00:00 +0100",
        "Sat, 01 Jan 2022 00:00:00 GMT ",
        "2022-01-01",
    ],
)
def test_invalid_date_or_a_list_of_them_is_no_date(text: str) -> None:
    assert parse_date(text) is None


@pytest.mark.parametrize("text", ['"x"y', 'y"x"', '"x" "x"', 'W"x"', '"x";q=1'])
def test_text_beside_an_entity_tag_is_no_entity_tag(text: str) -> None:
    assert status_by_conditions({"HTTP_IF_NONE_MATCH": text}, '"x"', 0) is None
    assert status_by_conditions({"HTTP_IF_MATCH": text}, '"x"', 0) == 412
