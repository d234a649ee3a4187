"""Slow clients: connections that send a request byte by byte and never finish it.

They cost an event-driven server a little memory each, but a server with a thread per connection all its
threads. They occur on slow mobile networks as well as in attacks (Slowloris).
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

from webdemo.client.endpoint import Endpoint
from webdemo.compare.speed.cases import SLOW_COUNT

_PAUSE_SECONDS = 0.1


@contextlib.contextmanager
def slow_clients(port: int, count: int = SLOW_COUNT) -> Iterator[int]:
    """Keep `count` of them connected within the context; yields how many could connect."""
    with contextlib.ExitStack() as stack:
        sockets = []
        for _ in range(count):
            with contextlib.suppress(OSError):
                sock = Endpoint.of_port(port).connect(1.0)
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
        with contextlib.suppress(OSError):  # the server has closed the connection
            sock.send(data)
