"""Proper HTTP over one connection or several."""

from __future__ import annotations

import socket

import pytest

from tests.client.peers import SECONDS, answering, hang, hang_up, read_head, speaking
from webdemo.client.connection import Deadline, NoResponse
from webdemo.client.http11 import HttpConnection, KeepAliveClient

_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def test_connection_is_used_again_until_the_server_closes_it() -> None:
    def serve_two(connection: socket.socket) -> None:
        for _ in range(2):
            if read_head(connection):
                connection.sendall(_OK)

    with speaking(serve_two) as peer:
        client = KeepAliveClient(peer.endpoint, "/", SECONDS)
        assert [client.get(), client.get()] == [200, 200]
        assert peer.connections == 1
        with pytest.raises(OSError, match=r"without a complete response|reset|pipe"):
            client.get()
        assert client.get() == 200
        client.close()
        assert peer.connections == 2


def test_connection_that_the_server_says_it_closes_is_opened_again() -> None:
    answer = _OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    with speaking(answering(answer)) as peer:
        client = KeepAliveClient(peer.endpoint, "/", SECONDS)
        assert [client.get(), client.get()] == [200, 200]
        client.close()
        assert peer.connections == 2


def test_client_times_out_and_recovers() -> None:
    with speaking(hang) as silent:
        client = KeepAliveClient(silent.endpoint, "/", 0.2)
        with pytest.raises(TimeoutError):
            client.get()
    with speaking(answering(_OK)) as peer:
        client.endpoint, client.timeout_seconds = peer.endpoint, SECONDS
        assert client.get() == 200
        client.close()


@pytest.mark.parametrize(
    "sent", [b"SSH-2.0-OpenSSH_9.9\r\n", b"HTTP/1.1 101 Switch\r\n\r\n", b"HTTP/1.1 what\r\n\r\n"]
)
def test_what_is_no_response_is_kept_for_the_explanation(sent: bytes) -> None:
    with speaking(answering(sent)) as peer, peer.endpoint.connect(SECONDS) as sock:
        http = HttpConnection(sock, Deadline(SECONDS))
        http.send("GET", "/", [("Host", "localhost")])
        with pytest.raises(NoResponse) as caught:
            http.read_head()
    assert caught.value.first == sent


def test_body_that_is_cut_is_no_response() -> None:
    cut = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok"
    with speaking(answering(cut)) as peer, peer.endpoint.connect(SECONDS) as sock:
        http = HttpConnection(sock, Deadline(SECONDS))
        http.send("GET", "/", [("Host", "localhost")])
        assert http.read_head().header("content-length") == "9"
        with pytest.raises(NoResponse):
            list(http.read_body())


def test_connection_that_is_closed_at_once_is_no_response() -> None:
    with speaking(hang_up) as peer:
        client = KeepAliveClient(peer.endpoint, "/", SECONDS)
        with pytest.raises(OSError, match=r"without a complete response|reset"):
            client.get()
