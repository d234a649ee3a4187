"""Processes that the app forks are its own: they have none of the run layer's handlers and pipes.

Runs in the loader, the server processes and their workers. The rule: what `os.fork` gives to a child is as
under the server's own command, where only the app had set signal handlers. (Programs that the app executes
get nothing anyway: executing resets handlers, and our descriptors are not inheritable.)
"""

from __future__ import annotations

import contextlib
import os
import signal
from _thread import get_ident
from collections.abc import Iterable, Iterator
from typing import Any

from webdemo.middleware import observe
from webdemo.net.descriptors import open_descriptors

# Those that the run layer uses: it sets its handlers again after the import of an app that has set its own.
_RUN_LAYERS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# And those for which Gunicorn sets a handler in its workers.
_ALL = (
    *_RUN_LAYERS,
    signal.SIGCHLD,
    signal.SIGQUIT,
    signal.SIGABRT,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGWINCH,
)

_handlers_of_app: dict[signal.Signals, Any] = {signal.SIGINT: signal.default_int_handler}
_ours: set[tuple[int, int]] = set()  # device and inode of our pipes and sockets
_forks_are_apps = False
_masks: dict[int, set[signal.Signals | int]] = {}  # of threads that are forking


def keep(descriptors: Iterable[int]) -> None:
    """These pipes and sockets, and their duplicates, are not for processes that the app forks."""
    for descriptor in descriptors:
        status = os.fstat(descriptor)
        if status.st_ino:  # some systems number no sockets
            _ours.add((status.st_dev, status.st_ino))


def begin() -> None:
    """From now on, whatever this process forks belongs to the app."""
    global _forks_are_apps
    _forks_are_apps = True


@contextlib.contextmanager
def importing_app() -> Iterator[None]:
    """Around the app's import: what it forks is the app's, and the run layer's handlers survive it."""
    global _forks_are_apps
    before = {number: signal.getsignal(number) for number in _ALL}
    earlier, _forks_are_apps = _forks_are_apps, True
    try:
        yield
    finally:
        _forks_are_apps = earlier
        for number, handler in before.items():
            if signal.getsignal(number) != handler:
                _handlers_of_app[number] = signal.getsignal(number)
            if number in _RUN_LAYERS:  # also if there is no difference: gevent's are not Python's
                signal.signal(number, handler)


def handler_of_app(number: signal.Signals) -> Any:
    """What the app has set for this signal, or the default."""
    return _handlers_of_app.get(number) or signal.SIG_DFL


def _before() -> None:
    """Defer signals: one that is sent to the child at once must not reach our handler, but the app's."""
    if _forks_are_apps:
        _masks[get_ident()] = signal.pthread_sigmask(signal.SIG_BLOCK, _ALL)


def _after() -> None:
    mask = _masks.pop(get_ident(), None)
    if mask is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _in_child() -> None:
    if _forks_are_apps:
        _let_go()
    _after()


def _let_go() -> None:
    """Give up all that is ours in a process that the app has forked."""
    global _forks_are_apps
    _forks_are_apps = False  # its own children inherit nothing of ours
    observe.in_apps_process = True
    signal.set_wakeup_fd(-1)
    for number in _ALL:
        if signal.getsignal(number) != handler_of_app(number):
            signal.signal(number, handler_of_app(number))
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in open_descriptors():
        with contextlib.suppress(OSError):  # the one of the listing
            status = os.fstat(descriptor)
            if (status.st_dev, status.st_ino) in _ours:
                # Not closed: an object still has its number, and would close a file of the app that gets it.
                os.dup2(nothing, descriptor, inheritable=False)
    os.close(nothing)


os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_in_child)
