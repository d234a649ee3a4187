"""The settings.

The rule: each setting is declared once, here; help, file and environment share its description, type and
default.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from webdemo.supervisor import plan as plans
from webdemo.worker.app_import import DEMO_SITE

ANY_PORT = "auto"
DASHBOARD_PORT = 9000


def setting(
    default: Any,
    text: str,
    *,
    flag: str = "",
    metavar: str = "",
    variable: str = "",
    choices: Iterable[str] = (),
    alone: str = "",
    is_port: bool = False,
) -> Any:
    """Declare a setting. `variable` is an environment variable that platforms set, besides WEBDEMO_NAME.

    `alone` is the value of the flag without an argument, and of `true` in a file. With `is_port`, it
    can be a number in a file.
    """
    facts = {
        "help": text,
        "flag": flag,
        "metavar": metavar,
        "variable": variable,
        "choices": tuple(choices),
        "alone": alone,
        "is_port": is_port,
    }
    return field(default=default, metadata=facts)


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting with its default."""

    app: str = setting(
        DEMO_SITE,
        "The WSGI app: MODULE:ATTR or 'MODULE:FACTORY()', found from the current folder.",
        metavar="MODULE:ATTR",
    )
    app_dir: str = setting(
        "", "The folder in which the app is found, instead of the current one.", metavar="DIR"
    )
    env_file: str = setting(
        "",
        "A file of variables for the app's environment, read each time it is loaded; those that are set stay "
        "as they are. With --debug: .env, if it exists.",
        metavar="FILE",
    )
    directory: str = setting(
        "", "Serve this folder instead of an app; then no settings file is read.", flag="-d", metavar="DIR"
    )
    bind: tuple[str, ...] = setting(
        (),
        "Where to listen and with which server: [SERVER[+https|+unix]://][HOST]:PORT[?option=value&...]. "
        "May be repeated, for example -b werkzeug://:8000 -b 'gunicorn://:8001?workers=2'.",
        flag="-b",
        metavar="BIND",
    )
    port: tuple[str, ...] = setting(
        (),
        "A port, several (8000,8005) or a range (8000-8003), with the default server; 0 is any free one. "
        "May be repeated. Default: 8000, or the next free port.",
        flag="-p",
        metavar="PORT",
        variable="PORT",
    )
    host: str = setting(
        "",
        "The address for binds that name none; * is every address. "
        "Defaults to loopback (127.0.0.1 and ::1), or to every address if PORT is in the environment.",
        metavar="HOST",
        variable="HOST",
    )
    server: str = setting(
        plans.DEFAULT_SERVER,
        "The server for binds that name none; to list them: webdemo servers.",
        flag="-s",
        metavar="SERVER",
    )
    workers: int = setting(
        0, "Processes for each server; 0 means 1.", flag="-w", metavar="N", variable="WEB_CONCURRENCY"
    )
    start_timeout: float = setting(
        60.0,
        "Seconds that importing the app, or starting a server, may take before it is given up.",
        metavar="SECONDS",
    )
    grace: float = setting(
        8.0, "Seconds that requests in flight have to finish at a stop.", metavar="SECONDS"
    )
    drain_delay: float = setting(
        0.0,
        "Seconds from failing /readyz until the ports close at a stop, in which everything is served as "
        "before; longer than a load balancer needs to notice.",
        metavar="SECONDS",
    )
    hang_timeout: float = setting(
        0.0,
        "Replace a server process in which a request has waited this long and none was completed; 0: never.",
        metavar="SECONDS",
    )
    share: bool = setting(
        True, "Import the app once for all server processes. With --no-share each imports its own copy."
    )
    reload: bool = setting(False, "Reload the app when its files change.")
    reload_path: tuple[str, ...] = setting(
        (), "Another folder or file to watch with --reload. May be repeated.", metavar="PATH"
    )
    debug: bool = setting(
        False,
        "For development, on this machine only: exceptions become pages with the traceback; implies --reload "
        "and --live-reload.",
    )
    live_reload: bool = setting(
        False, "Reload pages in the browser when files change; replace styles without a reload."
    )
    reload_exclude: tuple[str, ...] = setting(
        (),
        "Files or folders that --reload ignores: names, or paths below a watched folder, with * and ?. "
        "May be repeated, for example --reload-exclude 'data/*'.",
        metavar="PATTERN",
    )
    access_log: bool = setting(True, "Print a line for each request.")
    log_format: str = setting("text", "How the log is written.", choices=("text", "json"))
    health: bool = setting(False, "Serve /livez and /readyz, also while the app is being loaded.")
    admin: str = setting(
        "",
        "Answer /livez, /readyz, /metrics and /status at a separate address, however busy the servers "
        "are: a port (9180 is 127.0.0.1, *:9180 every address), or unix:///run/site/admin.sock.",
        metavar="ADDRESS",
        is_port=True,
    )
    release: str = setting(
        "",
        "The app's release, which /readyz and the metrics name. Default: the commit of the folder's git, or "
        "the name of a folder in releases/.",
        metavar="NAME",
    )
    metrics: bool = setting(
        False, "Serve /metrics with the figures of every server, for Prometheus, to local clients only."
    )
    metrics_networks: tuple[str, ...] = setting(
        (),
        "More clients that may read /metrics: addresses, networks, 'unix', '*' for all. "
        "For example 10.0.0.0/8. May be repeated.",
        metavar="ADDRESS",
    )
    trusted_proxies: tuple[str, ...] = setting(
        (),
        "Proxies whose X-Forwarded-* headers are trusted: addresses, networks, 'unix', '*' for all. "
        "May be repeated.",
        metavar="ADDRESS",
        variable="FORWARDED_ALLOW_IPS",
    )
    forwarded: str = setting(
        "x-forwarded", "The header family that those proxies write.", choices=("x-forwarded", "forwarded")
    )
    trace_hosts: tuple[str, ...] = setting(
        (),
        "A host that the demo site's /trace may contact, besides this machine; only for visitors of this "
        "machine. May be repeated.",
        metavar="HOST",
    )
    static: tuple[str, ...] = setting(
        (),
        "Serve the files of a folder below a path, before the app is asked: --static /static/=DIR. "
        "May be repeated.",
        metavar="PATH=DIR",
    )
    spa: bool = setting(
        False,
        "For single-page apps: a path without a file and without an extension is answered with the folder's "
        "index.html. For the folders of --directory and --static, like --cors and --immutable.",
    )
    cors: bool = setting(
        False, "Let pages of all sites read the folders' files (Access-Control-Allow-Origin: *)."
    )
    immutable: str = setting(
        "",
        "Files whose names contain a hash, so that browsers never ask for them again: a path below the "
        "folder, with * and ?, for example --immutable 'assets/*'.",
        metavar="PATTERN",
    )
    assets_archive: str = setting(
        "",
        "A folder with the fingerprinted files of several releases (webdemo assets publish); those that this "
        "release does not have are served from there.",
        metavar="DIR",
    )
    buffer_chunked: bool = setting(
        True,
        "Receive a chunked request body whole, up to 1 GiB, and give the app its CONTENT_LENGTH; "
        "--no-buffer-chunked is for apps that read it while it arrives.",
    )
    in_process: bool = setting(
        False,
        "Serve with one server in this process, without supervisor and reload: for breakpoint(), "
        "debuggers and profilers.",
    )
    open: bool = setting(
        False, "Open the browser when the servers are up; with --dashboard, open the dashboard."
    )
    dashboard: str = setting(
        "",
        "Show the servers side by side, live, on a port of its own, to local clients only. "
        f"Without PORT: {DASHBOARD_PORT}, or the next free port.",
        metavar="[PORT]",
        alone=ANY_PORT,
        is_port=True,
    )
    dashboard_read_only: bool = setting(False, "Disable the dashboard's buttons for restart, swap and stop.")


FIELDS = {f.name: f for f in dataclasses.fields(Settings)}
