"""Hanging up on a client whose request may be under way."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from webdemo.servers import _draining


@pytest.fixture(params=[None, 5.0], ids=["blocking", "with a time-out"])
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A server's end of a connection, and a client's."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(request.param)
        theirs.settimeout(5)
        yield ours, theirs


def test_what_another_thread_has_read_is_not_waited_for(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    began = time.monotonic()
    assert _draining._arrived(ours) == b""
    assert time.monotonic() - began < 1
    theirs.sendall(b"GET")
    assert _draining._arrived(ours) == b"GET"
    assert ours.recv(10) == b"GET", "it was only looked at"


def test_a_part_of_a_head_is_cut_off_and_answers_still_go_out(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = pair
    theirs.sendall(b"GET / HT")
    _draining.end_reading(ours)
    assert (ours.recv(100), ours.recv(100)) == (b"GET / HT", b"")
    ours.sendall(b"bye")
    assert theirs.recv(100) == b"bye"


def test_a_whole_head_keeps_the_connection_open_for_its_body(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = pair
    theirs.sendall(b"PUT / HTTP/1.1\r\nContent-Length: 4\r\n\r\n")
    _draining.end_reading(ours)
    theirs.sendall(b"body")
    assert ours.recv(100).endswith(b"\r\n\r\nbody")


def test_a_connection_that_is_closed_is_no_matter() -> None:
    ours, theirs = socket.socketpair()
    theirs.close()
    ours.close()
    _draining.end_reading(ours)
