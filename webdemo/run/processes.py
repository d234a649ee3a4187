"""The processes of a run as the supervisor sees them: loaders, and the servers they fork."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Any

from webdemo.run import interpreter
from webdemo.run.accesslog import COMPLETE
from webdemo.run.channel import Channel, Message
from webdemo.run.load import Target
from webdemo.run.loader import send_signal
from webdemo.run.loop import Loop

if TYPE_CHECKING:
    from webdemo.run.service import RunningService

_TAIL_LINES = 20
_LONGEST_LINE = 8192
_OUTPUT_RESTS_SECONDS = 0.005
_LOADER_ENDS_SECONDS = 2.0  # after it has hung up


class State(Enum):
    STARTING = "starting"
    READY = "ready"  # its server says that it accepts
    UP = "up"  # it has answered
    DRAINING = "draining"
    DEAD = "dead"


class Process:
    """A server process, from the order to start it until it is gone."""

    def __init__(self, number: int, service: RunningService, loader: LoaderProcess) -> None:
        self.number = number
        self.service = service
        self.loader = loader
        self.pid: int | None = None
        self.cpu: int | None = None  # the one that it keeps to
        self.state = State.STARTING
        self.ordered_at = time.monotonic()
        self.started_at = time.time()
        self.tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self.failure: Message | None = None
        self.was_draining = False  # its end was asked for
        self.output: LineReader | None = None

    def take_output(self) -> None:
        """Read what it has written so far."""
        if self.output is not None:
            self.output.take_rest()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal through the loader, which alone knows that the pid is still its child's."""
        if self.state is State.DEAD:
            return
        if self.loader.alive:
            self.loader.send({"do": "signal", "process": self.number, "signal": int(number)})
        elif self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                send_signal(self.pid, number)


class LineReader:
    """Lines from a pipe, as they come; at its end the last one and then `on_end`.

    With `rest_seconds` it looks again only after so long: of a busy writer it takes many lines at once,
    which costs far less than to be woken for each.
    """

    def __init__(
        self,
        loop: Loop,
        fd: int,
        on_line: Callable[[bytes], None],
        on_end: Callable[[], None] = lambda: None,
        *,
        rest_seconds: float = 0.0,
    ) -> None:
        self._loop = loop
        self._fd = fd
        self._rest = b""
        self._on_line = on_line
        self._on_end = on_end
        self._rest_seconds = rest_seconds
        self._is_closed = False
        os.set_blocking(fd, False)
        self._look()

    def take_rest(self) -> None:
        """Read what has been written so far: at once, as a pipe holds no more. Others may go on writing."""
        if not self._is_closed:
            self._read()

    def close(self) -> None:
        self._is_closed = True
        self._loop.forget(self._fd)
        os.close(self._fd)

    def _look(self) -> None:
        if not self._is_closed:
            self._loop.on_readable(self._fd, self._readable)

    def _readable(self) -> None:
        if self._read() and self._rest_seconds and not self._is_closed:
            self._loop.forget(self._fd)
            self._loop.after(self._rest_seconds, self._look)

    def _read(self) -> bool:
        try:
            data = os.read(self._fd, 65536)
        except BlockingIOError:
            return False
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._on_line(line)
        if not data or len(self._rest) > _LONGEST_LINE:
            if self._rest:
                self._on_line(self._rest)
            self._rest = b""
        if not data:
            self.close()
            self._on_end()
        return bool(data)


class LoaderProcess:
    """A loader: a process that imports the app, or leaves that to each of its children.

    `servers` are those that it is going to fork: with the app it imports them. With `wants_sources` it
    tells where the app's code lies.
    """

    def __init__(
        self,
        loop: Loop,
        target: Target,
        *,
        share: bool,
        servers: list[str],
        wants_sources: bool,
        grace_seconds: float,
        on_message: Callable[[LoaderProcess, Message], None],
        on_output: Callable[[str, bytes], None],
    ) -> None:
        self.share = share
        self.alive = True
        self.retired = False
        self.children = 0
        self._loop = loop
        self._on_message = on_message
        # One that was started early has imported what a server may have to patch before.
        self._interpreter = interpreter.take_early() if share else interpreter.fresh()
        self._channel = Channel(self._interpreter.socket)
        self.pid = self._interpreter.pid
        LineReader(loop, self._interpreter.output, lambda line: on_output("app", line))
        loop.on_readable(self._channel, self._receive)
        self.send(
            {
                "do": "load",
                "target": target._asdict(),
                "share": share,
                "servers": servers,
                "wants_sources": wants_sources,
                "grace_seconds": grace_seconds,
            }
        )

    def send(self, message: Message, descriptors: list[int] | None = None) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._channel.send(message, descriptors or [])

    def retire(self) -> None:
        """Let it end when its last child has."""
        self.retired = True
        if not self.children and self.alive:
            self.close()

    def close(self) -> None:
        """Hang up: it ends its children, if it has any, and itself."""
        if self.alive:
            self.alive = False
            self._loop.forget(self._channel)
            self._channel.close()

    def wait(self, timeout_seconds: float) -> int | None:
        """Until it has ended, or is killed when the time is over; its exit code, if anybody knows it."""
        return self._interpreter.wait(timeout_seconds)

    def _receive(self) -> None:
        try:
            for message, _ in self._channel.receive():
                self._on_message(self, message)
        except EOFError:
            self.close()
            code = self.wait(_LOADER_ENDS_SECONDS)
            self._on_message(self, {"event": "gone", "code": code})


def read_output(loop: Loop, fd: int, process: Process, on_output: Callable[[str, bytes], None]) -> LineReader:
    """Pass on what a server process writes, and keep its last lines."""
    source = str(process.service.service)

    def line(data: bytes) -> None:
        process.service.log.add(data)
        if not data.startswith(COMPLETE):
            process.tail.append(data.decode("utf-8", "replace"))
        on_output(source, data)

    return LineReader(loop, fd, line, rest_seconds=_OUTPUT_RESTS_SECONDS)


def read_events(
    loop: Loop, fd: int, on_message: Callable[[dict[str, Any]], None], on_end: Callable[[], None]
) -> None:
    LineReader(loop, fd, lambda line: on_message(json.loads(line)), on_end)


def how_it_ended(code: int | None) -> str:
    """An exit code, or -N for a signal, in words; None: nobody knows it."""
    if code is None:
        return "ended"
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"
