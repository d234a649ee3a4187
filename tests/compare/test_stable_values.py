"""The stable values of responses that change each time: no process is started."""

from __future__ import annotations

import gzip

from webdemo.compare.behaviour.observation import Headers, Observation
from webdemo.compare.behaviour.stable_values import stable


def observed(body: bytes, *headers: tuple[str, str], status: str = "200") -> Observation:
    return Observation(status, headers, body)


def bodies(**values: list[bytes]) -> dict[str, bytes]:
    found = stable({label: [observed(body) for body in own] for label, own in values.items()})
    return {label: answer.body for label, answer in found.items()}


def headers(**values: list[list[tuple[str, str]]]) -> dict[str, Headers]:
    found = stable({label: [observed(b"", *each) for each in own] for label, own in values.items()})
    return {label: answer.headers for label, answer in found.items()}


def test_a_word_that_changes_on_one_server_is_left_out_on_all() -> None:
    found = bodies(a=[b"up 1 s, on a", b"up 2 s, on a"], b=[b"up 3 s, on b", b"up 3 s, on b"])
    assert found == {"a": "up … s, on a".encode(), "b": "up … s, on b".encode()}


def test_what_stands_beside_a_token_in_one_line_still_counts() -> None:
    found = bodies(
        a=[b'{"id": "4f-1", "root": "/x"}', b'{"id": "99-2", "root": "/x"}'],
        b=[b'{"id": "77-3", "root": "/"}', b'{"id": "12-4", "root": "/"}'],
    )
    assert found["a"] != found["b"]
    assert b"4f-1" not in found["a"]


def test_a_word_is_not_left_out_for_standing_where_another_one_changes() -> None:
    found = bodies(
        a=[b"PORT=1 1\nNAME= x", b"PORT=1 2\nNAME= x"], b=[b"HOST= c\nNAME= x", b"HOST= c\nNAME= x"]
    )
    assert found["b"] == b"HOST= c\nNAME= x"


def test_the_order_of_a_set_is_no_difference() -> None:
    found = bodies(a=[b'["x","y","z"]', b'["z","x","y"]'], b=[b'["y","z","x"]', b'["y","z","x"]'])
    assert found["a"] == found["b"]


def test_of_a_list_that_grows_the_lines_that_most_send_each_time_are_compared() -> None:
    found = bodies(
        a=[b"head\n1\nfoot", b"head\n2\n3\nfoot"],
        b=[b"head\n4\nfoot", b"head\n5\nfoot"],
        c=[b"head\n6\n7\n8", b"head\n9"],
    )
    assert found == {"a": b"head\nfoot", "b": b"head\nfoot", "c": b"head"}


def test_the_clock_in_a_compressed_body_is_no_difference() -> None:
    first, later = (gzip.compress(b"the same", mtime=at) for at in (1_800_000_000, 1_800_000_001))
    found = bodies(a=[first, later], b=[later, later])
    assert found["a"] == found["b"]


def test_a_header_is_compared_without_the_word_that_changes() -> None:
    found = headers(
        a=[[("set-cookie", "s=1; Path=/")], [("set-cookie", "s=2; Path=/")]],
        b=[[("set-cookie", "s=3; Path=/")], [("set-cookie", "s=3; Path=/")]],
        c=[[("set-cookie", "s=4; Path=/a")], [("set-cookie", "s=5; Path=/a")]],
    )
    assert found["a"] == found["b"] == (("set-cookie", "…; Path=/"),)
    assert found["c"] == (("set-cookie", "…; Path=/a"),)


def test_a_header_that_comes_and_goes_is_left_out_and_one_that_only_one_server_sends_is_not() -> None:
    found = headers(
        a=[[("x-now", "1"), ("x-a", "1")], [("x-a", "1")]], b=[[("x-now", "1")], [("x-now", "1")]]
    )
    assert found == {"a": (("x-a", "1"),), "b": ()}


def test_a_status_that_changes_on_one_server_only_is_told() -> None:
    good, bad = observed(b"x"), observed(b"y", status="500")
    found = stable({"a": [good, bad], "b": [good, good]})
    assert found["a"].status == "200 or 500"
    assert found["b"].status == "200"
    found = stable({"a": [good, bad], "b": [bad, good]})
    assert found["a"] == found["b"] == Observation("changing")
