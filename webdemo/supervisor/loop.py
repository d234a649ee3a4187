"""The supervisor's event loop: descriptors, timers, signals, and calls from other threads.

Runs in the main process. The rule: no exception in a callback or thread ends the run. Each is called
through the barrier, which reports what it raised; everything else keeps running.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import queue
import selectors
import signal
import socket
import threading
import time
import traceback
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed import FileDescriptorLike

Callback = Callable[[], None]

_REST_SECONDS = 1.0  # pause for a descriptor whose callback failed: still ready, it would fail again at once
_REPEATED_SECONDS = 60.0  # the same failure is reported at most this often
_MOST_REMEMBERED = 1000


class Barrier:
    """Calls functions that may fail, on any thread, and reports failures; a repeated one once a minute."""

    def __init__(self, report: Callable[[BaseException], None]) -> None:
        self._report = report
        self._reported: dict[tuple[object, ...], float] = {}

    def call(self, callback: Callable[[], object]) -> bool:
        """Call it, and report what it raises; True if it returned."""
        try:
            callback()
        except (Exception, SystemExit) as exc:  # noqa: BLE001 - whatever it is, the run continues
            self.report(exc)
            return False
        return True

    def report(self, exc: BaseException) -> None:
        with contextlib.suppress(Exception):  # out of memory, say: the run matters more than the report
            if self._is_news(exc):
                self._report(exc)

    def _is_news(self, exc: BaseException) -> bool:
        where = [(frame.f_code, line) for frame, line in traceback.walk_tb(exc.__traceback__)]
        failure = (type(exc), *where[-1:])
        now = time.monotonic()
        is_news = now - self._reported.get(failure, -_REPEATED_SECONDS) >= _REPEATED_SECONDS
        if is_news:
            if len(self._reported) >= _MOST_REMEMBERED:
                self._reported.clear()
            self._reported[failure] = now
        return is_news


class Loop:
    """Runs callbacks in one thread, one at a time. Only `post` may be called from other threads.

    `report` is called, in the loop's thread, with what a callback or a thread of `in_thread` raised.
    """

    def __init__(self, report: Callable[[BaseException], None]) -> None:
        self.barrier = Barrier(lambda exc: self.post(lambda: report(exc)))
        self._selector = selectors.DefaultSelector()
        self._resting: list[selectors.SelectorKey] = []
        self._timers: list[tuple[float, int, Callback]] = []
        self._numbers = itertools.count()
        self._posted: queue.SimpleQueue[Callback] = queue.SimpleQueue()
        self._woken, self._waker = socket.socketpair()
        self._woken.setblocking(False)
        self._waker.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ, self._take_posted)
        self._running = True
        self._signals: dict[int, Any] = {}

    def on_readable(self, source: FileDescriptorLike, callback: Callback) -> None:
        self._selector.register(source, selectors.EVENT_READ, callback)

    def on_writable(self, source: FileDescriptorLike, callback: Callback) -> None:
        self._selector.register(source, selectors.EVENT_WRITE, callback)

    def forget(self, source: FileDescriptorLike) -> None:
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(source)
        self._resting = [key for key in self._resting if key.fileobj != source]

    def after(self, seconds: float, callback: Callback) -> None:
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._numbers), callback))

    def every(self, seconds: float, callback: Callback) -> None:
        """Call it again and again, the first time after `seconds`."""

        def again() -> None:
            self.after(seconds, again)
            callback()

        self.after(seconds, again)

    def post(self, callback: Callback) -> None:
        self._posted.put(callback)
        with contextlib.suppress(BlockingIOError, OSError):  # full: it wakes up anyway; closed: it has ended
            self._waker.send(b"!")

    def in_thread(self, work: Callable[[], object]) -> None:
        """Run `work` in a new thread, through the barrier; raises RuntimeError if none can be started."""
        threading.Thread(target=self.barrier.call, args=(work,), daemon=True).start()

    def on_signal(self, number: int, callback: Callback, *, ignored_at_end: bool = False) -> None:
        """Call it in this loop. When the loop ends, the signal is ignored or handled as it was before."""

        def handle(_number: int, _frame: FrameType | None) -> None:
            self.post(callback)

        before = signal.signal(number, handle)
        self._signals[number] = signal.SIG_IGN if ignored_at_end else before

    def run(self) -> None:
        """Run until `stop`."""
        old = signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        try:
            while self._running:
                timeout = max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else None
                for key, _ in self._selector.select(timeout):
                    # An earlier callback of this round may have unregistered or closed it.
                    if self._is_wanted(key) and not self.barrier.call(key.data):
                        self._let_rest(key)
                now = time.monotonic()
                while self._timers and self._timers[0][0] <= now:  # those set meanwhile run in the next round
                    self.barrier.call(heapq.heappop(self._timers)[2])
        finally:
            signal.set_wakeup_fd(old)
            for number, handler in self._signals.items():
                signal.signal(number, handler)
            self._selector.close()
            self._woken.close()
            self._waker.close()

    def stop(self) -> None:
        self._running = False

    def _is_wanted(self, key: selectors.SelectorKey) -> bool:
        return self._selector.get_map().get(key.fd) is key

    def _let_rest(self, key: selectors.SelectorKey) -> None:
        """Stop polling this descriptor for _REST_SECONDS."""
        if not self._is_wanted(key):
            return
        self._selector.unregister(key.fileobj)
        self._resting.append(key)

        def look_again() -> None:
            if key in self._resting:
                self._resting.remove(key)
                self._selector.register(key.fileobj, key.events, key.data)

        self.after(_REST_SECONDS, look_again)

    def _take_posted(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._woken.recv(4096):
                pass
        while True:
            try:
                callback = self._posted.get_nowait()
            except queue.Empty:
                return
            self.barrier.call(callback)
