"""The supervisor's side of other processes: what they write, and the loaders. Runs in the main process."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

from webdemo.errors import WebdemoError
from webdemo.supervisor import events
from webdemo.supervisor.desired import Spec
from webdemo.supervisor.log_tail import LastLines
from webdemo.supervisor.loop import Loop
from webdemo.worker import interpreter
from webdemo.worker.channel import Channel, DescriptorsMissing
from webdemo.worker.codec import InvalidMessage
from webdemo.worker.messages import (
    LOADER_REPORTS,
    ORDERS,
    SERVER_REPORTS,
    Failed,
    Load,
    LoaderReport,
    Order,
    ServerReport,
    Signal,
)
from webdemo.worker.signals import send_signal

_PIPE_BYTES = 1 << 20  # Linux's limit for all users; what is written while this process is stopped
_READ_BYTES = 1 << 16
_LONGEST_LINE = 1 << 20
_REST_SECONDS = 0.05
_LONGEST_TAIL_LINE = 8192
_TAIL_LINES = 20
_SEND_TIMEOUT = struct.pack("@ll", 2, 0)  # struct timeval: a loader that does not read must not hold us up
_LOADER_ENDS_SECONDS = 2.0  # after its channel was closed

Emit = Callable[[events.Output], None]


class LineReader:
    """Calls `on_lines` with the lines that have arrived in a pipe, and `on_end` at its end.

    Lines longer than about _LONGEST_LINE bytes come in parts. `before` is called before each `on_lines`.
    It reads at most every _REST_SECONDS from a busy writer: taking many lines at once costs far less than
    waking up for each.
    """

    def __init__(
        self,
        loop: Loop,
        fd: int,
        on_lines: Callable[[list[bytes]], None],
        on_end: Callable[[], None] = lambda: None,
        *,
        before: Callable[[], object] = lambda: None,
    ) -> None:
        self._loop = loop
        self._fd = fd
        self._rest = bytearray()
        self._on_lines = on_lines
        self._on_end = on_end
        self._before = before
        self._is_closed = False
        self._last_read = 0.0
        os.set_blocking(fd, False)
        if hasattr(fcntl, "F_SETPIPE_SZ"):
            with contextlib.suppress(OSError):  # the limit of this user's pipes is reached
                fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        loop.on_readable(fd, self._look)

    def take_rest(self) -> bool:
        """Read what has been written so far, at most what the pipe holds; returns whether there was any."""
        count, size = 0, _READ_BYTES
        while size == _READ_BYTES and count < _PIPE_BYTES and not self._is_closed:
            size = self._read()
            count += size
        return count > 0

    def close(self) -> None:
        self._is_closed = True
        self._loop.forget(self._fd)
        os.close(self._fd)

    def _look(self) -> None:
        """Read, again and again as long as there is something; then wait until there is."""
        if self._is_closed:
            return
        self._loop.forget(self._fd)
        earlier, self._last_read = self._last_read, time.monotonic()
        if self.take_rest() and self._last_read - earlier < 2 * _REST_SECONDS:
            self._loop.after(_REST_SECONDS, self._look)
        elif not self._is_closed:
            self._loop.on_readable(self._fd, self._look)

    def _read(self) -> int:
        """Read a part; returns its size, 0 if there is nothing."""
        try:
            data = os.read(self._fd, _READ_BYTES)
        except BlockingIOError:
            return 0
        if not data:
            self.close()
        self._rest += data
        if not data or b"\n" in data or len(self._rest) > _LONGEST_LINE:
            lines = bytes(self._rest).split(b"\n")
            self._rest.clear()
            if data and len(lines[-1]) <= _LONGEST_LINE:
                self._rest += lines.pop()
            elif not lines[-1]:
                lines.pop()
            if lines:
                self._before()
                self._loop.barrier.call(partial(self._on_lines, lines))
        if not data:
            self._on_end()
        return len(data)


class LoaderProcess:
    """A loader, started with its first order. Raises SystemRefusal if that is impossible.

    What handles SIGCHLD must reap it; `wait` is for the end of the run.
    """

    def __init__(
        self,
        loop: Loop,
        order: Load,
        *,
        on_report: Callable[[LoaderReport, Sequence[int]], None],
        emit: Emit,
    ) -> None:
        self.share = order.share
        self.failure: WebdemoError | None = None  # why the app cannot be loaded
        self.has_channel = True
        self._loop = loop
        self._on_report = on_report
        # The one started early has imported modules that a server may have to patch first.
        self._interpreter = interpreter.take_early() if order.share else interpreter.fresh()
        self._interpreter.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _SEND_TIMEOUT)
        self._channel = Channel(self._interpreter.socket, ORDERS, LOADER_REPORTS)
        self.pid = self._interpreter.pid
        LineReader(
            loop,
            self._interpreter.output,
            lambda lines: emit(events.Output("app", as_text(lines), complete=False)),
        )
        loop.on_readable(self._channel, self.receive)
        self.send(order)

    def send(self, order: Order, descriptors: Sequence[int] = ()) -> None:
        try:
            self._channel.send(order, descriptors)
        except BlockingIOError:  # it has not read for _SEND_SECONDS, and part of the order may be sent
            self.kill()
        except (BrokenPipeError, ConnectionResetError):
            pass  # it has ended, which SIGCHLD tells

    def close(self) -> None:
        """Close the channel; the loader then stops its children and exits."""
        if self.has_channel:
            self.has_channel = False
            self._loop.forget(self._channel)
            self._channel.close()

    def kill(self) -> None:
        self.close()
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def wait(self, timeout_seconds: float) -> int | None:
        """Wait for its exit, and kill it after `timeout_seconds`; returns the exit code, if known."""
        return self._interpreter.wait(timeout_seconds)

    def receive(self) -> None:
        """Take the reports that have arrived."""
        while self.has_channel:
            try:
                for report, descriptors in self._channel.receive():
                    self._loop.barrier.call(partial(self._on_report, report, descriptors))
                return
            except DescriptorsMissing as exc:
                self._loop.barrier.call(partial(self._on_report, cast(LoaderReport, exc.message), ()))
            except InvalidMessage as exc:
                self._loop.barrier.report(exc)
            except EOFError:
                self.close()
                # It is about to exit. If it does not, it is of no use any more.
                self._loop.after(_LOADER_ENDS_SECONDS, self.kill_if_running)

    def kill_if_running(self) -> None:
        if not self._interpreter.has_ended:
            self.kill()


class ServerProcess:
    """A server process, from the order to fork it until its end.

    Signals go to it directly, through a descriptor that stands for exactly this process (Linux); elsewhere
    through the loader, because only the parent can be sure that a pid was not reused.
    """

    def __init__(self, number: int, spec: Spec, source: str, log: LastLines, loader: LoaderProcess) -> None:
        self.number = number
        self.spec = spec
        self.source = source
        self.log = log
        self.loader = loader
        self.pid: int | None = None
        self.cpu: int | None = None  # the processor that it is pinned to
        self.started_at = time.time()
        self.tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self.failure: Failed | None = None
        self.is_ready = False  # it has reported that it accepts connections
        self.has_hung_up = False  # its reports have ended
        self._pidfd: int | None = None
        self._readers: list[LineReader] = []
        self._has_ended = False

    def read(
        self,
        loop: Loop,
        output: int,
        reports: int,
        *,
        mark: bytes,
        emit: Emit,
        on_report: Callable[[ServerReport], None],
        on_end: Callable[[], None],
    ) -> None:
        """Pass on what it writes to its pipes.

        `output`: its stdout and stderr. `reports`: access log lines, which begin with `mark`, and messages.
        """

        def printed(lines: list[bytes]) -> None:
            texts = as_text(lines)
            self.log.add(texts, is_access=False)
            self.tail += [text[:_LONGEST_TAIL_LINE] for text in texts[-_TAIL_LINES:]]
            emit(events.Output(self.source, texts, complete=False))

        def message(line: bytes) -> None:
            on_report(SERVER_REPORTS.decode(line))

        def reported(lines: list[bytes]) -> None:
            logged = [line[len(mark) :] for line in lines if line.startswith(mark)]
            if logged:
                texts = as_text(logged)
                self.log.add(texts, is_access=True)
                emit(events.Output(self.source, texts, complete=True))
            if len(logged) < len(lines):
                for line in lines:
                    if line and not line.startswith(mark):
                        loop.barrier.call(partial(message, line))

        output_reader = LineReader(loop, output, printed)
        # What the app printed before its response comes before the access line.
        report_reader = LineReader(loop, reports, reported, on_end, before=output_reader.take_rest)
        self._readers = [output_reader, report_reader]

    @property
    def has_pidfd(self) -> bool:
        return self._pidfd is not None

    def take_output(self) -> None:
        """Read what it has written so far."""
        for reader in self._readers:
            reader.take_rest()

    def watch(self, loop: Loop, pidfd: int, on_end: Callable[[], None]) -> None:
        """Call `on_end` when it has exited, even if its loader cannot tell."""
        self._pidfd = pidfd

        def ended() -> None:
            loop.forget(pidfd)
            on_end()

        loop.on_readable(pidfd, ended)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal; SIGKILL goes to the workers that it has forked as well."""
        if self._has_ended:
            return
        if self._pidfd is not None:
            with contextlib.suppress(ProcessLookupError):
                if number == signal.SIGKILL and self.pid is not None:
                    send_signal(self.pid, number)
                else:
                    signal.pidfd_send_signal(self._pidfd, number)
        elif self.loader.has_channel:
            self.loader.send(Signal(self.number, int(number)))
        elif self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                send_signal(self.pid, number)

    def ended(self, loop: Loop) -> None:
        """It has exited: read the rest, and let go of it."""
        self.take_output()
        self._readers = []
        self._has_ended = True
        if self._pidfd is not None:
            loop.forget(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None


def as_text(lines: list[bytes]) -> list[str]:
    return [line.decode("utf-8", "replace") for line in lines]


def how_it_ended(code: int | None) -> str:
    """Describe an exit code, -N for signal N, None if unknown."""
    if code is None:
        return "ended"
    if code < 0:
        return f"was killed by {signal_name(-code)}"
    return f"ended with exit code {code}"


def signal_name(number: int) -> str:
    """SIGTERM, or `signal 40`: most real-time signals have no name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
