"""/servers: the servers of this run side by side, read-only.

It is the dashboard's overview without logs and buttons, shown only to clients on this machine. The page polls
once a second like any other client, so the figures include its own requests.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from webdemo.errors import WebdemoError
from webdemo.web import Request, Response
from webdemo.web.page import Site

if TYPE_CHECKING:
    from webdemo.dashboard.overview import Overview, Watch


# By process id: a worker forked from a process that already has a Watch makes its own.
_watches: dict[int, Watch] = {}


def add_servers_page(site: Site) -> None:
    @site.local_page("/servers")
    def servers(request: Request) -> Response:
        overview = look()
        if overview is None:
            return site.page("dashboard_absent.html")
        from webdemo.dashboard.view import context

        return site.page("dashboard_servers.html", **context(overview))

    @site.local_page("/servers/live")
    def servers_live(request: Request) -> Response | tuple[dict[str, str], int]:
        overview = look()
        if overview is None:
            return {"problem": "The supervisor does not answer."}, 503
        from webdemo.dashboard.view import context

        return site.page("dashboard_live.html", **context(overview))


def look() -> Overview | None:
    """The current state of the run that this process belongs to; None if there is none or it is silent."""
    pid = os.getpid()
    try:
        if pid not in _watches and (found := _find({pid, os.getppid()})):
            _watches[pid] = found
        return _watches[pid].look() if pid in _watches else None
    except WebdemoError:
        return None


def _find(pids: set[int]) -> Watch | None:
    """The run that has one of these pids among its server processes (for a worker, its parent's)."""
    from webdemo.dashboard.overview import Watch
    from webdemo.supervisor.control import instances

    for instance in instances():
        status = instance.status()
        if pids & {process.pid for service in status.services for process in service.processes}:
            return Watch(instance)
    return None
