"""Adds the dashboard to a run, as one more service with its own app and port.

Its URL carries the run's key after the #, which browsers never send: the key is in no request, access log or
Referer. With the key one may act; without it, clients on this machine may only look.
"""

from __future__ import annotations

import os

from webdemo.cli.opening import Opened, open_sockets
from webdemo.config.binds import DASHBOARD_SERVER, dashboard_bind
from webdemo.config.settings import ANY_PORT
from webdemo.config.sources import Resolved
from webdemo.net.bindtext import authority
from webdemo.net.listener import listen_default
from webdemo.supervisor import control
from webdemo.supervisor.plan import Plan, service_for
from webdemo.worker.app_import import Target


def add_dashboard(resolved: Resolved, plan: Plan, listeners: Opened) -> tuple[Plan, str | None, str | None]:
    """Return the plan with the dashboard, its URL, and a note if its port moved; extends `listeners`."""
    wanted = dashboard_bind(resolved)
    if wanted is None:
        return plan, None, None
    note = None
    if resolved.settings.dashboard == ANY_PORT:
        bind, sockets, taken = listen_default(wanted)
        if taken:
            note = f"{taken.problem} The dashboard uses {bind.port} instead."
    else:
        [(bind, sockets)], _ = open_sockets([wanted], host=None, option="--dashboard")
    listeners.append((bind, sockets))
    key = os.urandom(18).hex()
    read_only = resolved.settings.dashboard_read_only
    service = service_for(bind, default_server=DASHBOARD_SERVER)._replace(
        binds=(bind,),
        target=Target(
            "webdemo.dashboard.app:make_app",
            arguments=(str(control.own_path()), key, read_only),
        ),
    )
    host, port = sockets[0].getsockname()[:2]
    place = authority(host, port)
    return plan._replace(services=(*plan.services, service)), f"http://{place}/#key={key}", note
