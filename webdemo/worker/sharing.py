"""Whether an imported app can be shared by fork: whether its import made nothing for one process alone.

Runs in the loader. The rule: an app behaves as if each server process had imported it. What would differ
after a fork (a thread is gone, a connection is shared, random numbers repeat, a temporary folder is removed
by the first process that exits) makes the app one that is not shared, and the start says why.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import gc
import os
import stat
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from webdemo.user_code import is_installed, is_own

_THREAD_ENDS_SECONDS = 0.05  # a thread that was joined may be listed a moment longer
_GENERATORS = (("random", "Random"), ("numpy.random", "Generator"), ("numpy.random", "RandomState"))


class Observed:
    """What an import leaves behind in this process; made before the import."""

    def __init__(self) -> None:
        self._threads = _tasks()
        self._descriptors = set(_descriptors())
        self._finalizers = _finalizers()
        self._has_exit_handler = False

    @contextlib.contextmanager
    def importing(self) -> Iterator[None]:
        """Around the import: notices functions that the app's own code registers to be called at exit."""
        gc.freeze()  # objects that exist already, such as those of the servers, are not the app's
        register: Any = atexit.register

        def noticed(function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Any:
            if is_own(sys._getframe(1).f_code.co_filename):
                self._has_exit_handler = True
            return register(function, *arguments, **named)

        atexit.register = noticed
        try:
            yield
        finally:
            atexit.register = register

    def why_not_shared(self) -> str | None:
        """What the import made for this process alone, in words; None if nothing."""
        what = (
            self._started()
            or self._opened()
            or ("made a temporary file or folder" if _has_temporary_files() else None)
            or ("registered a function to be called at exit" if self._has_exit_handler else None)
            or ("registered a finalizer" if _finalizers() > self._finalizers else None)
            or ("made a random number generator" if _has_generator() else None)
        )
        return f"importing the app {what}" if what else None

    def _started(self) -> str | None:
        threads = [t.name for t in threading.enumerate() if t is not threading.main_thread()]
        if threads:
            return f"started a thread ({threads[0]})"
        deadline = time.monotonic() + _THREAD_ENDS_SECONDS
        while others := _tasks() - self._threads:
            if time.monotonic() > deadline:
                return f"started a thread ({_task_name(min(others))})"
            time.sleep(0.002)
        with contextlib.suppress(ChildProcessError):
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            return "started a process"
        return None

    def _opened(self) -> str | None:
        for descriptor, mode in _descriptors():
            if (descriptor, mode) in self._descriptors:
                continue
            if stat.S_ISSOCK(mode):
                return "opened a socket"
            if stat.S_ISFIFO(mode):
                return "opened a pipe"
            if not stat.S_IFMT(mode):
                return "opened an event queue"  # epoll, inotify, eventfd ...
            if stat.S_ISREG(mode) and _is_written_at_an_offset(descriptor):
                return "opened a file for writing"
        return None


def _tasks() -> set[str]:
    """The threads of this process, those of libraries in C included (Linux; elsewhere empty)."""
    try:
        return {path.name for path in Path("/proc/self/task").iterdir()}
    except OSError:
        return set()


def _task_name(task: str) -> str:
    try:
        return Path("/proc/self/task", task, "comm").read_text().strip()
    except OSError:
        return task


def _descriptors() -> Iterator[tuple[int, int]]:
    """The open descriptors of this process, each with its file type and mode."""
    with contextlib.suppress(OSError):  # no /proc is mounted
        for path in list(Path("/dev/fd").iterdir()):
            with contextlib.suppress(OSError):  # the descriptor used for this listing
                yield int(path.name), os.fstat(int(path.name)).st_mode


def _is_written_at_an_offset(descriptor: int) -> bool:
    """Whether it was opened for writing, and not for appending, which several processes can do."""
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    return flags & os.O_ACCMODE != os.O_RDONLY and not flags & os.O_APPEND


def _finalizers() -> int:
    """How many weakref.finalize objects will be called at exit; TemporaryDirectory has one.

    Those that call a method of an installed package are not counted: each of Django's signals has one.
    """
    registry: dict[weakref.finalize[..., Any], object] = getattr(weakref.finalize, "_registry", {})
    alive = [(finalizer, finalizer.peek()) for finalizer in list(registry)]
    return sum(finalizer.atexit for finalizer, call in alive if call and not _is_installed(call[1]))


def _is_installed(function: Any) -> bool:
    return is_installed(getattr(getattr(function, "__code__", None), "co_filename", ""))


def _has_temporary_files() -> bool:
    """Whether a file or folder was given a name by the module tempfile."""
    return getattr(sys.modules.get("tempfile"), "_name_sequence", None) is not None


def _has_generator() -> bool:
    """Whether the import made a random number generator; that of the module random is reseeded by a fork."""
    kinds = {
        kind
        for module, name in _GENERATORS
        if module in sys.modules
        for kind in _with_subclasses(getattr(sys.modules[module], name))
    }
    if not kinds:
        return False
    import random

    known = random.random.__self__  # type: ignore[attr-defined]
    kinds -= set(_with_subclasses(random.SystemRandom))
    return any(type(found) in kinds and found is not known for found in gc.get_objects())


def _with_subclasses(kind: type) -> Iterator[type]:
    yield kind
    subclasses: list[type] = type.__subclasses__(kind)
    for subclass in subclasses:
        yield from _with_subclasses(subclass)
