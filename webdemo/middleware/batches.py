"""Items that are handled together, in a thread, a moment later. Runs in the server processes.

A system call for each would make a request give up the GIL once more, which costs more than the call itself;
and what is done for many at once takes half of the time, because it stays in the processor's cache.
"""

from __future__ import annotations

import atexit
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from webdemo.portable import after_fork_in_child
from webdemo.standard_streams import write_log

T = TypeVar("T")

_SECONDS = 0.02


class Batches(Generic[T]):
    """Calls `handle` with the items that were added, at most _SECONDS later; the last time at exit.

    A forked child starts without items: those of its parent are handled by its parent.
    """

    def __init__(self, handle: Callable[[list[T]], object]) -> None:
        self._handle = handle
        self._items: deque[T] = deque()
        self._reset()
        after_fork_in_child(self._reset)
        atexit.register(self.flush)

    def _reset(self) -> None:
        self._items.clear()
        self._is_idle = True  # the next item wakes the thread; faster to ask than the event
        self._has_items = threading.Event()
        self._has_thread = False
        self._flushing = threading.Lock()

    def add(self, item: T) -> None:
        self._items.append(item)
        if self._is_idle:
            self._is_idle = False
            self._has_items.set()
            if not self._has_thread:
                self._start_thread()

    def _start_thread(self) -> None:
        try:
            threading.Thread(target=self._run, daemon=True).start()
            self._has_thread = True
        except RuntimeError:  # the thread limit is reached
            self._is_idle = True
            self.flush()

    def _run(self) -> None:
        while True:
            time.sleep(_SECONDS)
            if not self._items:
                self._has_items.clear()
                self._is_idle = True  # what is added from now on sets the event
                if not self._items:
                    self._has_items.wait()
                    continue
            try:
                self.flush()
            except Exception:  # noqa: BLE001 - the next batch may be handled
                write_log(traceback.format_exc())

    def flush(self) -> None:
        """Handle now what was added so far."""
        with self._flushing:
            items = [self._items.popleft() for _ in range(len(self._items))]
            if items:
                self._handle(items)
