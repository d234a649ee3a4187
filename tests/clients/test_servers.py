"""How each server sends WSGI responses on the wire, also when files change meanwhile."""

from __future__ import annotations

import http.client
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from tests.clients.serving import Served
from tests.running import children

pytestmark = pytest.mark.process

LARGE_BYTES = 24 * 1024 * 1024
SECONDS = 60

Serve = Callable[[Path], Served]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "small.txt").write_text("0123456789")
    block = bytes(range(256)) * 4096
    with (tmp_path / "large.bin").open("wb") as file:
        for number in range(LARGE_BYTES // len(block)):
            file.write(number.to_bytes(4, "big") + block[4:])
    return tmp_path


def connect(url: str) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(urlsplit(url).netloc, timeout=SECONDS)


def ask(url: str, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    connection = connect(url)
    try:
        connection.request(method, path, headers={name.replace("_", "-"): headers[name] for name in headers})
        response = connection.getresponse()
        names = {name.lower(): value for name, value in response.getheaders()}
        return response.status, names, response.read()
    finally:
        connection.close()


def begin_slowly(url: str, path: str) -> tuple[socket.socket, bytes]:
    """Request a file and read its beginning; a small receive buffer keeps the server from sending it all."""
    parts = urlsplit(url)
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(SECONDS)
    client.connect((parts.hostname, parts.port))
    client.sendall(f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode())
    received = b""
    while b"\r\n\r\n" not in received:
        received += client.recv(4096)
    return client, received.partition(b"\r\n\r\n")[2]


def read_on(client: socket.socket, first: bytes, size: int) -> bytes:
    """Read at full speed until `size` bytes have arrived or the server closes the connection."""
    received = bytearray(first)
    with client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 1024 * 1024)
        try:
            while len(received) < size and (data := client.recv(1024 * 1024)):
                received += data
        except ConnectionResetError:
            pass
    return bytes(received)


def test_the_rows_hold_on_the_wire(serve: Serve, folder: Path) -> None:
    url = serve(folder).url
    for path in ("/small.txt", "/large.bin"):
        content = (folder / path[1:]).read_bytes()
        status, headers, body = ask(url, path)
        assert (status, int(headers["content-length"]), body == content) == (200, len(content), True)
        etag = headers["etag"]
        status, head, body = ask(url, path, "HEAD", Range="bytes=0-0")
        assert (status, body, head["etag"], head["content-length"]) == (200, b"", etag, str(len(content)))
        status, headers, body = ask(url, path, Range="bytes=3-6", If_Range=etag)
        assert (status, body, headers["content-length"]) == (206, content[3:7], "4")
        assert headers["content-range"] == f"bytes 3-6/{len(content)}"
        status, headers, body = ask(url, path, Range="bytes=0-1,-2")
        assert status == 206
        assert headers["content-type"].startswith("multipart/byteranges")
        assert len(body) == int(headers["content-length"])
        status, headers, body = ask(url, path, If_None_Match=f'"x", W/{etag}')
        assert (status, body, headers["etag"]) == (304, b"", etag)
        assert ask(url, path, If_Match='"x"')[0] == 412
        assert ask(url, path, Range="bytes=999999999-")[0] == 416
    assert ask(url, "/small.txt", "POST")[0] == 405
    assert ask(url, "/%2e%2e/etc/passwd")[0] == 404
    assert ask(url, "/small.txt%00")[0] in (400, 404)


def test_a_large_file_arrives_whole_while_another_takes_its_place(serve: Serve, folder: Path) -> None:
    url = serve(folder).url
    content = (folder / "large.bin").read_bytes()
    client, first = begin_slowly(url, "/large.bin")
    (folder / "next").write_bytes(bytes(1000))
    (folder / "next").replace(folder / "large.bin")
    assert read_on(client, first, LARGE_BYTES) == content
    assert ask(url, "/large.bin")[2] == bytes(1000)


def test_a_file_that_shrinks_while_it_is_sent_breaks_the_connection(serve: Serve, folder: Path) -> None:
    url = serve(folder).url
    content = (folder / "large.bin").read_bytes()
    client, first = begin_slowly(url, "/large.bin")
    os.truncate(folder / "large.bin", LARGE_BYTES // 2)
    received = read_on(client, first, LARGE_BYTES)
    assert len(received) < LARGE_BYTES
    assert content.startswith(received)
    began = time.monotonic()
    assert ask(url, "/small.txt")[2] == b"0123456789"
    assert time.monotonic() - began < SECONDS / 2


def test_a_file_that_grows_while_it_is_sent_is_cut(serve: Serve, folder: Path) -> None:
    url = serve(folder).url
    connection = connect(url)
    connection.request("GET", "/large.bin")
    response = connection.getresponse()
    with (folder / "large.bin").open("ab") as file:
        file.write(bytes(1000))
    assert len(response.read()) == LARGE_BYTES
    connection.close()


def test_clients_that_leave_leave_no_file_open(serve: Serve, folder: Path) -> None:
    url, process_id = serve(folder)
    for _ in range(5):
        client, _ = begin_slowly(url, "/large.bin")
        client.close()
    deadline = time.monotonic() + SECONDS
    while still_open := _open_files(process_id, folder):
        assert time.monotonic() < deadline, still_open
        time.sleep(0.1)
    assert ask(url, "/small.txt")[0] == 200


def _open_files(process_id: int, folder: Path) -> list[str]:
    process = psutil.Process(process_id)
    return [
        file.path
        for each in (process, *children(process, recursive=True))
        for file in each.open_files()
        if file.path.startswith(os.fspath(folder))
    ]
