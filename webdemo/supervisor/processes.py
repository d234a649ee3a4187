"""The supervisor's side of other processes: loaders, and the server processes they fork.

Runs in the main process. The rule: messages from other processes are checked before they are used.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections import deque
from collections.abc import Callable
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING

from webdemo.errors import UsageError
from webdemo.supervisor.loop import Loop
from webdemo.worker import interpreter
from webdemo.worker.app_import import Target
from webdemo.worker.channel import Channel
from webdemo.worker.loader import send_signal
from webdemo.worker.messages import (
    NUMBER,
    TEXT,
    TEXTS,
    VERSIONS,
    Field,
    Form,
    Message,
    NoMessage,
    decode,
    fields,
    shown,
)

if TYPE_CHECKING:
    from webdemo.supervisor.service import RunningService

_TAIL_LINES = 20
_LONGEST_LINE = 8192
_LONGEST_REPORT = 1 << 20  # far longer than any real one
_OUTPUT_RESTS_SECONDS = 0.005
_LOADER_ENDS_SECONDS = 2.0  # after its channel was closed

OnOutput = Callable[[str, str, bool], None]
"""Called with each line: its source, its text, and whether it is an access log line."""

_FAILURE = {
    "problem": Field(TEXT),
    "remedy": Field(TEXT),
    "traceback": Field(TEXT, is_required=False),
    "exit_code": Field(NUMBER),
}
_OF_LOADERS: dict[str, Form] = {
    "loaded": {
        "seconds": Field(NUMBER),
        "not_shared_because": Field(TEXT, is_required=False),
        "sources": Field(TEXTS),
        "versions": Field(VERSIONS),
    },
    "failed": _FAILURE,
    "spawned": {"process": Field(NUMBER), "pid": Field(NUMBER)},
    "refused": {"process": Field(NUMBER)} | _FAILURE,
    "exited": {"process": Field(NUMBER), "code": Field(NUMBER, is_required=False)},
}
_OF_PROCESSES: dict[str, Form] = {"ready": {"sources": Field(TEXTS)}, "failed": _FAILURE}


class State(Enum):
    STARTING = "starting"
    READY = "ready"  # it reports that it accepts connections
    UP = "up"  # it has answered a probe
    DRAINING = "draining"
    DEAD = "dead"


class Process:
    """A server process, from the order to start it until its end."""

    def __init__(self, number: int, service: RunningService) -> None:
        self.number = number
        self.service = service
        self.loader: LoaderProcess | None = None  # None until one has been told to fork it
        self.has_begun = True  # False if it could not be created; a later attempt may succeed
        self.pid: int | None = None
        self.cpu: int | None = None  # the processor that it is pinned to
        self.state = State.STARTING
        self.ordered_at = time.monotonic()
        self.started_at = time.time()
        self.tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self.failure: Message | None = None
        self.was_draining = False  # its end was requested
        self.output: LineReader | None = None
        self.reports: LineReader | None = None

    def take_output(self) -> None:
        """Read what it has written so far."""
        for reader in (self.output, self.reports):
            if reader is not None:
                reader.take_rest()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal through the loader: only the parent can be sure that the pid was not reused."""
        if self.state is State.DEAD or self.loader is None:
            return
        if self.loader.alive:
            self.loader.send({"do": "signal", "process": self.number, "signal": int(number)})
        elif self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                send_signal(self.pid, number)


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
    """A loader: a process that imports the app (`share`), or leaves the import to each of its children.

    `servers` names the servers that it will fork; it imports them together with the app. With
    `wants_sources` it reports the folders of the app's code.
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
        on_output: OnOutput,
    ) -> None:
        self.share = share
        self.alive = True
        self.retired = False
        self.children = 0
        self._loop = loop
        self._on_message = on_message
        # The one started early has imported modules that a server may have to patch first.
        self._interpreter = interpreter.take_early() if share else interpreter.fresh()
        self._channel = Channel(self._interpreter.socket)
        self.pid = self._interpreter.pid
        LineReader(loop, self._interpreter.output, lambda line: on_output("app", _text(line), False))
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
                    self._loop.barrier.call(partial(self._take, message))
                return
            except NoMessage as exc:
                self._loop.barrier.report(exc)
            except EOFError:
                self.close()
                code = self.wait(_LOADER_ENDS_SECONDS)
                self._on_message(self, {"event": "gone", "code": code})

    def _take(self, message: Message) -> None:
        self._on_message(self, _checked(message, _OF_LOADERS))


def read_output(loop: Loop, fd: int, process: Process, on_output: OnOutput) -> LineReader:
    """Pass on what a server process writes to stdout and stderr, and keep its last lines."""
    source = str(process.service.service)

    def line(data: bytes) -> None:
        text = _text(data)
        process.service.log.add(text, is_access=False)
        process.tail.append(text)
        on_output(source, text, False)

    return LineReader(loop, fd, line, rest_seconds=_OUTPUT_RESTS_SECONDS)


def read_reports(
    loop: Loop,
    fd: int,
    process: Process,
    *,
    mark: bytes,
    on_output: OnOutput,
    on_message: Callable[[Message], None],
    on_end: Callable[[], None],
) -> LineReader:
    """Pass on what a server process reports: access log lines, which begin with `mark`, and messages."""
    source = str(process.service.service)
    length = len(mark)

    def line(data: bytes) -> None:
        if data.startswith(mark):
            text = _text(data[length:])
            process.service.log.add(text, is_access=True)
            on_output(source, text, True)
        elif data:
            on_message(_checked(decode(data), _OF_PROCESSES))

    def what_was_said_before() -> None:
        if process.output is not None:
            process.output.take_rest()

    return LineReader(
        loop,
        fd,
        line,
        on_end,
        longest=_LONGEST_REPORT,
        before=what_was_said_before,
        rest_seconds=_OUTPUT_RESTS_SECONDS,
    )


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _checked(message: Message, forms: dict[str, Form]) -> Message:
    """Return the message if it is one of these events and has the right fields, else raise NoMessage."""
    event = message.pop("event", None)
    form = forms.get(event) if isinstance(event, str) else None
    if form is None:
        raise NoMessage(f"there is no event {shown(event)}")
    try:
        return {"event": event} | fields(message, form)
    except UsageError as exc:
        raise NoMessage(f"{event}: {exc.problem}") from None


def how_it_ended(code: int | None) -> str:
    """Describe an exit code, -N for signal N, None if unknown."""
    if code is None:
        return "ended"
    if code < 0:
        return f"was ended by {_signal_name(-code)}"
    return f"ended with exit code {code}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # most real-time signals have no name
        return f"signal {number}"
