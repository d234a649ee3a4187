"""What Werkzeug and wsgiref share: handlers of http.server, in a thread for each connection.

The rule: only well-formed requests reach the app, and a stop waits for the threads that answer one.
"""

from __future__ import annotations

import selectors
import socket
import struct
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from webdemo.servers import Stopping
from webdemo.servers._draining import LOOK_FOR_OLD_SECONDS, SIGNALS, IdleConnections
from webdemo.servers._fields import Malformed
from webdemo.servers._framing import Incomplete, read_fields
from webdemo.servers._sending import SentAtOnce

if TYPE_CHECKING:
    from http.server import BaseHTTPRequestHandler as _Handler
else:
    _Handler = object


class StrictHandler(_Handler):
    """A mixin for request handlers that tracks the idle connections and refuses malformed heads."""

    idle: IdleConnections  # set by a subclass
    pause_seconds: float  # set by a subclass: for which the client may pause while it sends or reads
    raw_requestline: bytes

    def __init__(self, request: socket.socket, address: Any, server: Any) -> None:
        try:
            super().__init__(request, address, server)
        except OSError:
            pass  # all I/O of a handler is with its client, whose disconnect is not worth a log line
        finally:
            self.idle.discard(self.request)

    def setup(self) -> None:
        super().setup()
        # With a timeout of Python's, each call would poll first, and one long response would share it.
        microseconds = int(self.pause_seconds * 1_000_000)
        if sys.platform == "win32":
            seconds = struct.pack("L", microseconds // 1000)
        else:
            seconds = struct.pack("ll", *divmod(microseconds, 1_000_000))
        for direction in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            self.request.setsockopt(socket.SOL_SOCKET, direction, seconds)
        self.wfile = SentAtOnce(self.request)
        self.idle.add(self.request)

    def parse_request(self) -> bool:
        """Read the header, which http.server reads as a mail's: that takes several times as long."""
        self.close_connection = True
        self.requestline = self.command = ""
        self.request_version = "HTTP/1.1"
        self.idle.begin(self.request)
        try:
            fields = read_fields(self.raw_requestline, self.rfile)
        except Incomplete:
            return False
        except Malformed as exc:
            self.send_error(exc.status, explain=str(exc))
            return False
        finally:
            self.idle.discard(self.request)
        self.requestline = self.raw_requestline.decode("latin-1").rstrip("\r\n")
        self.command, path, self.request_version = self.requestline.split(" ")
        if not self.request_version.startswith("HTTP/1."):
            self.send_error(505)
            return False
        # A redirect to a path with two slashes would lead to another host (CVE-2021-28861).
        self.path = "/" + path.lstrip("/") if path.startswith("//") else path
        self.headers = self.MessageClass()
        for line in fields.decode("latin-1").split("\r\n")[:-2]:
            name, _, value = line.partition(":")
            self.headers[name] = value.strip(" \t")
        return True

    def log_request(self, *_: Any) -> None:
        """Does nothing: the run layer writes the access log of all servers."""


Threads = dict[socket.socket, threading.Thread]
"""The open connections, each with the thread that serves it."""


def serve_until_stopped(
    servers: list[Any],
    stopping: Stopping,
    idle: IdleConnections,
    threads: Threads,
    header_timeout: float,
) -> None:
    """Accept on all servers (of socketserver.ThreadingMixIn) in this thread until stopped, then drain."""
    with selectors.DefaultSelector() as selector, stopping.signals() as signals:
        selector.register(stopping, selectors.EVENT_READ)
        selector.register(signals, selectors.EVENT_READ)
        for server in servers:
            selector.register(server, selectors.EVENT_READ, server)
        look_at = time.monotonic() + LOOK_FOR_OLD_SECONDS
        while not stopping.is_set():
            for key, _ in selector.select(LOOK_FOR_OLD_SECONDS if threads else None):
                if key.data is not None:
                    accept(key.data, threads)
                elif key.fileobj is signals:
                    signals.recv(SIGNALS)
            if time.monotonic() > look_at:
                idle.close_older_than(header_timeout)
                look_at = time.monotonic() + LOOK_FOR_OLD_SECONDS
    for server in servers:
        server.server_close()
    idle.drain(list(threads.values()))


def accept(server: Any, threads: Threads) -> None:
    """Accept a connection and start its thread.

    Unlike `handle_request` of socketserver, which polls again, and looks at all threads for each connection.
    """
    try:
        connection, address = server.get_request()
    except OSError:
        return
    served = server, connection, address, threads
    threads[connection] = thread = threading.Thread(target=_serve, args=served, daemon=True)
    try:
        thread.start()
    except RuntimeError:
        server.socket.room.has_no_thread()
        _serve(*served)


def _serve(server: Any, connection: socket.socket, address: Any, threads: Threads) -> None:
    try:
        server.process_request_thread(connection, address)
    finally:
        del threads[connection]
