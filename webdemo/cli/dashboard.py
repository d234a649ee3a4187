"""Adds the dashboard to a run: one more service, with an app and a port of its own.

Its URL carries the key of this run behind the #, which browsers keep to themselves: it is in no request,
no access log and no Referer. Who has the key may act; whoever else opens the page on this machine may look.
"""

from __future__ import annotations

import os

from webdemo import config
from webdemo.cli.opening import Opened, open_sockets
from webdemo.net.listener import listen_default
from webdemo.supervisor import control
from webdemo.supervisor.plan import Plan, service_for
from webdemo.worker.app_import import Target


def add_dashboard(
    resolved: config.Resolved, plan: Plan, listeners: Opened
) -> tuple[Plan, str | None, str | None]:
    """The plan with the dashboard, its URL, and a note if its port has moved; adds to `listeners`."""
    wanted = config.dashboard_bind(resolved)
    if wanted is None:
        return plan, None, None
    note = None
    if resolved.settings.dashboard == config.ANY_PORT:
        bind, sockets, taken = listen_default(wanted)
        if taken:
            note = f"{taken.problem} The dashboard uses {bind.port} instead."
    else:
        [(bind, sockets)], _ = open_sockets([wanted], host=None)
    listeners.append((bind, sockets))
    key = os.urandom(18).hex()
    read_only = resolved.settings.dashboard_read_only
    arguments = f"{str(control.own_path())!r}, key={key!r}, read_only={read_only}"
    service = service_for(bind, default_server=config.DASHBOARD_SERVER)._replace(
        binds=(bind,),
        target=Target(app=f"webdemo.dashboard.app:make_app({arguments})"),
    )
    host, port = sockets[0].getsockname()[:2]
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return plan._replace(services=(*plan.services, service)), f"http://{place}/#key={key}", note
