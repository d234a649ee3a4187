"""Waitress: one event loop for I/O, and a pool of threads that run the app."""

from __future__ import annotations

import logging
import socket
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from webdemo.net import BACKLOG
from webdemo.servers import LINGER_SECONDS, Adapter, Job, Siblings, Stopping, option
from webdemo.servers._fair_accept import Turns
from webdemo.servers._fields import Malformed
from webdemo.servers._framing import Chunks, strict_head
from webdemo.servers._room import PAUSE_SECONDS, Listener, Room
from webdemo.servers._wsgi_fixes import UNIX, answer

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_SENT_AT_ONCE = 256 * 1024
_LOOK_FOR_OLD_SECONDS = 1.0
_SHORTEST_WAIT_SECONDS = 0.001  # the resolution of Waitress's loop


@dataclass(frozen=True, slots=True)
class Options:
    threads: int = option(4, "Threads that run the app.")
    connection_limit: int = option(
        1000, "Connections open at once; further ones wait, and idle ones are closed."
    )
    channel_timeout: int = option(120, "Seconds after which an idle connection is closed.")
    header_timeout: float = option(
        20.0, "Seconds in which a request's header must arrive, once it has begun."
    )
    max_request_body_size: int = option(1 << 30, "Largest request body, in bytes.")


def serve(job: Job) -> None:
    import waitress
    from waitress import wasyncore
    from waitress.channel import HTTPChannel
    from waitress.parser import HTTPRequestParser, ParsingError
    from waitress.receiver import ChunkedReceiver
    from waitress.server import BaseWSGIServer
    from waitress.task import WSGITask
    from waitress.utilities import BadRequest

    class Receiver(ChunkedReceiver):  # type: ignore[misc]
        def __init__(self, buffer: Any) -> None:
            super().__init__(buffer)
            self.chunks = Chunks()

        def received(self, data: bytes) -> int:
            try:
                content, used = self.chunks.decode(data)
            except Malformed as exc:
                self.error = BadRequest(str(exc))
                return len(data)
            self.buf.append(content)
            self.completed = self.chunks.is_over
            return used

    class Parser(HTTPRequestParser):  # type: ignore[misc]
        def parse_header(self, header_plus: bytes) -> None:
            if header_plus.endswith(b"\r\n\r\n"):  # else a substitute of Waitress for too large a header
                try:
                    header_plus = strict_head(header_plus)
                except Malformed as exc:
                    raise ParsingError(str(exc)) from exc
            super().parse_header(header_plus)
            if self.chunked:
                self.body_rcv: Any = Receiver(self.body_rcv.getbuf())

    class Task(WSGITask):  # type: ignore[misc]
        def build_response_header(self) -> bytes:
            if job.stopping.is_set():
                self.request.headers["CONNECTION"] = "close"
            head: bytes = super().build_response_header()
            if self.request.command == "HEAD":
                self.chunked_response = False  # the last chunk would be a body
            return head

    class Channel(HTTPChannel):  # type: ignore[misc]
        parser_class = Parser
        task_class = Task
        sendbuf_len: int

        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            # The send buffer may be megabytes, and Waitress rereads as much of a file for each partial send.
            self.sendbuf_len = min(self.sendbuf_len, _SENT_AT_ONCE)

        def is_idle(self) -> bool:
            begun = self.request is not None and self.request.headers_finished
            return not (self.requests or begun or self.total_outbufs_len)

        def is_idle_since(self, latest: float) -> bool:
            return self.last_activity < latest and self.is_idle()

    class WakeUp(wasyncore.file_dispatcher):  # type: ignore[misc]
        """Wakes the event loop when the server should stop."""

        def writable(self) -> bool:
            return False

        def handle_read(self) -> None:
            self.close()

    # It would warn whenever there are more requests than threads, even for a moment.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    connections: dict[int, Any] = {}

    def channels() -> list[Channel]:
        return [c for c in connections.values() if isinstance(c, Channel)]

    def close_idle() -> None:
        latest = time.time() - LINGER_SECONDS  # the clock of `last_activity`
        for channel in channels():
            channel.will_close = channel.will_close or channel.is_idle_since(latest)

    began: dict[Any, float] = {}  # requests whose header is incomplete, and when that was first seen

    def close_slow(now: float) -> None:
        nonlocal began
        slow = [c for c in channels() if c.request is not None and not c.request.headers_finished]
        began = {channel.request: began.get(channel.request, now) for channel in slow}
        for channel in slow:
            if began[channel.request] < now - job.options.header_timeout:
                channel.will_close = True

    def count() -> int:
        return sum(len(listener.active_channels) for listener in listeners)

    rests_until = 0.0

    class RestingListener(Listener):
        def pause(self) -> None:
            nonlocal rests_until
            rests_until = time.monotonic() + PAUSE_SECONDS

    room = Room(count, close_idle, most=job.options.connection_limit, option="connection_limit")
    WakeUp(job.stopping.fileno(), connections)

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["SERVER_PORT"].startswith("/"):
            environ.update(UNIX)
            del environ["REMOTE_PORT"]
        return answer(job.app, environ, start_response)

    servers = [
        waitress.create_server(
            app,
            map=connections,
            sockets=sockets,
            server_name="localhost",
            backlog=BACKLOG,
            threads=job.options.threads,
            connection_limit=sys.maxsize,  # Room enforces the limit, and closes idle connections
            channel_timeout=job.options.channel_timeout,
            cleanup_interval=1,  # seconds between checks for idle connections; the default is 30
            max_request_body_size=job.options.max_request_body_size,
            asyncore_use_poll=True,
            clear_untrusted_proxy_headers=False,  # the run layer decides which proxies to trust
        )
        for sockets in by_kind([RestingListener(sock, room) for sock in job.sockets])
    ]
    listeners = [c for c in connections.values() if isinstance(c, BaseWSGIServer)]
    for listener in listeners:
        listener.channel_class = Channel

    look_at = time.monotonic() + _LOOK_FOR_OLD_SECONDS

    def loop(timeout_seconds: float, accept: bool = True) -> None:
        nonlocal look_at
        now = time.monotonic()
        if now > look_at:
            look_at = now + _LOOK_FOR_OLD_SECONDS
            close_slow(now)
        rests = rests_until > now
        for listener in listeners:
            listener.accepting = accept and not rests
        timeout = min(timeout_seconds, PAUSE_SECONDS) if rests else timeout_seconds
        wasyncore.loop(timeout=timeout, use_poll=True, map=connections, count=1)

    job.ready()
    if job.siblings is None:
        while not job.stopping.is_set():
            loop(1)
    else:
        in_turn(loop, listeners, connections, job.siblings(), job.stopping)
    hang_up_at = time.monotonic() + LINGER_SECONDS
    while left := channels():
        if time.monotonic() > hang_up_at:
            for channel in left:
                channel.will_close = channel.will_close or channel.is_idle()
        loop(0.05, accept=False)
    for server in servers:
        server.task_dispatcher.shutdown()


def in_turn(
    loop: Callable[..., None],
    listeners: list[Any],
    connections: dict[int, Any],
    siblings: Siblings,
    stopping: Stopping,
) -> None:
    """Run the loop until `stopping` is set; defer briefly to a sibling that has fewer connections."""
    turns = Turns(siblings)
    without_clients = len(connections)
    somebody_waits = gives_way = False

    def in_its_turn(accept: Callable[[], None]) -> None:
        nonlocal gives_way, somebody_waits
        somebody_waits = True
        gives_way = not turns.is_ours()
        if not gives_way:
            accept()
            siblings.report(len(connections) - without_clients)

    for listener in listeners:
        listener.handle_accept = partial(in_its_turn, listener.handle_accept)
    while not stopping.is_set():
        if gives_way:
            if siblings.have_fewer():
                loop(_SHORTEST_WAIT_SECONDS, accept=False)
            somebody_waits = gives_way = False
            loop(0)
            if not somebody_waits:
                turns.nobody_waits()
        else:
            loop(1)
        siblings.report(len(connections) - without_clients)


def by_kind(sockets: list[socket.socket]) -> list[list[socket.socket]]:
    """The sockets as lists of TCP and of Unix sockets: a Waitress server cannot have both."""
    unix = [sock for sock in sockets if sock.family == socket.AF_UNIX]
    internet = [sock for sock in sockets if sock.family != socket.AF_UNIX]
    return [kind for kind in (internet, unix) if kind]


adapter = Adapter(
    name="waitress",
    serve=serve,
    summary="one event loop and a pool of threads; buffers requests and answers",
    distribution="waitress",
    modules=("waitress.server",),
    options=Options,
    spread=True,
    bounds=True,
    framing=True,
)
