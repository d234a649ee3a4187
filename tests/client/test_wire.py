"""Raw requests and the parsing of responses, over TCP, TLS and Unix sockets."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.client.peers import SECONDS, answering, hang, hang_up, make_certificate, read_head, speaking
from webdemo.client import wire
from webdemo.client.wire import AWAIT_RESPONSE, HALF_CLOSE, Request, chunked, encode_request

_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


# -- requests -------------------------------------------------------------------------------------


def test_request_is_encoded_as_given_however_malformed() -> None:
    assert encode_request("/a b", "X-A : 1", method="get", version="9.9", host=None, close=False) == (
        b"get /a b HTTP/9.9\r\nX-A : 1\r\n\r\n"
    )


def test_body_is_announced_by_its_length_or_sent_in_chunks() -> None:
    assert b"Content-Length: 2\r\n" in Request("POST", "/", (), b"hi").encode("h")
    assert b"Content-Length: 0\r\n" in Request("POST", "/").encode("h")
    assert b"Content-Length" not in Request("GET", "/").encode("h")
    headers = (("Transfer-Encoding", "chunked"),)
    assert Request("POST", "/", headers, b"hi").encode("h").endswith(b"\r\n\r\n2\r\nhi\r\n0\r\n\r\n")
    assert Request("POST", "/", headers).encode("h").endswith(b"\r\n\r\n0\r\n\r\n")


def test_host_of_the_request_replaces_that_of_the_server() -> None:
    assert b"Host: h\r\n" in Request("GET", "/").encode("h")
    assert Request("GET", "/", (("host", "other"),)).encode("h").lower().count(b"host:") == 1


# -- exchanges ------------------------------------------------------------------------------------


def test_exchange_works_over_tls_and_unix_sockets(tmp_path: Path) -> None:
    with speaking(answering(_OK), path=tmp_path / "site.sock") as plain:
        over_unix = wire.exchange(plain.endpoint, [encode_request()], ["GET"], seconds=SECONDS)
    context = make_certificate(tmp_path, "127.0.0.1").context()
    with speaking(answering(_OK), context=context) as secured:
        over_tls = wire.exchange(secured.endpoint, [encode_request()], ["GET"], seconds=SECONDS)
    for found in (over_unix, over_tls):
        assert [(one.status, one.body) for one in found.responses] == [(200, b"ok")]
        assert found.is_answered


def test_large_body_is_sent_over_tls(tmp_path: Path) -> None:
    size = 1_000_000

    def count(connection: socket.socket) -> None:
        left = size - len(read_head(connection).partition(b"\r\n\r\n")[2])
        while left > 0 and (data := connection.recv(65536)):
            left -= len(data)
        connection.sendall(_OK)

    data = Request("POST", "/", (), b"x" * size).encode("localhost")
    with speaking(count, context=make_certificate(tmp_path, "127.0.0.1").context()) as peer:
        found = wire.exchange(peer.endpoint, [data], ["POST"], seconds=SECONDS)
    assert found.responses[0].body == b"ok"


def test_silence_ends_at_the_deadline() -> None:
    with speaking(hang) as peer:
        found = wire.exchange(peer.endpoint, [encode_request()], ["GET"], seconds=0.2)
    assert (found.responses, found.ended, found.is_answered) == ((), "open", False)


def test_response_that_never_ends_is_cut_at_the_deadline() -> None:
    def flood(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b"x")

    with speaking(flood) as peer:
        for seconds in (0.3, 3.0, 30.0):  # longer, if a busy machine left no time for the head
            found = wire.exchange(
                peer.endpoint, [encode_request()], ["GET"], seconds=seconds, most_bytes=1 << 40
            )
            if found.responses:
                break
    assert (found.ended, found.responses[0].is_whole) == ("open", False)


def test_no_more_is_read_than_asked_for() -> None:
    with speaking(answering(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1_000_000)) as peer:
        found = wire.exchange(peer.endpoint, [encode_request()], ["GET"], seconds=SECONDS, most_bytes=1000)
    assert 1000 < len(found.raw) < 1_000_000
    assert not found.responses[0].is_whole


def test_end_of_the_connection_is_recorded() -> None:
    with speaking(hang_up) as peer:
        found = wire.exchange(peer.endpoint, [encode_request()], ["GET"], seconds=SECONDS)
    assert (found.raw, found.is_over) == (b"", True)


def test_steps_wait_for_a_response_and_close_one_side() -> None:
    def ask_for_the_body(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = b""
        while data := connection.recv(100):  # until the client closes its side
            body += data
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    head = encode_request("/", "Transfer-Encoding: chunked", "Expect: 100-continue", method="POST")
    with speaking(ask_for_the_body) as peer:
        steps: list[wire.Step] = [head, AWAIT_RESPONSE, chunked(b"hi"), 0.01, HALF_CLOSE]
        found = wire.exchange(peer.endpoint, steps, ["POST"], seconds=SECONDS)
    assert found.marks[1] > 0
    assert found.responses[0].interim == (100,)
    assert found.responses[0].body == chunked(b"hi")


# -- responses ------------------------------------------------------------------------------------


def test_responses_are_parsed_with_what_follows_them() -> None:
    raw = (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nnojunk"
    )
    (first, second), rest = wire.parse(raw, ["GET", "GET"], at_end=False)
    assert (first.interim, first.body, first.is_chunked, first.is_whole) == ((100,), b"hello", True, True)
    assert (second.status, second.body, rest) == (404, b"no", b"junk")


@pytest.mark.parametrize(
    ("raw", "whole_at_end"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", False),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", False),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", False),
        (b"HTTP/1.0 200 OK\r\n\r\nhello", True),
    ],
)
def test_response_that_breaks_off_is_not_whole(raw: bytes, whole_at_end: bool) -> None:
    (during,), _ = wire.parse(raw, ["GET"], at_end=False)
    (at_end,), _ = wire.parse(raw, ["GET"], at_end=True)
    assert not during.is_whole
    assert at_end.is_whole is whole_at_end


def test_response_to_head_has_no_body_whatever_its_length() -> None:
    raw = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"
    responses, rest = wire.parse(raw, ["HEAD", "GET"], at_end=False)
    assert [(a.status, a.is_whole) for a in responses] == [(200, True), (204, True)]
    assert rest == b""
