"""Waitress's event loop and parser, extended beyond its public API; webdemo.servers.waitress uses it.

Waitress has no hook to refuse a malformed header, to close a client that sends one slowly, to stop accepting,
or to leave a connection to a sibling. What its workers gain by the last is in docs/performance.md.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.receiver import ChunkedReceiver
from waitress.server import BaseWSGIServer
from waitress.task import WSGITask
from waitress.utilities import BadRequest

from webdemo.servers import LINGER_SECONDS, Job, Siblings
from webdemo.servers._draining import LOOK_FOR_OLD_SECONDS
from webdemo.servers._fair_accept import Turns
from webdemo.servers._fields import Malformed
from webdemo.servers._framing import Chunks, strict_head
from webdemo.servers._room import PAUSE_SECONDS, Listener, Room
from webdemo.servers._sending import SENT_WITH_HEAD

_SENT_AT_ONCE = 256 * 1024
_SHORTEST_WAIT_SECONDS = 0.001  # the resolution of Waitress's loop


class EventLoop:
    """The loop of one process: it accepts, reads and writes until `job.stopping` is set, and then drains."""

    def __init__(self, job: Job) -> None:
        self.connections: dict[int, Any] = {}  # Waitress's map: listeners and channels by descriptor
        self._job = job
        self._room = Room(
            self._count, self._close_idle, most=job.options.connection_limit, option="connection_limit"
        )
        self._listeners: list[Any] = []
        self._began: dict[Any, float] = {}  # requests with an incomplete header, and when it was first seen
        self._look_at = 0.0
        self._rests_until = 0.0
        _WakeUp(job.stopping.fileno(), self.connections)

    def listener(self, sock: socket.socket) -> Listener:
        """The socket for `create_server`, which accepts only while there is room."""
        return _RestingListener(sock, self._room, self.rest)

    def rest(self) -> None:
        """Accept nothing for a moment."""
        self._rests_until = time.monotonic() + PAUSE_SECONDS

    def run(self) -> None:
        """Serve; called when the servers are made."""
        self._listeners = [c for c in self.connections.values() if isinstance(c, BaseWSGIServer)]
        for listener in self._listeners:
            listener.channel_class = partial(_Channel, self._job)
        self._job.ready()
        if self._job.siblings is None:
            while not self._job.stopping.is_set():
                self._pass(1)
        else:
            self._run_in_turn(self._job.siblings())
        hang_up_at = time.monotonic() + LINGER_SECONDS
        while left := self._channels():
            if time.monotonic() > hang_up_at:
                for channel in left:
                    channel.will_close = channel.will_close or channel.is_idle()
            self._pass(0.05, accept=False)

    def _run_in_turn(self, siblings: Siblings) -> None:
        """Run until stopped, and defer briefly to a sibling that has fewer connections."""
        turns = Turns(siblings)
        without_clients = len(self.connections)
        is_pending = gives_way = False

        def in_its_turn(accept: Callable[[], None]) -> None:
            nonlocal gives_way, is_pending
            is_pending = True
            gives_way = not turns.is_ours()
            if not gives_way:
                accept()
                siblings.report(len(self.connections) - without_clients)

        for listener in self._listeners:
            listener.handle_accept = partial(in_its_turn, listener.handle_accept)
        while not self._job.stopping.is_set():
            if gives_way:
                if siblings.have_fewer():
                    self._pass(_SHORTEST_WAIT_SECONDS, accept=False)
                is_pending = gives_way = False
                self._pass(0)
                if not is_pending:
                    turns.start_over()
            else:
                self._pass(1)
            siblings.report(len(self.connections) - without_clients)

    def _pass(self, timeout_seconds: float, accept: bool = True) -> None:
        """One pass of Waitress's loop: wait for events for so long, and handle them."""
        now = time.monotonic()
        if now > self._look_at:
            self._look_at = now + LOOK_FOR_OLD_SECONDS
            self._close_slow(now)
        rests = self._rests_until > now
        for listener in self._listeners:
            listener.accepting = accept and not rests
        timeout = min(timeout_seconds, PAUSE_SECONDS) if rests else timeout_seconds
        wasyncore.loop(timeout=timeout, use_poll=True, map=self.connections, count=1)

    def _channels(self) -> list[_Channel]:
        return [c for c in self.connections.values() if isinstance(c, _Channel)]

    def _count(self) -> int:
        return sum(len(listener.active_channels) for listener in self._listeners)

    def _close_idle(self) -> None:
        latest = time.time() - LINGER_SECONDS  # the clock of `last_activity`
        for channel in self._channels():
            channel.will_close = channel.will_close or channel.is_idle_since(latest)

    def _close_slow(self, now: float) -> None:
        slow = [c for c in self._channels() if c.request is not None and not c.request.headers_finished]
        self._began = {channel.request: self._began.get(channel.request, now) for channel in slow}
        for channel in slow:
            if self._began[channel.request] < now - self._job.options.header_timeout:
                channel.will_close = True


class _RestingListener(Listener):
    """A listener that, without room, does not block the loop, but makes it accept nothing for a moment."""

    def __init__(self, sock: socket.socket, room: Room, rest: Callable[[], None]) -> None:
        super().__init__(sock, room)
        self._rest = rest

    def pause(self) -> None:
        self._rest()


class _WakeUp(wasyncore.dispatcher):  # type: ignore[misc]
    """Wakes the event loop when the server should stop. Waitress has one for descriptors, not on Windows."""

    def __init__(self, descriptor: int, connections: dict[int, Any]) -> None:
        super().__init__(map=connections)
        self._fileno = descriptor
        self.add_channel()

    def writable(self) -> bool:
        return False

    def handle_read(self) -> None:
        self.del_channel()


class _Receiver(ChunkedReceiver):  # type: ignore[misc]
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


class _Parser(HTTPRequestParser):  # type: ignore[misc]
    def parse_header(self, header_plus: bytes) -> None:
        if header_plus.endswith(b"\r\n\r\n"):  # else a substitute of Waitress for too large a header
            try:
                header_plus = strict_head(header_plus)
            except Malformed as exc:
                raise ParsingError(str(exc)) from exc
        super().parse_header(header_plus)
        if self.chunked:
            self.body_rcv: Any = _Receiver(self.body_rcv.getbuf())


class _Task(WSGITask):  # type: ignore[misc]
    wrote_header: bool

    def build_response_header(self) -> bytes:
        if self.channel.job.stopping.is_set():
            self.request.headers["CONNECTION"] = "close"
        head: bytes = super().build_response_header()
        if self.request.command == "HEAD":
            self.chunked_response = False  # the last chunk would be a body
        return head

    def write(self, data: bytes) -> None:
        """Send the head together with the first part of the body."""
        channel = self.channel
        if not self.wrote_header and self.complete and 0 < len(data) <= SENT_WITH_HEAD:
            channel.head = self.build_response_header()
            self.wrote_header = True
        super().write(data)
        if channel.head:  # the response has no body
            channel.write_soon(b"")


class _Channel(HTTPChannel):  # type: ignore[misc]
    parser_class = _Parser
    task_class = _Task
    sendbuf_len: int
    head = b""  # of a response, not sent yet

    def __init__(self, job: Job, *arguments: Any, **named: Any) -> None:
        self.job = job
        super().__init__(*arguments, **named)
        # The send buffer may be megabytes, and Waitress rereads as much of a file for each partial send.
        self.sendbuf_len = min(self.sendbuf_len, _SENT_AT_ONCE)

    def write_soon(self, data: Any) -> int:
        if self.head:
            data, self.head = self.head + data, b""
        sent: int = super().write_soon(data)
        return sent

    def is_idle(self) -> bool:
        begun = self.request is not None and self.request.headers_finished
        return not (self.requests or begun or self.total_outbufs_len)

    def is_idle_since(self, latest: float) -> bool:
        return self.last_activity < latest and self.is_idle()
