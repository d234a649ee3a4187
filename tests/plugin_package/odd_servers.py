"""Servers for webdemo that each lack something of the contract, or break it.

They stand beside `tiny_server.py`, the example of docs/servers.md, which the tests write from its text.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path

import tiny_server  # type: ignore[import-not-found]  # from the docs

from webdemo.servers import Adapter, Job, option


@dataclass(frozen=True, slots=True)
class Options:
    greeting: str = option("hello", "Sent as X-Greeting with every answer.")


class Left:
    """The body of a request whose client has left."""

    def read(self, size: int = -1) -> bytes:
        raise ConnectionResetError("the client has left")


def serve_greeting(job: Job) -> None:
    def app(environ, start_response):  # type: ignore[no-untyped-def]
        if environ["PATH_INFO"] == "/left":
            environ["wsgi.input"] = Left()

        def start(status, headers, exc_info=None):  # type: ignore[no-untyped-def]
            return start_response(status, [*headers, ("X-Greeting", job.options.greeting)], exc_info)

        return job.app(environ, start)

    tiny_server.serve(job._replace(app=app))


def serve_clock(job: Job) -> None:
    """Another protocol: the server speaks first, and tells each client the folder that it serves."""
    [listener] = job.sockets
    listener.settimeout(0.05)
    job.ready()
    while not job.stopping.is_set():
        try:
            connection, _ = listener.accept()
        except TimeoutError:
            continue
        with connection, connection.makefile("wb") as file:
            file.write(f"It serves {Path(job.directory or 'nothing').name}\n".encode())
        job.log("told a client")


def serve_listeners(job: Job) -> None:
    """Another protocol: the client speaks first, and gets its bytes back."""
    [listener] = job.sockets
    listener.settimeout(0.05)
    job.ready()
    while not job.stopping.is_set():
        try:
            connection, _ = listener.accept()
        except TimeoutError:
            continue
        with connection, socket.socket(fileno=connection.detach()) as plain:
            plain.settimeout(5)
            plain.sendall(plain.recv(100))


greeter = tiny_server.adapter._replace(name="greeter", serve=serve_greeting, options=Options)
bare = Adapter("bare", tiny_server.serve, "declares nothing")
clock = Adapter(
    "clock",
    serve_clock,
    "tells what it serves",
    protocol="clock",
    greeting=b"It serves",
    several_sockets=False,
)
echo = Adapter("echo", serve_listeners, "repeats what it hears", protocol="echo", several_sockets=False)

absent = tiny_server.adapter._replace(name="absent", distribution="no-such-distribution")
later = tiny_server.adapter._replace(name="later", contract=2)
earlier = tiny_server.adapter._replace(name="earlier", contract=0)
misnamed = tiny_server.adapter
incomplete = tiny_server.adapter._replace(name="incomplete", modules=("no_such_module",))
broken = "not an adapter"
