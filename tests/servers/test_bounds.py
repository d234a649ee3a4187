"""What one client can use up: memory by sending much, a thread by sending slowly, lines of the log.

Every limit in the table of docs/servers.md is reached here on a real socket.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import socket
import struct
import time
from pathlib import Path

import pytest

from tests.raw_http import Connection, get
from tests.running import Running, Start
from tests.servers.kinds import KINDS, bind
from webdemo.servers import registry

SENT = 100 << 20
MOST_GROWTH = 40 << 20
PIECE = 1 << 16
LARGEST_HEADER = 1 << 20  # more than any server accepts
ENOUGH_SECONDS = 5.0  # a server that reads this slowly does not buffer more

CHUNKED = b"POST /discard HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

# What never ends -> its beginning, and the repeated part.
ENDLESS = {
    "request line": (b"GET /", b"a"),
    "header name": (b"GET / HTTP/1.1\r\nHost: a\r\n", b"a"),
    "header value": (b"GET / HTTP/1.1\r\nHost: a\r\nX: ", b"a"),
    "headers": (b"GET / HTTP/1.1\r\nHost: a\r\n", b"X: a\r\n"),
    "folded header": (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n", b" a\r\n"),
    "chunk size": (CHUNKED, b"0"),
    "chunk extension": (CHUNKED + b"1;", b"a"),
    "trailer": (CHUNKED + b"0\r\nX: ", b"a"),
    "trailers": (CHUNKED + b"0\r\n", b"X: a\r\n"),
    "chunk": (CHUNKED + b"fffffff\r\n", b"a"),
    "chunks": (CHUNKED, b"1000\r\n" + b"a" * 0x1000 + b"\r\n"),
}

# Servers that wait forever for the rest of a body; they declare it.
BODY_IS_WAITED_FOR = {"gunicorn", "hypercorn"}

# In its development mode Python logs what it ignores otherwise: failed handshakes, buffers never flushed.
AS_USERS_RUN_IT = {"PYTHONDEVMODE": None}


def memory(run: Running) -> int:
    return sum(process.memory_info().rss for server in run.servers() for process in
               (server, *server.children()))  # fmt: skip


def send_without_end(connection: Connection, begin: bytes, repeated: bytes) -> None:
    """Send up to SENT bytes, or as many as the server accepts."""
    piece = repeated * (PIECE // len(repeated) + 1)
    connection.socket.settimeout(ENOUGH_SECONDS)
    until = time.monotonic() + ENOUGH_SECONDS
    with contextlib.suppress(OSError):
        connection.send(begin)
        for _ in range(SENT // len(piece)):
            connection.send(piece)
            if time.monotonic() > until:
                return


@pytest.mark.attack("Bounds", "100 MB of a line, a header, a chunk or a trailer", "no memory is spent on it")
def test_what_never_ends_takes_no_memory(kind: str, serving: Start) -> None:
    run = serving("-b", bind(kind, "127.0.0.1:0", "timeout=600" if "gunicorn" in kind else ""))
    get(run.url)
    for what, (begin, repeated) in ENDLESS.items():
        before = memory(run)
        with Connection(run.url) as connection:
            send_without_end(connection, begin, repeated)
            grown = memory(run) - before
        assert grown < MOST_GROWTH, f"{what}: {grown >> 20} MB"
    assert get(run.url).status == 200


@pytest.mark.parametrize("what", ["request line", "header name", "header value", "headers", "folded header"])
@pytest.mark.attack("Bounds", "a header without end", "4xx, and the connection is closed")
def test_a_header_that_never_ends_is_refused(kind: str, serving: Start, what: str) -> None:
    run = serving("-b", bind(kind))
    begin, repeated = ENDLESS[what]
    with Connection(run.url) as connection:
        with contextlib.suppress(ConnectionError):  # a reset may discard the response
            connection.send(begin)
            for _ in range(LARGEST_HEADER // PIECE):
                connection.send(repeated * (PIECE // len(repeated)))
            assert connection.answer().status in (400, 413, 414, 431)
        assert connection.ended()


@pytest.mark.parametrize("begin", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: a\r\nX: "])
@pytest.mark.attack(
    "Bounds", "a header sent one byte at a time", "the connection is closed after some seconds"
)
def test_a_header_that_comes_slowly_is_not_waited_for(kind: str, serving: Start, begin: bytes) -> None:
    option = {"hypercorn": "keepalive=1", "gunicorn-sync": "timeout=2"}.get(kind, "header_timeout=1")
    more = "channel_timeout=1" if kind == "waitress" else ""
    run = serving("-b", bind(kind, "127.0.0.1:0", option, more))
    with Connection(run.url) as slow:
        slow.socket.settimeout(0.2)
        slow.send(begin)
        deadline = time.monotonic() + 30
        ended = False
        while not ended:
            assert time.monotonic() < deadline
            try:
                if begin:
                    slow.send(b"a")
                ended = not slow.socket.recv(1000)
            except TimeoutError:
                pass
            except ConnectionError:
                ended = True
    assert get(run.url).status == 200


@pytest.mark.attack("Bounds", "a body whose client pauses", "the connection is closed after some seconds")
def test_a_body_that_stops_coming_is_not_waited_for(kind: str, serving: Start) -> None:
    option = {"waitress": "channel_timeout=1", "gunicorn-sync": "timeout=2"}.get(kind, "body_timeout=1")
    if kind in BODY_IS_WAITED_FOR:
        assert any("body" in lapse for lapse in registry.find(KINDS[kind][0]).lapses)
        pytest.skip("declared")
    run = serving("-b", bind(kind, "127.0.0.1:0", option))
    with Connection(run.url) as slow:
        slow.send_head("POST", "/upload", [("Content-Length", "100")])
        slow.send(b"a")
        assert slow.ended(60)
    assert get(run.url).status == 200


@pytest.mark.attack("Bounds", "connections that are reset at any moment", "one line each at most")
def test_a_client_that_resets_its_connection_is_hardly_news(kind: str, serving: Start) -> None:
    run = serving("-b", bind(kind), environment=AS_USERS_RUN_IT)
    get(run.url)
    lines = len(run.log_so_far().splitlines())
    sent = [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: a\r\nX", b"GET /ignore HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n"]  # fmt: skip
    for data in sent * 3:
        with Connection(run.url) as connection:
            connection.send(data)
            if b"large" in data:
                connection.socket.recv(1000)
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    for _ in range(2 * 10 + 1):  # more than the largest pool has threads: earlier requests are finished
        get(run.url)
    run.wait_for(" GET / 200 ", times=1 + 2 * 10 + 1)
    told = run.log_so_far().splitlines()[lines:]
    # A complete request has a line in the access log; one more line may report that a partial one is refused.
    others = [line for line in told if not re.search(r" GET /\w* ", line)]
    assert len(others) <= 3, others


@pytest.mark.attack("Bounds", "a port scanner that speaks no TLS", "one line at most")
def test_what_is_no_tls_takes_a_line_at_most(kind: str, serving: Start) -> None:
    if not registry.find(KINDS[kind][0]).tls:
        pytest.skip("has no TLS")
    run = serving("-b", bind(kind, scheme="+https"), environment=AS_USERS_RUN_IT)
    lines = len(run.log_so_far().splitlines())
    times = 5
    for _ in range(times):
        with Connection(run.url.replace("https:", "http:")) as connection:
            connection.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            connection.ended(10)
    assert get(run.url).status == 200
    run.wait_for(" GET / 200 ")
    told = [line for line in run.log_so_far().splitlines()[lines:] if " GET / " not in line]
    assert len(told) <= times, told


def test_the_page_names_every_option_that_bounds_a_server() -> None:
    text = Path("docs/servers.md").read_text()
    table = text[text.index("## Bounds") : text.index("\n## ", text.index("## Bounds") + 1)]
    for adapter in registry.known():
        for field in dataclasses.fields(adapter.options):
            if adapter.name in KINDS and re.search("timeout|connection|size|keepalive", field.name):
                rows = [
                    row for row in table.splitlines() if row.startswith("|") and f"`{adapter.name}`" in row
                ]
                assert any(f"`{field.name}`" in row for row in rows), (adapter.name, field.name)
