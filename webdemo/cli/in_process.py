"""`--in-process`: one server in the process that was started, for debuggers, profilers and notebooks.

There is no supervisor, no fork and no reload; the terminal is the app's, so that breakpoint() works.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from webdemo import servers
from webdemo.cli.opening import Opened, open_browser
from webdemo.middleware import stack
from webdemo.middleware.access_log import mark_of
from webdemo.portable import CAN_FORK
from webdemo.servers import registry
from webdemo.stats.counters import RequestCounter, SharedCounters, service_name
from webdemo.supervisor.listeners import Listener
from webdemo.supervisor.plan import Plan
from webdemo.supervisor.printer import open_lines
from webdemo.worker import app_import, interpreter

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


def serve(plan: Plan, opened: Opened, say: Callable[[str], None], *, opens: bool) -> int:
    """Serve until SIGINT or SIGTERM, then drain; returns the exit code. Raises WebdemoError."""
    interpreter.end_early()
    service = plan.services[0]
    adapter = registry.find(service.server)
    found = app_import.load(plan.target)
    listeners = Listener.of_all(opened)
    stopping = servers.Stopping()
    for name in ("SIGINT", "SIGTERM", "SIGBREAK"):  # the last is Ctrl-Break, on Windows only
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), lambda *_: stopping.set())

    def ready() -> None:
        urls = [url for listener in listeners for url in listener.urls(service.scheme)]
        say(f"App: {found.name}")
        listed = " ".join(urls)
        say(f"{adapter.name} serves {listed} in this process, without reload and restart. Stop with Ctrl-C.")
        for line in open_lines(url for listener in listeners for url in listener.open_urls(service.scheme)):
            say(line)
        if opens:
            open_browser(urls, say)

    with contextlib.closing(stopping), contextlib.ExitStack() as cleanup:
        if not CAN_FORK:
            stopping.wake_for_signals()
            cleanup.callback(signal.set_wakeup_fd, -1)
        adapter.serve(
            servers.Job(
                app=_wrapped(found.app, plan, listeners, stopping, say),
                sockets=[cleanup.enter_context(s.dup()) for listener in listeners for s in listener.sockets],
                options=adapter.parse_options(dict(service.options)),
                workers=1,
                certificate=None,
                ready=ready,
                stopping=stopping,
                grace_seconds=plan.grace_seconds,
            )
        )
    return 0


def _wrapped(
    app: WSGIApplication,
    plan: Plan,
    listeners: list[Listener],
    stopping: servers.Stopping,
    say: Callable[[str], None],
) -> WSGIApplication:
    """The app in the middleware; live reload, which needs the supervisor, is left out."""
    service, names = plan.services[0], tuple(listener.name for listener in listeners)
    adapter = registry.find(service.server)
    token = os.urandom(24).hex()
    settings = stack.EdgeSettings(
        process_id=0,
        token=token,
        service=service_name(service.server, names),
        server=service.server,
        version=adapter.version() or "",
        binds={name: listener.label() for name, listener in zip(names, listeners, strict=True)},
        features=plan.features._replace(live_reload=False),
    )
    counter = RequestCounter(SharedCounters(-1), settings.service)
    write = partial(_print_lines, mark_of(token))
    modules = adapter.modules_of_client_io
    return stack.wrap(app, settings, write, say, stopping.fileno(), counter, stopping, modules)


def _print_lines(mark: bytes, data: bytes) -> None:
    text = data.replace(mark, b"").decode("utf-8", "replace")
    if (stdout := sys.__stdout__) is not None:
        encoding = stdout.encoding or "utf-8"  # not UTF-8 where Windows redirects it
        with contextlib.suppress(ValueError):  # the app has closed it
            stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
            stdout.flush()
