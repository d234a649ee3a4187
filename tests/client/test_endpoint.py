"""Where a server can be reached."""

from __future__ import annotations

import socket

import pytest

from tests.client.peers import hang, needs_ipv6, speaking
from tests.free_ports import free_port
from webdemo.client.endpoint import Endpoint


def test_url_of_a_status_becomes_an_endpoint() -> None:
    assert Endpoint.of_url("http://127.0.0.1:8000/") == Endpoint.of_port(8000)
    secured = Endpoint.of_url("https://[::1]:8443/")
    assert (secured.family, secured.address, secured.tls) == (socket.AF_INET6, ("::1", 8443), True)
    assert secured.authority == "[::1]:8443"
    assert Endpoint.of_url("unix:/run/site.sock") == Endpoint.of_path("/run/site.sock")


@pytest.mark.parametrize(
    ("host", "reached"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.1"),
        pytest.param("::1", "::1", marks=needs_ipv6),
        pytest.param("::", "::1", marks=needs_ipv6),
    ],
)
def test_listener_is_reached_on_loopback_if_it_is_a_wildcard(host: str, reached: str) -> None:
    with speaking(hang, host=host) as peer:
        assert (peer.endpoint.host, peer.endpoint.port) == (reached, peer.port)
        peer.endpoint.connect(60).close()


def test_connection_that_fails_leaves_no_socket_open() -> None:
    with pytest.raises(ConnectionRefusedError):
        Endpoint.of_port(free_port()).connect(60)


def test_timeout_covers_the_tls_handshake() -> None:
    with speaking(hang) as peer, pytest.raises(TimeoutError):
        peer.endpoint._replace(tls=True).connect(0.3)
