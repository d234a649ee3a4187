"""The supervisor's event loop: descriptors, timers, signals, and calls from other threads."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import queue
import selectors
import signal
import socket
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, Protocol

Callback = Callable[[], None]


class HasDescriptor(Protocol):
    def fileno(self) -> int: ...


class Loop:
    """Runs callbacks in one thread, one at a time. `post` may be called from any thread."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._timers: list[tuple[float, int, Callback]] = []
        self._numbers = itertools.count()
        self._posted: queue.SimpleQueue[Callback] = queue.SimpleQueue()
        self._woken, self._waker = socket.socketpair()
        self._woken.setblocking(False)
        self._waker.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ, self._take_posted)
        self._running = True
        self._signals: dict[int, Any] = {}

    def on_readable(self, source: int | HasDescriptor, callback: Callback) -> None:
        self._selector.register(source, selectors.EVENT_READ, callback)

    def forget(self, source: int | HasDescriptor) -> None:
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(source)

    def after(self, seconds: float, callback: Callback) -> None:
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._numbers), callback))

    def post(self, callback: Callback) -> None:
        self._posted.put(callback)
        with contextlib.suppress(BlockingIOError, OSError):  # full: it is awake anyway; closed: nobody is
            self._waker.send(b"!")

    def on_signal(self, number: signal.Signals, callback: Callback) -> None:
        def handle(_number: int, _frame: FrameType | None) -> None:
            self.post(callback)

        self._signals[number] = signal.signal(number, handle)

    def run(self) -> None:
        """Run until `stop`."""
        old = signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        try:
            while self._running:
                timeout = max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else None
                for key, _ in self._selector.select(timeout):
                    # A callback before this one may have forgotten it, and closed it.
                    if self._selector.get_map().get(key.fd) is key:
                        key.data()
                while self._timers and self._timers[0][0] <= time.monotonic():
                    heapq.heappop(self._timers)[2]()
        finally:
            signal.set_wakeup_fd(old)
            for number, handler in self._signals.items():
                signal.signal(number, handler)
            self._selector.close()
            self._woken.close()
            self._waker.close()

    def stop(self) -> None:
        self._running = False

    def _take_posted(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._woken.recv(4096):
                pass
        while True:
            try:
                callback = self._posted.get_nowait()
            except queue.Empty:
                return
            callback()
