"""The supervisor's side of other processes: what they write, and the loaders. Runs in the main process."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from webdemo.supervisor.loop import Loop
from webdemo.worker import interpreter
from webdemo.worker.channel import Channel, DescriptorsMissing
from webdemo.worker.codec import InvalidMessage
from webdemo.worker.messages import LOADER_REPORTS, ORDERS, Load, LoaderReport, Order

_LONGEST_LINE = 8192
_LOADER_ENDS_SECONDS = 2.0  # after its channel was closed

OnOutput = Callable[[str, str, bool], None]
"""Called with each line: its source, its text, and whether it is an access log line."""


class Gone(NamedTuple):
    """A loader has ended; `code` is None if unknown."""

    code: int | None


class LineReader:
    """Calls `on_line` with each line from a pipe, and `on_end` at its end.

    Lines longer than about `longest` bytes come in parts. `before` is called before each batch of lines.
    After a read, the pipe is not polled for `rest_seconds`: taking many lines of a busy writer at once costs
    far less than waking up for each.
    """

    def __init__(
        self,
        loop: Loop,
        fd: int,
        on_line: Callable[[bytes], None],
        on_end: Callable[[], None] = lambda: None,
        *,
        longest: int = _LONGEST_LINE,
        before: Callable[[], None] = lambda: None,
        rest_seconds: float = 0.0,
    ) -> None:
        self._loop = loop
        self._fd = fd
        self._rest = b""
        self._on_line = on_line
        self._on_end = on_end
        self._longest = longest
        self._before = before
        self._rest_seconds = rest_seconds
        self._is_closed = False
        os.set_blocking(fd, False)
        self._look()

    def take_rest(self) -> None:
        """Read once what has been written so far. Once is enough: a pipe holds 64 KiB by default."""
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
        if self._rest and (not data or len(self._rest) > self._longest):
            lines.append(self._rest)
            self._rest = b""
        if lines:
            self._before()
            self._pass_on(lines)
        if not data:
            self.close()
            self._on_end()
        return bool(data)

    def _pass_on(self, lines: list[bytes]) -> None:
        left = iter(lines)

        def each() -> None:
            for line in left:
                self._on_line(line)

        while not self._loop.barrier.call(each):
            pass  # continue after the line that failed


class LoaderProcess:
    """A loader, started with its first order."""

    def __init__(
        self,
        loop: Loop,
        order: Load,
        *,
        on_message: Callable[[LoaderProcess, LoaderReport | Gone], None],
        on_output: OnOutput,
    ) -> None:
        self.share = order.share
        self.alive = True
        self.retired = False
        self.children = 0
        self._loop = loop
        self._on_message = on_message
        # The one started early has imported modules that a server may have to patch first.
        self._interpreter = interpreter.take_early() if order.share else interpreter.fresh()
        self._channel = Channel(self._interpreter.socket, ORDERS, LOADER_REPORTS)
        self.pid = self._interpreter.pid
        LineReader(loop, self._interpreter.output, lambda line: on_output("app", as_text(line), False))
        loop.on_readable(self._channel, self._receive)
        self.send(order)

    def send(self, order: Order, descriptors: Sequence[int] = ()) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._channel.send(order, descriptors)

    def retire(self) -> None:
        """Let it exit when its last child has."""
        self.retired = True
        if not self.children and self.alive:
            self.close()

    def close(self) -> None:
        """Close the channel; the loader then stops its children and exits."""
        if self.alive:
            self.alive = False
            self._loop.forget(self._channel)
            self._channel.close()

    def wait(self, timeout_seconds: float) -> int | None:
        """Wait for its exit, and kill it after `timeout_seconds`; returns the exit code, if known."""
        return self._interpreter.wait(timeout_seconds)

    def _receive(self) -> None:
        while self.alive:
            try:
                for message, _ in self._channel.receive():
                    self._loop.barrier.call(partial(self._on_message, self, message))
                return
            except (InvalidMessage, DescriptorsMissing) as exc:
                self._loop.barrier.report(exc)
            except EOFError:
                self.close()
                self._on_message(self, Gone(self.wait(_LOADER_ENDS_SECONDS)))


def as_text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def how_it_ended(code: int | None) -> str:
    """Describe an exit code, -N for signal N, None if unknown."""
    if code is None:
        return "ended"
    if code < 0:
        return f"was killed by {_signal_name(-code)}"
    return f"ended with exit code {code}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # most real-time signals have no name
        return f"signal {number}"
