"""`--in-process`: one server in the process that was started, for debuggers, profilers and notebooks.

There is no supervisor, no fork and no reload; the terminal is the app's, so that breakpoint() works.
"""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING

from webdemo import servers
from webdemo.cli.opening import Opened, open_browser
from webdemo.middleware import stack
from webdemo.middleware.access_log import mark_of
from webdemo.portable import CAN_FORK
from webdemo.servers import registry
from webdemo.standard_streams import write_output
from webdemo.stats.counters import RequestCounter, SharedCounters, service_name
from webdemo.supervisor.listeners import Listener
from webdemo.supervisor.plan import Plan
from webdemo.supervisor.printer import open_lines
from webdemo.worker import app_import, interpreter

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


def serve(plan: Plan, opened: Opened, *, opens: bool) -> int:
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
        write_output(f"App: {found.name}")
        listed = " ".join(urls)
        write_output(
            f"{adapter.name} serves {listed} in this process, without reload and restart. Stop with Ctrl-C."
        )
        for line in open_lines(url for listener in listeners for url in listener.open_urls(service.scheme)):
            write_output(line)
        if opens:
            open_browser(urls, write_output)

    with contextlib.closing(stopping), contextlib.ExitStack() as cleanup:
        if not CAN_FORK:
            stopping.wake_for_signals()
            cleanup.callback(signal.set_wakeup_fd, -1)
        adapter.serve(
            servers.Job(
                app=_wrapped(found.app, plan, listeners, stopping),
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
    app: WSGIApplication, plan: Plan, listeners: list[Listener], stopping: servers.Stopping
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
    mark = mark_of(token)

    def write(data: bytes) -> None:
        write_output(data.replace(mark, b"").decode("utf-8", "replace"))

    modules = adapter.modules_of_client_io
    return stack.wrap(app, settings, write, write_output, stopping.fileno(), counter, stopping, modules)
