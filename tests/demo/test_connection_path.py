"""The connection path of a request shows what is known, and nothing that is not."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webdemo.demo.connection_path import ConnectionPath, addresses_of, read_connection_path
from webdemo.web.visitor import split_host

HERE = {
    "wsgi.url_scheme": "http",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "REMOTE_ADDR": "127.0.0.1",
    "HTTP_HOST": "localhost",
}


def path_of(**environ: Any) -> ConnectionPath:
    """The connection path of a request from this machine, changed by the given keys."""
    return read_connection_path(HERE | environ)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("localhost:8000", ("localhost", 8000)),
        ("example.test", ("example.test", None)),
        ("[::1]:80", ("::1", 80)),
        ("127.0.0.1", ("127.0.0.1", None)),
        ("", (None, None)),
        ("::1", (None, None)),
        ("[1.2.3.4]:80", ("1.2.3.4", 80)),
        ("[::zz]", (None, None)),
        ("a:65536", (None, None)),
        ("a:", (None, None)),
        ("user@a:80", (None, None)),
        ("a b", (None, None)),
        ("a:٨٠", (None, None)),
    ],
)
def test_host_header_is_split_or_refused(header: str, expected: tuple[str | None, int | None]) -> None:
    assert split_host(header) == expected


@given(st.text(max_size=300))
def test_no_host_header_is_too_odd(header: str) -> None:
    path = path_of(HTTP_HOST=header, REMOTE_ADDR="127.0.0.1")
    assert path.host_header == header
    assert path.name is None or path.name in header


def test_names_that_clients_choose_are_not_looked_up() -> None:
    assert addresses_of("example.test") == ()
    assert addresses_of("192.0.2.7") == ("192.0.2.7",)
    assert set(addresses_of("localhost")) <= {"127.0.0.1", "::1"}


def test_address_and_port_come_from_the_connection_where_the_server_gives_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)), listener.accept()[0] as accepted:
            path = path_of(
                **{"gunicorn.socket": accepted},
                SERVER_NAME="0.0.0.0",
                SERVER_PORT="1",
                HTTP_HOST="localhost:80",
            )
    assert (path.address, path.port, path.address_source) == ("127.0.0.1", port, "the connection itself")
    assert path.is_forwarded


def test_socket_file_has_no_port(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        path = path_of(
            **{"gunicorn.socket": listener}, SERVER_NAME="localhost", SERVER_PORT="80", REMOTE_ADDR=""
        )
    assert (path.on_socket_file, path.port, path.address) == (True, None, None)
    assert str(tmp_path) not in repr(path)


def test_address_is_the_servers_name_when_that_is_one() -> None:
    assert path_of(SERVER_NAME="127.0.0.2", SERVER_PORT="8000").address == "127.0.0.2"


def test_address_of_localhost_follows_from_the_clients_family() -> None:
    path = path_of(SERVER_NAME="waitress.invalid", HTTP_HOST="localhost:8000", REMOTE_ADDR="127.0.0.1")
    assert path.address == "127.0.0.1"


@pytest.mark.parametrize("server_name", ["waitress.invalid", "0.0.0.0", "::", ""])
def test_address_is_not_guessed(server_name: str) -> None:
    assert path_of(SERVER_NAME=server_name, HTTP_HOST="example.test", REMOTE_ADDR="127.0.0.1").address is None
    assert path_of(SERVER_NAME=server_name, HTTP_HOST="localhost", REMOTE_ADDR="192.0.2.1").address is None


@pytest.mark.parametrize("port", ["", "0", "65536", "-1", "x", None, "٨٠"])
def test_invalid_port_is_unknown(port: Any) -> None:
    path = path_of(SERVER_PORT=port, REMOTE_PORT=port)
    assert (path.port, path.client_port) == (None, None)


def test_default_port_of_the_scheme_is_what_a_bare_name_means() -> None:
    path = path_of(**{"wsgi.url_scheme": "https"}, SERVER_PORT="8443")
    assert (path.requested_port, path.port_is_default, path.is_forwarded) == (443, True, True)


@pytest.mark.attack(
    "What remote clients see",
    "a proxy forwards a visitor to a port that only this machine knows",
    "neither that port nor the address, process and thread behind it are revealed",
)
def test_remote_clients_see_only_what_their_request_contained() -> None:
    behind = {"SERVER_NAME": "10.0.0.5", "SERVER_PORT": "8443"}
    path = path_of(**behind, HTTP_HOST="site.example", HTTP_X_FORWARDED_FOR="203.0.113.9")
    assert (path.address, path.port, path.process_id, path.thread) == (None, None, None, None)
    typed = path_of(**behind, HTTP_HOST="10.0.0.5:8443", REMOTE_ADDR="10.0.0.9")
    assert (typed.address, typed.port, typed.process_id) == ("10.0.0.5", 8443, None)
    assert path_of(HTTP_HOST="localhost", REMOTE_ADDR="10.0.0.9").name_addresses == ()


def test_process_and_thread_are_those_that_answer() -> None:
    paths: list[ConnectionPath] = []
    thread = threading.Thread(target=lambda: paths.append(path_of()), name="worker-7")
    thread.start()
    thread.join(10)
    assert (paths[0].process_id, paths[0].thread) == (os.getpid(), "worker-7")
