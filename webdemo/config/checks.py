"""What a start refuses in the settings: `webdemo config` refuses the same, in the same words.

The rule: nothing here opens a socket, imports the app or changes anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from webdemo.config.binds import admin_bind, binds_or_default, dashboard_bind, wanted_binds
from webdemo.config.planning import check_watched, make_plan
from webdemo.config.settings import ANY_PORT, Settings
from webdemo.config.sources import Resolved, given_as
from webdemo.errors import UsageError
from webdemo.folders import check_folder
from webdemo.net.bind import Bind
from webdemo.net.listener import DEFAULT_PORT, refuse_overlaps
from webdemo.portable import CAN_FORK
from webdemo.servers import Certificate, registry
from webdemo.supervisor.plan import Plan


def check(resolved: Resolved, activated: Sequence[Bind] = ()) -> None:
    """Raise WebdemoError, with its remedy, for what cannot be served as the settings ask for."""
    settings = resolved.settings
    binds = binds_or_default(resolved, activated)
    dashboard, admin = dashboard_bind(resolved), admin_bind(resolved)
    plan = make_plan(resolved, binds)
    check_watched(plan)
    default = "" if wanted_binds(resolved, activated) else f"The default port {DEFAULT_PORT}"
    named = [(default or str(bind), bind) for bind in binds]
    if admin is not None:
        named.append((given_as(resolved, "admin"), admin))
    if dashboard is not None and settings.dashboard != ANY_PORT:
        named.append((given_as(resolved, "dashboard"), dashboard))
    refuse_overlaps(named)
    check_folders(resolved)
    _check_certificates(plan)
    if settings.in_process or not CAN_FORK:
        _check_in_process(settings, plan)


def check_folders(resolved: Resolved) -> None:
    """Raise UsageError for a folder that is missing or may not be read; an archive may be made later."""
    for name in ("directory", "app_dir", "assets_archive"):
        folder = getattr(resolved.settings, name)
        if folder and (name != "assets_archive" or Path(folder).exists()):
            check_folder(folder, given_as(resolved, name))


def _check_certificates(plan: Plan) -> None:
    given = [service.certificate for service in plan.services if isinstance(service.certificate, Certificate)]
    if given:
        from webdemo.supervisor import certificates

        for certificate in given:
            certificates.check(certificate)


def _check_in_process(settings: Settings, plan: Plan) -> None:
    """Raise UsageError for what needs the supervisor."""
    for name in ("admin", "dashboard"):
        if getattr(settings, name):
            raise UsageError(
                f"--{name} needs the supervisor, and one server is to run in this process.",
                remedy="Leave one of them out: " + (f"--{name} or --in-process" if CAN_FORK else f"--{name}"),
            )
    service = plan.services[0]
    adapter = registry.find(service.server)
    if len(plan.services) > 1 or service.workers > 1:
        raise UsageError(
            "One server, without workers, can run in this process.", remedy="Leave out the others."
        )
    if adapter.own_workers or adapter.opens_own_sockets or not adapter.runs_app or service.tls:
        raise UsageError(
            f"{service} cannot be served in this process.",
            remedy="Choose a server without workers of its own, and without TLS: --server waitress",
        )
