"""The framing rules on their own: what is decoded, however the bytes arrive, and in linear time."""

from __future__ import annotations

import io
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webdemo.servers import _framing
from webdemo.servers._fields import Malformed
from webdemo.servers._framing import ChunkedBody, Chunks, TooLarge, read_fields, strict_head

parts = st.lists(st.binary(min_size=1, max_size=300), max_size=8)


def chunked(contents: list[bytes]) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in contents) + b"0\r\n\r\n"


@given(parts, st.integers(1, 50))
def test_a_body_is_decoded_in_whatever_pieces_it_comes(contents: list[bytes], size: int) -> None:
    sent = chunked(contents) + b"GET / HTTP/1.1\r\n"
    chunks, decoded, at = Chunks(), b"", 0
    while not chunks.is_over:
        content, used = chunks.decode(sent[at : at + size])
        decoded += content
        at += used
    assert decoded == b"".join(contents)
    assert sent[at:] == b"GET / HTTP/1.1\r\n", "what follows is left"


@given(parts, st.integers(1, 50))
def test_a_body_is_read_to_its_end_and_no_further(contents: list[bytes], size: int) -> None:
    connection = io.BufferedReader(io.BytesIO(chunked(contents) + b"next"), buffer_size=16)
    body = io.BufferedReader(ChunkedBody(connection))
    assert b"".join(iter(lambda: body.read(size), b"")) == b"".join(contents)
    assert connection.read() == b"next"


@given(st.binary(max_size=200))
def test_no_bytes_end_in_another_error(data: bytes) -> None:
    chunks = Chunks()
    try:
        _, used = chunks.decode(data)
    except Malformed:
        with pytest.raises(Malformed):
            chunks.decode(b"0\r\n\r\n")
    else:
        assert used == len(data) or chunks.is_over
    with pytest.raises(Malformed):
        strict_head(data)


def test_a_body_that_breaks_off_is_not_taken_for_the_whole() -> None:
    body = ChunkedBody(io.BufferedReader(io.BytesIO(b"5\r\nhello\r\n")))
    with pytest.raises(ConnectionAbortedError):
        body.readall()


def test_a_head_that_breaks_off_or_is_too_large_is_refused() -> None:
    line = b"GET / HTTP/1.1\r\n"
    for head, problem in (
        (b"Host: a\r\n", Malformed),
        (b"Host: a\r\nX: ", Malformed),
        (b"X: " + b"a" * 70_000 + b"\r\n\r\n", TooLarge),
        (b"X: 1\r\n" * 101 + b"\r\n", TooLarge),
    ):
        with pytest.raises(problem):
            read_fields(line, io.BytesIO(head))


def test_more_fields_than_100_are_refused_however_they_are_named() -> None:
    for name in ("a{}", "a"):
        fields = "".join(f"{name.format(number)}: 1\r\n" for number in range(100))
        with pytest.raises(TooLarge):
            strict_head(f"GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n".encode())


def test_white_space_around_a_value_is_no_part_of_it() -> None:
    fields = b"Host: a \t \r\nX-One:\t b c \r\n\r\n"
    assert read_fields(b"GET / HTTP/1.1\r\n", io.BytesIO(fields)) == b"Host: a\r\nX-One: b c\r\n\r\n"


NAMES = [
    "Host",
    "host",
    "Content-Length",
    "content-length",
    "Transfer-Encoding",
    "X-A",
    "x-a",
    "X_A",
    "Cookie",
]
VALUES = [
    "",
    "a",
    "a:80",
    "[::1]",
    "a/b",
    "5",
    "05",
    "5 ",
    "+5",
    "9" * 19,
    "chunked",
    "a b",
    "\t\xff",
    "a\x0b",
    "a\r",
]


@given(
    st.sampled_from(
        ["GET / HTTP/1.1", "PUT /\xff HTTP/1.0", "GET / HTTP/2.0", "GET  / HTTP/1.1", "GET / HTTP/1.1\n"]
    ),
    st.lists(
        st.tuples(st.sampled_from(NAMES), st.sampled_from(["", " ", "\t "]), st.sampled_from(VALUES)),
        max_size=5,
    ),
)
def test_the_short_check_of_a_head_agrees_with_the_long_one(
    line: str, fields: list[tuple[str, str, str]]
) -> None:
    """`strict_head` returns plain heads as they are, so it must tell them from the others."""
    text = "".join(f"{name}:{space}{value}\r\n" for name, space, value in fields)
    head = f"{line}\r\n{text}\r\n".encode("latin-1")

    def found() -> bytes | str:
        try:
            return re.sub(rb"\r\n([^:\r]+):[ \t]*", rb"\r\n\1: ", strict_head(head))
        except Malformed:
            return "malformed"

    with pytest.MonkeyPatch.context() as patch:
        by_both = found()
        patch.setattr(_framing, "_PLAIN_HEAD", re.compile(b"(?!)"))
        assert by_both == found()


HOSTILE = {
    "one long name": lambda n: b"a" * n,
    "white space in a value": lambda n: b"X: a" + b" \t" * (n // 2) + b"b\r\n\r\n",
    "white space before a colon": lambda n: b"X" + b" " * n + b": 1\r\n\r\n",
    "line ends": lambda n: b"\r\n" * (n // 2),
    "one field again and again": lambda n: b"a: b\r\n" * (n // 6) + b"\r\n",
    "many fields": lambda n: b"a:\r\n" * (n // 4) + b"!",
    "a length in parts": lambda n: b"content-length:\r\n" * (n // 17) + b"\r\n",
    "a long Host": lambda n: b"Host: " + b"a." * (n // 2) + b"/\r\n\r\n",
    "a Host of colons": lambda n: b"Host: [" + b":" * n + b"\r\n\r\n",
}


@pytest.mark.attack(
    "Time and size",
    "a header that makes a regular expression backtrack",
    "the time that it takes is linear in its size",
)
@pytest.mark.parametrize("name", HOSTILE)
def test_a_head_is_judged_in_linear_time(name: str) -> None:
    def seconds(size: int) -> float:
        head = b"GET / HTTP/1.1\r\n" + HOSTILE[name](size)
        began = time.process_time()
        for _ in range(3):
            with pytest.raises(Malformed):
                strict_head(head)
        return time.process_time() - began

    assert min(seconds(16 * 40_000) / seconds(40_000) for _ in range(5)) < 24
