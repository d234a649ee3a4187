"""A server process: forked by the loader, it serves until SIGTERM, and then drains.

It reports to the supervisor through a pipe of its own: that its server is about to accept, or why it
cannot, and the lines of the access log. Its stdout and stderr go to the supervisor as well, as output of
the app.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from webdemo import servers
from webdemo.errors import AppImportFailed, WebdemoError
from webdemo.middleware import stack
from webdemo.stats.counters import RequestCounter, SharedCounters, SiblingCounts
from webdemo.worker import app_import

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

FAILED = 1

_LONGEST_LINE = 2000
_LONGEST_TRACEBACK = 32_000


def order(
    *,
    server: str,
    options: dict[str, str],
    workers: int,
    has_siblings: bool,
    cpus: list[int],
    worker_cpus: list[int],
    certificate: servers.Certificate | servers.MadeCertificate | None,
    grace_seconds: float,
    settings: stack.EdgeSettings,
    target: app_import.Target,
) -> dict[str, Any]:
    """The order for a server process, JSON-serialisable; `serve` reads it. Called in the supervisor."""
    return {
        "server": server,
        "options": options,
        "workers": workers,
        "has_siblings": has_siblings,
        "cpus": cpus,
        "worker_cpus": worker_cpus,
        "certificate": {name: str(value) for name, value in certificate._asdict().items()}
        if certificate
        else None,
        "grace_seconds": grace_seconds,
        "settings": settings._asdict(),
        "target": target._asdict(),
    }


def serve(order: dict[str, Any], descriptors: list[int], app: WSGIApplication | None) -> int:
    """Serve until drained; returns the exit code. If `app` is None, this process imports its own copy.

    `descriptors`: the report pipe, stdout and stderr, the one that is readable when the run ends, the
    counters' shared memory, and the listening sockets.
    """
    reports, output, draining, counting, *listening = descriptors
    # The loader has opened stdin as /dev/null.
    os.dup2(output, 1)
    os.dup2(output, 2)
    stopping = servers.Stopping()
    mine: SiblingCounts | None = None

    def siblings() -> SiblingCounts:
        nonlocal mine
        mine = counter.siblings()
        if stopping.is_set():
            mine.leave()
        return mine

    def drain(*_: object) -> None:
        stopping.set()
        if mine is not None:
            mine.leave()

    def ready() -> None:
        try:
            tell(reports, {"event": "ready", "sources": sources})
        except BrokenPipeError:  # the supervisor has died
            stopping.set()

    signal.signal(signal.SIGTERM, drain)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    for name in (signal.SIGINT, signal.SIGHUP):
        signal.signal(name, lambda *_: None)  # not SIG_IGN, which programs started by the app would inherit
    if order["cpus"] and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, order["cpus"])
    adapter = servers.find(order["server"])
    sources: list[str] = []
    cleanup = contextlib.ExitStack()
    try:
        settings = stack.EdgeSettings(**order["settings"])
        counter = RequestCounter(SharedCounters(counting), settings.service)
        if not adapter.runs_app:
            app = stack.not_loaded
        else:
            if app is None:
                if adapter.before_import is not None:
                    adapter.before_import()
                app = app_import.load(app_import.Target(**order["target"]))
                sources = app_import.source_folders()
            app = stack.wrap(app, settings, reports, draining, counter)
        adapter.serve(
            servers.Job(
                app=app,
                sockets=[_adopt(fd) for fd in listening],
                options=adapter.parse_options(order["options"]),
                workers=order["workers"],
                worker_cpus=order["worker_cpus"],
                certificate=cleanup.enter_context(_certificate(order["certificate"])),
                ready=ready,
                stopping=stopping,
                grace_seconds=order["grace_seconds"],
                directory=order["target"]["directory"],
                siblings=siblings if order["has_siblings"] else None,
                log=_log if settings.access_log else lambda line: None,
            )
        )
    except WebdemoError as exc:
        tell(reports, failure(exc))
        return FAILED
    except Exception:  # noqa: BLE001 - a server's failure, of any kind, goes to its log
        traceback.print_exc()
        return FAILED
    finally:
        cleanup.close()
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


def _certificate(
    given: dict[str, str] | None,
) -> contextlib.AbstractContextManager[servers.Certificate | None]:
    if given is None:
        return contextlib.nullcontext()
    if "pem" not in given:
        return contextlib.nullcontext(servers.Certificate(Path(given["chain"]), Path(given["key"])))
    from webdemo.worker.pem_file import as_file

    return as_file(servers.MadeCertificate(given["pem"]))


def _log(line: str) -> None:
    print(line, flush=True)


def _adopt(fd: int) -> socket.socket:
    sock = socket.socket(fileno=fd)
    sock.setblocking(False)  # another process may accept the connection first
    return sock


def tell(reports: int, message: dict[str, Any]) -> None:
    """Write a message to the report pipe, on a line of its own whatever was written before."""
    data = b"\n" + json.dumps(message).encode() + b"\n"
    while data:
        data = data[os.write(reports, data) :]


def failure(exc: WebdemoError) -> dict[str, Any]:
    """The message for a failure to load the app or to serve, of bounded length."""
    text = exc.traceback if isinstance(exc, AppImportFailed) else None
    return {
        "event": "failed",
        "problem": _shortened(exc.problem, _LONGEST_LINE),
        "remedy": _shortened(exc.remedy, _LONGEST_LINE),
        "traceback": text and _shortened(text, _LONGEST_TRACEBACK),
        "exit_code": exc.exit_code,
    }


def _shortened(text: str, most: int) -> str:
    left_out = len(text) - most
    if left_out <= 0:
        return text
    return f"{text[: most // 2]} ... ({left_out} characters left out) ... {text[-(most // 2) :]}"
