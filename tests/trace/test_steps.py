"""The facts of each step of a trace, with scripted servers."""

from __future__ import annotations

import json
import os
import socket
import threading
from pathlib import Path
from typing import TypeVar

import pytest

from tests.client.peers import OK, SECONDS, answering, deaf, needs_ipv6, read_head, speaking
from tests.trace.conftest import Names
from webdemo.errors import UrlRefused
from webdemo.trace import Hop, to_json, trace, tracer
from webdemo.trace.facts import ConnectFacts, NameFacts, RequestFacts, TransferFacts, UrlFacts

Kind = TypeVar("Kind")


def facts_of(hop: Hop, name: str, kind: type[Kind]) -> Kind:
    step = hop.find(name)
    assert step is not None
    assert isinstance(step.facts, kind)
    return step.facts


def test_steps_follow_one_another_on_one_axis_of_time() -> None:
    with speaking(OK) as peer:
        [hop] = trace(f"http://127.0.0.1:{peer.port}/").hops
    assert [step.name for step in hop.steps] == [
        "url",
        "name",
        "connect",
        "request",
        "first byte",
        "transfer",
    ]
    moment = 0.0
    for step in hop.steps:
        assert step.start_ms >= moment - 1e-9
        assert step.duration_ms >= 0
        assert step.failure is None
        moment = step.start_ms + step.duration_ms
    assert hop.duration_ms == moment


def test_connect_shows_my_ephemeral_port_and_its_target() -> None:
    seen: list[tuple[str, int]] = []

    def talk(connection: socket.socket) -> None:
        seen.append(connection.getpeername())
        OK(connection)

    with speaking(talk) as peer:
        [hop] = trace(f"http://127.0.0.1:{peer.port}/").hops
        connected = facts_of(hop, "connect", ConnectFacts)
        assert (connected.local_address, connected.local_port) == seen[0]
        assert (connected.remote_address, connected.remote_port) == ("127.0.0.1", peer.port)
    [attempt] = connected.attempts
    assert (attempt.address, attempt.outcome) == ("127.0.0.1", "connected")
    low, high = connected.ephemeral_range or (1, 65535)
    assert connected.local_port is not None
    assert low <= connected.local_port <= high


def test_url_step_says_where_the_port_comes_from(names: Names) -> None:
    with speaking(OK) as peer:
        [hop] = trace(f"http://127.0.0.1:{peer.port}/a#b").hops
    facts = facts_of(hop, "url", UrlFacts)
    assert (facts.port, facts.port_given, facts.request_target, facts.fragment) == (
        peer.port,
        True,
        "/a",
        "b",
    )


def test_request_is_what_went_over_the_wire() -> None:
    heads: list[bytes] = []

    def talk(connection: socket.socket) -> None:
        heads.append(read_head(connection))
        connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    with speaking(talk) as peer:
        [hop] = trace(f"http://127.0.0.1:{peer.port}/x?y").hops
    sent = facts_of(hop, "request", RequestFacts)
    assert len(heads[0]) == sent.size_bytes
    assert heads[0].startswith(b"GET /x?y HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n" % peer.port)
    assert dict(sent.headers)["Host"] == f"127.0.0.1:{peer.port}"


def test_head_asks_for_no_body() -> None:
    with speaking(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")) as peer:
        found = trace(f"http://127.0.0.1:{peer.port}/", head=True)
    [hop] = found.hops
    assert found.exit_code == 0
    assert facts_of(hop, "request", RequestFacts).method == "HEAD"
    assert facts_of(hop, "transfer", TransferFacts).body_bytes == 0


def test_first_byte_is_the_wait_and_transfer_is_the_rest() -> None:
    def talk(connection: socket.socket) -> None:
        read_head(connection)
        connection.settimeout(0.3)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        connection.settimeout(SECONDS)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Le")
        connection.sendall(b"ngth: 5\r\n\r\nab")
        connection.settimeout(0.3)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        connection.sendall(b"cde")

    # On a busy machine the peer may have waited for a while before the client reads its clock.
    longest = {"first byte": 0.0, "transfer": 0.0}
    for _ in range(5):
        with speaking(talk) as peer:
            [hop] = trace(f"http://127.0.0.1:{peer.port}/").hops
        assert facts_of(hop, "transfer", TransferFacts).body_bytes == 5
        for name, before in longest.items():
            step = hop.find(name)
            assert step is not None
            longest[name] = max(before, step.duration_ms)
        if min(longest.values()) >= 290:
            break
    assert min(longest.values()) >= 290, longest


def test_answer_keeps_headers_as_they_came_and_interim_answers() -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"
    final = b"HTTP/1.1 404 Not Here\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n"
    with speaking(answering(hints, final)) as peer:
        found = trace(f"http://127.0.0.1:{peer.port}/")
    answer = found.hops[0].response
    assert answer is not None
    assert (answer.status, answer.reason, answer.http_version) == (404, "Not Here", "1.1")
    assert answer.interim == (103,)
    assert answer.headers == (("set-cookie", "a=1"), ("set-cookie", "b=2"), ("content-length", "0"))
    assert found.exit_code == 0  # any response counts as success


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\nabcde",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde",
    ],
)
def test_body_is_counted_however_it_is_framed(answer: bytes) -> None:
    with speaking(answering(answer)) as peer:
        [hop] = trace(f"http://127.0.0.1:{peer.port}/").hops
    transfer = facts_of(hop, "transfer", TransferFacts)
    assert (transfer.body_bytes, transfer.is_whole) == (5, True)


def test_body_is_not_read_beyond_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracer, "MOST_BODY_BYTES", 100_000)
    stopped = threading.Event()

    def talk(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
        try:
            while True:
                connection.sendall(bytes(65536))
        except OSError:
            stopped.set()

    with speaking(talk) as peer:
        found = trace(f"http://127.0.0.1:{peer.port}/")
        assert stopped.wait(SECONDS)
    transfer = facts_of(found.hops[0], "transfer", TransferFacts)
    assert not transfer.is_whole
    assert 100_000 < transfer.body_bytes < 1_000_000
    assert found.exit_code == 0


def test_json_has_every_fact_and_no_character_that_a_terminal_obeys() -> None:
    with speaking(answering(b"HTTP/1.1 200 \x9b31m\r\nServer: \xff\r\nContent-Length: 0\r\n\r\n")) as peer:
        found = trace(f"http://127.0.0.1:{peer.port}/")
    text = to_json(found)
    assert text.isascii()
    assert text.replace("\n", "").isprintable()
    plain = json.loads(text)
    assert plain["exit_code"] == 0
    steps = {step["name"]: step for step in plain["hops"][0]["steps"]}
    assert steps["connect"]["facts"]["remote_port"] == peer.port
    assert steps["first byte"]["facts"]["status"] == 200
    assert plain["hops"][0]["answered_by"]["pid"] == os.getpid()


# -- names and addresses ---------------------------------------------------------------------------


def test_address_is_not_looked_up() -> None:
    with speaking(OK) as peer:
        [hop] = trace(f"http://127.0.0.1:{peer.port}/").hops
    assert facts_of(hop, "name", NameFacts) == NameFacts("127.0.0.1", True, ("127.0.0.1",), 0)


def test_next_address_is_tried_at_once_when_one_refuses(names: Names) -> None:
    names(two_test=["127.0.0.3", "127.0.0.1"])
    with speaking(OK) as peer:
        [hop] = trace(f"http://two.test:{peer.port}/").hops
    assert facts_of(hop, "name", NameFacts).addresses == ("127.0.0.3", "127.0.0.1")
    refused, connected = facts_of(hop, "connect", ConnectFacts).attempts
    assert (refused.address, refused.outcome) == ("127.0.0.3", "refused")
    assert (connected.address, connected.outcome) == ("127.0.0.1", "connected")


def test_next_address_is_tried_after_250_ms_while_the_first_is_silent(names: Names) -> None:
    names(slow_test=["127.0.0.3", "127.0.0.1"])
    with speaking(OK) as peer, deaf("127.0.0.3", peer.port):
        [hop] = trace(f"http://slow.test:{peer.port}/").hops
        assert peer.connections == 1
    silent, connected = facts_of(hop, "connect", ConnectFacts).attempts
    assert (silent.address, silent.outcome) == ("127.0.0.3", "given up")
    assert (connected.address, connected.outcome) == ("127.0.0.1", "connected")
    assert connected.start_ms - silent.start_ms >= 245


def test_address_that_is_not_needed_is_not_tried(names: Names) -> None:
    names(two_test=["127.0.0.1", "127.0.0.3"])
    with speaking(OK) as peer:
        [hop] = trace(f"http://two.test:{peer.port}/").hops
    assert len(facts_of(hop, "connect", ConnectFacts).attempts) == 1


@needs_ipv6
def test_families_take_turns_as_of_rfc_8305(names: Names) -> None:
    names(many_test=["::1", "127.0.0.1", "127.0.0.2"])
    with speaking(OK, host="::1") as peer:
        [hop] = trace(f"http://many.test:{peer.port}/").hops
    assert facts_of(hop, "name", NameFacts).addresses == ("::1", "127.0.0.1", "127.0.0.2")
    names(many_test=["127.0.0.1", "127.0.0.2", "::1"])
    with speaking(OK) as peer:
        [hop] = trace(f"http://many.test:{peer.port}/").hops
    assert facts_of(hop, "name", NameFacts).addresses == ("127.0.0.1", "::1", "127.0.0.2")


@needs_ipv6
def test_family_limits_the_addresses(names: Names) -> None:
    names(both_test=["::1", "127.0.0.1"])
    with speaking(OK) as peer:
        [hop] = trace(f"http://both.test:{peer.port}/", family=4).hops
    assert facts_of(hop, "name", NameFacts).addresses == ("127.0.0.1",)
    with speaking(OK, host="::1") as peer:
        [hop] = trace(f"http://both.test:{peer.port}/", family=6).hops
    assert facts_of(hop, "connect", ConnectFacts).remote_address == "::1"


# -- Unix sockets ----------------------------------------------------------------------------------


def test_unix_socket_is_traced_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "site.sock"
    heads: list[bytes] = []

    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            heads.append(read_head(connection))
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        listener.settimeout(SECONDS)
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        [hop] = trace(f"unix:{path}:/hello").hops
        thread.join(SECONDS)
    assert [step.name for step in hop.steps] == ["url", "connect", "request", "first byte", "transfer"]
    assert heads[0].startswith(b"GET /hello HTTP/1.1\r\nHost: localhost\r\n")
    assert facts_of(hop, "connect", ConnectFacts).remote_address == str(path)
    assert hop.answered_by is not None
    assert hop.answered_by.pid == os.getpid()


def test_url_without_a_meaning_is_refused_before_anything_is_done() -> None:
    with pytest.raises(UrlRefused):
        trace("http://127.0.0.1:70000/")
