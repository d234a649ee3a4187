"""Slow clients: connections that send a request a byte at a time and never finish it.

They cost an event-driven server a little memory each, and a server with a thread for each connection all
of its threads. A slow phone network makes them as well as an attacker (Slowloris).
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

from webdemo.compare.speed.cases import SLOW_COUNT

_PAUSE_SECONDS = 0.1


@contextlib.contextmanager
def slow_clients(port: int, count: int = SLOW_COUNT) -> Iterator[int]:
    """Keep so many of them connected meanwhile; gives how many were let in."""
    with contextlib.ExitStack() as stack:
        sockets = []
        for _ in range(count):
            with contextlib.suppress(OSError):
                sock = socket.create_connection(("127.0.0.1", port), timeout=1.0)
                sockets.append(stack.enter_context(sock))
        for sock in sockets:
            sock.setblocking(False)
        over = threading.Event()
        thread = threading.Thread(target=_drip, args=(sockets, over), daemon=True)
        stack.callback(thread.join)
        stack.callback(over.set)
        thread.start()
        yield len(sockets)


def _drip(sockets: list[socket.socket], over: threading.Event) -> None:
    _send_to_all(sockets, b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
    while not over.wait(_PAUSE_SECONDS):
        _send_to_all(sockets, b"a")


def _send_to_all(sockets: list[socket.socket], data: bytes) -> None:
    for sock in sockets:
        with contextlib.suppress(OSError):  # the server has had enough of it
            sock.send(data)
