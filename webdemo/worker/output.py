"""What a server process writes to the supervisor: lines through pipes. Runs in the loader and its children.

The rule: no request waits for the supervisor, which may be stopped (SIGSTOP, a debugger). A pipe that stays
full delays its writers by _PATIENCE_SECONDS once. Then lines are dropped and counted until it has room again,
when their number is reported.
"""

from __future__ import annotations

import contextlib
import io
import os
import select
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_PATIENCE_SECONDS = 0.5  # a supervisor that runs takes what is in the pipe far sooner, even on a busy machine


class LossyPipe:
    """The write end of a pipe, in non-blocking mode. `report` is called with the number of dropped lines."""

    def __init__(self, fd: int, report: Callable[[int], None]) -> None:
        self._fd = fd
        self._report = report
        self._lock = threading.Lock()
        self._is_stuck = False
        self._is_mid_line = False
        self._dropped = 0
        os.register_at_fork(after_in_child=self._forked)

    def write(self, data: bytes) -> None:
        """Write it, or count its lines as dropped. Up to PIPE_BUF bytes are written whole or not at all."""
        while data and not self._is_stuck:
            try:
                written = os.write(self._fd, data)
            except BlockingIOError:
                if not wait_for_room(self._fd, _PATIENCE_SECONDS):
                    break
                continue
            except OSError:  # the supervisor, which reads the pipe, has died
                return
            self._is_mid_line = data[written - 1] != 0x0A
            if written == len(data):
                return
            data = data[written:]
        if data:
            self._drop(data)

    def _drop(self, data: bytes) -> None:
        with self._lock:
            self._dropped += data.count(b"\n")
            if not self._is_stuck:
                with contextlib.suppress(RuntimeError):  # no thread can be started: the next drop tries again
                    threading.Thread(target=self._resume, daemon=True).start()
                    self._is_stuck = True

    def _resume(self) -> None:
        wait_for_room(self._fd, None)
        with contextlib.suppress(OSError):  # the supervisor has died
            if self._is_mid_line:
                os.write(self._fd, b"\n")  # ends the line that was cut
        with self._lock:
            dropped, self._dropped = self._dropped, 0
            self._is_stuck = False
        with contextlib.suppress(OSError):
            self._report(dropped)

    def _forked(self) -> None:
        """Reset in a forked child, because the thread that resumes is the parent's."""
        self._lock = threading.Lock()
        self._is_stuck = False
        self._dropped = 0


class _Output(io.RawIOBase):
    """sys.stdout or sys.stderr: Python's own, or the LossyPipe once there is one."""

    pipe: ClassVar[LossyPipe | None] = None

    def __init__(self, original: TextIO) -> None:
        self._original = original  # kept, because it may close its descriptor when it is collected

    def fileno(self) -> int:
        return self._original.fileno()

    def writable(self) -> bool:
        return True

    def write(self, data: ReadableBuffer, /) -> int:
        if self.pipe is None:
            return os.write(self.fileno(), data)
        content = bytes(data)
        self.pipe.write(content)
        return len(content)


def replace_streams() -> None:
    """Make sys.stdout and sys.stderr streams that `use_lossy_output` can switch.

    Before the app is imported: its log handlers keep the streams that they find.
    """
    for name in ("stdout", "stderr"):
        original = getattr(sys, name)
        raw = _Output(original)
        stream = io.TextIOWrapper(
            raw if original.write_through else io.BufferedWriter(raw),  # type: ignore[type-var]
            encoding=original.encoding,
            errors=original.errors,
            line_buffering=True,
            write_through=original.write_through,
        )
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def use_lossy_output(report: Callable[[int], None]) -> None:
    """From now on, what Python code prints is dropped, instead of blocking, while nothing reads the pipe.

    Child processes and extension modules that write to descriptor 1 or 2 still block: O_NONBLOCK would make
    their writes fail. So the pipe is opened once more, which only Linux can; elsewhere prints block, too.
    """
    with contextlib.suppress(OSError):
        _Output.pipe = LossyPipe(os.open("/proc/self/fd/1", os.O_WRONLY | os.O_NONBLOCK), report)


def wait_for_room(fd: int, timeout_seconds: float | None) -> bool:
    """Wait until the pipe can be written to, or has no reader any more."""
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    return bool(poll.poll(None if timeout_seconds is None else timeout_seconds * 1000))
