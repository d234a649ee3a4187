"""Multi-line greetings, refusals, and data that is not a greeting."""

from __future__ import annotations

import socket

import pytest

from tests.client.peers import SECONDS, greeting, hang_up, speaking
from webdemo.trace import trace


def test_greeting_of_several_lines_is_read_to_its_last() -> None:
    with speaking(greeting(b"220-first\r\n220-second\r\n220 last\r\n")) as peer:
        [hop] = trace(f"ftp://127.0.0.1:{peer.port}").hops
    assert hop.greeting is not None
    assert hop.greeting.lines == ("first", "second", "last")


def test_quit_is_sent_after_the_greeting() -> None:
    said: list[bytes] = []

    def talk(connection: socket.socket) -> None:
        connection.sendall(b"220 here\r\n")
        said.append(connection.recv(100))

    with speaking(talk) as peer:
        trace(f"smtp://127.0.0.1:{peer.port}")
    assert said == [b"QUIT\r\n"]


def test_server_that_refuses_service_is_reported() -> None:
    with speaking(greeting(b"554 no SMTP service here\r\n")) as peer:
        found = trace(f"smtp://127.0.0.1:{peer.port}")
    assert found.failure is not None
    assert (found.failure.kind, found.exit_code) == ("refused service", 1)
    assert found.failure.problem == "The server refuses to serve this client: 554 “no SMTP service here”"
    assert found.hops[0].greeting is not None
    assert found.hops[0].greeting.code == 554


@pytest.mark.parametrize("said", [b"hello there\r\n", b"220-" + bytes([120]) * 9000])
def test_what_is_no_greeting_is_reported(said: bytes) -> None:
    with speaking(greeting(said)) as peer:
        found = trace(f"smtp://127.0.0.1:{peer.port}", timeout_seconds=SECONDS)
    assert found.failure is not None
    assert found.failure.kind == "not understood"


def test_server_that_hangs_up_is_reported() -> None:
    def leave(connection: socket.socket) -> None:
        """Close at once."""

    with speaking(leave) as peer:
        found = trace(f"smtp://127.0.0.1:{peer.port}")
    assert found.failure is not None
    assert found.failure.kind == "closed"


def test_mail_url_to_a_server_that_waits_times_out() -> None:
    with speaking(hang_up) as peer:
        found = trace(f"smtp://127.0.0.1:{peer.port}", timeout_seconds=0.4)
    assert found.failure is not None
    assert found.failure.kind == "timed out"
