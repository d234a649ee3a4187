"""The Range parser compared with a literal implementation of RFC 9110 section 14.1.2, byte by byte."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from webdemo.web.static.ranges import MAX_RANGES, Span, parse_ranges

SIZES = st.integers(0, 40)
NUMBERS = st.integers(0, 50).map(str) | st.sampled_from(["00", "007", "9" * 30, "9" * 5000])
SPECS = st.one_of(
    st.builds("{}-{}".format, NUMBERS, NUMBERS),
    st.builds("{}-".format, NUMBERS),
    st.builds("-{}".format, NUMBERS),
)


def bytes_asked_for(spec: str, size: int) -> set[int]:
    first, _, last = spec.partition("-")
    if not first:
        count = min(size, number(last))
        return set(range(size - count, size))
    return set(range(number(first), size if not last else min(size, number(last) + 1)))


def number(digits: str) -> int:
    return int(digits[-4:]) if len(digits.lstrip("0")) < 5 else 10**9


def is_valid(spec: str) -> bool:
    first, _, last = spec.partition("-")
    return not (first and last) or number(first) <= number(last)


@given(
    specs=st.lists(SPECS, min_size=1, max_size=6), size=SIZES, gap=st.sampled_from([",", ", ", " ,\t", ",,"])
)
@example(specs=["0-1", "4-5", "1-4"], size=10, gap=",")
@example(specs=["-0"], size=0, gap=",")
def test_the_bytes_sent_are_those_asked_for_each_once(specs: list[str], size: int, gap: str) -> None:
    spans = parse_ranges(f"bytes={gap.join(specs)}", size)
    if not all(map(is_valid, specs)):
        assert spans is None
        return
    if size == 0 and any(spec.startswith("-") and number(spec[1:]) for spec in specs):
        assert spans is None
        return
    assert spans is not None
    sent = [place for span in spans for place in range(*span)]
    assert len(sent) == len(set(sent))
    assert set(sent) == set().union(*(bytes_asked_for(spec, size) for spec in specs))
    assert all(0 <= span.start < span.end <= size for span in spans)


@given(st.lists(st.integers(0, 20), min_size=1, max_size=MAX_RANGES, unique=True))
def test_ranges_apart_from_each_other_keep_their_order(starts: list[int]) -> None:
    text = ",".join(f"{start * 2}-{start * 2}" for start in starts)
    assert parse_ranges(f"bytes={text}", 100) == [Span(start * 2, start * 2 + 1) for start in starts]


@given(st.text() | st.text("bytes=-,0123456789 \t").map(lambda text: "bytes=" + text), SIZES)
def test_no_text_raises(text: str, size: int) -> None:
    spans = parse_ranges(text, size)
    assert spans is None or all(0 <= span.start < span.end <= size for span in spans)


def test_more_ranges_than_the_limit_are_ignored() -> None:
    text = ",".join(f"{place}-{place}" for place in range(0, 4 * MAX_RANGES, 2))
    assert parse_ranges(f"bytes={text}", 1000) is None
    shorter = ",".join(text.split(",")[:MAX_RANGES])
    spans = parse_ranges(f"bytes={shorter}", 1000)
    assert spans is not None
    assert len(spans) == MAX_RANGES
