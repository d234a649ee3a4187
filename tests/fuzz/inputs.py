"""Generated input for the targets: hostile shapes, mutated and combined; and the inputs that once failed."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.fuzz.pace import MOST_PER_BYTE, per_byte
from tests.fuzz.targets import Target

LONGEST = 16 * 1024

FOUND: dict[str, tuple[str, bytes]] = {
    "brackets nested too deep for json": ("JSON", b"[" * 5000),
    "port with more digits than int takes": ("X-Forwarded-For", b"192.0.2.1:" + b"1" * 5000),
    "port of a URL with more digits than int takes": ("URL to trace", b"http://a:" + b"0" * 5000 + b"1/"),
    "host that is only a percent sign away from a query": ("Forwarded", b'for="%";host="\\"'),
    "year of more digits than a date takes": (
        "dates of a request",
        b"Mon, 01 Jan " + b"9" * 20 + b" 00:00:00 GMT",
    ),
    "letters in UTF-8 among Latin-1": ("inspected query", b"\xef\xbd\x94oken=abc"),
}
"""Inputs that once raised or were slow: the target, and the bytes."""


def made_for(target: Target) -> st.SearchStrategy[bytes]:
    """Bytes built from the target's shapes, up to LONGEST."""
    units = st.sampled_from([*target.units, *target.more_units])
    piece = st.one_of(
        st.binary(max_size=20),
        units,
        st.tuples(units, st.integers(1, 400)).map(lambda pair: pair[0] * pair[1]),
    )
    middle = st.lists(piece, max_size=12).map(b"".join)
    return st.tuples(st.sampled_from(target.around), middle).map(
        lambda made: (made[0][0] + made[1] + made[0][1])[:LONGEST]
    )


def check(target: Target, data: bytes) -> None:
    """Fail if the target raises anything undocumented, or takes too long for the number of bytes."""
    times = per_byte(target.read, data)
    assert times <= MOST_PER_BYTE, f"{target.name}: {times:.0f} times a loop over the {len(data)} bytes"
