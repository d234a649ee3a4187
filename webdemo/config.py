"""Settings: from a file, the environment and the command line, in rising priority, to a Plan.

The file is the project's, in the current folder. With --directory no file is read: the folder being served,
or its parent, may be under the control of someone else.

The rule: each setting is declared once, here; help, file and environment share its description, type and
default. An unknown setting is refused with the nearest known name.
"""

from __future__ import annotations

import dataclasses
import os
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from webdemo import __version__, servers
from webdemo.errors import UsageError
from webdemo.middleware.stack import Features
from webdemo.middleware.static_mounts import FolderOptions, Mount
from webdemo.net.addresses import LOOPBACK
from webdemo.net.bind import ALL_ADDRESSES, Bind, parse_ports
from webdemo.servers import nearest, parse_value
from webdemo.stats.exposition import About
from webdemo.supervisor import plan as plans
from webdemo.syntax import is_loopback
from webdemo.worker.app_import import DEMO_SITE, Target, read_env_file

FILE = "webdemo.toml"
PYPROJECT = "pyproject.toml"
PREFIX = "WEBDEMO_"
ENV_FILE = ".env"
SECRET_KEY = "WEBDEMO_SECRET_KEY"  # read by the app itself
DEFAULT = "default"

DASHBOARD_PORT = 9000
DASHBOARD_SERVER = "waitress"
ANY_PORT = "auto"

# These both say where to listen: a source that gives one of them overrides both of lower-priority sources.
PLACES = ("bind", "port")


def setting(
    default: Any,
    text: str,
    *,
    flag: str = "",
    metavar: str = "",
    variable: str = "",
    choices: Iterable[str] = (),
    alone: str = "",
) -> Any:
    """Declare a setting. `variable` is an environment variable that platforms set, besides WEBDEMO_NAME.

    `alone` is the value of the flag without an argument, and of `true` in a file.
    """
    facts = {
        "help": text,
        "flag": flag,
        "metavar": metavar,
        "variable": variable,
        "choices": tuple(choices),
        "alone": alone,
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
        0, "Processes for each server; 0 is one.", flag="-w", metavar="N", variable="WEB_CONCURRENCY"
    )
    start_timeout: float = setting(
        60.0,
        "Seconds that importing the app, and starting a server, may take; then it is given up.",
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
        "Replace a server process in which a request has waited so long while none was completed; 0: never.",
        metavar="SECONDS",
    )
    share: bool = setting(
        True, "Import the app once for all server processes. With --no-share each imports its own copy."
    )
    reload: bool = setting(False, "Reload the app when its files change.")
    reload_path: tuple[str, ...] = setting(
        (), "A further folder or file to watch with --reload.", metavar="PATH"
    )
    debug: bool = setting(
        False,
        "For development, on this machine only: exceptions become pages with the traceback; implies --reload "
        "and --live-reload.",
    )
    live_reload: bool = setting(
        False, "Reload pages in the browser when files change; exchange styles without a reload."
    )
    reload_exclude: tuple[str, ...] = setting(
        (),
        "Files or folders whose changes reload nothing: names, or paths from a watched folder, with * and ?. "
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
        "Other clients that may read /metrics: addresses, networks, 'unix', '*' for all. "
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
        "A host that the demo site's /trace may contact, beside this machine; only for visitors of this "
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
        "Serve with one server in this very process, without supervisor and reload: for breakpoint(), "
        "debuggers and profilers.",
    )
    open: bool = setting(
        False, "Open the browser when the servers are up; with --dashboard on the dashboard."
    )
    dashboard: str = setting(
        "",
        "Show the servers side by side, live, on its own port, to local clients only. "
        f"Without PORT: {DASHBOARD_PORT}, or the next free port.",
        metavar="[PORT]",
        alone=ANY_PORT,
    )
    dashboard_read_only: bool = setting(False, "Disable the dashboard's restart, swap and stop.")


FIELDS = {f.name: f for f in dataclasses.fields(Settings)}


class Resolved(NamedTuple):
    """The settings, and the source of each value."""

    settings: Settings
    sources: Mapping[str, str]
    on_platform: bool  # PORT is in the environment: a platform routes requests to us from another machine


def resolve(flags: Mapping[str, Any], environment: Mapping[str, str], folder: Path) -> Resolved:
    """Read the settings from the file in `folder`, the environment and the flags; raises UsageError."""
    values: dict[str, Any] = {name: f.default for name, f in FIELDS.items()}
    sources = dict.fromkeys(values, DEFAULT)
    given_here = [_from_environment(environment), _from_flags(flags)]
    if not _serves_folder(given_here):
        given_here.insert(0, _from_file(folder))
    for given in given_here:
        if given.keys() & set(PLACES):
            for name in PLACES:
                values[name], sources[name] = (), DEFAULT
        # An app on the command line replaces a folder from the file or the environment.
        if "app" in given and "directory" not in given:
            values["directory"], sources["directory"] = "", DEFAULT
        for name, (value, source) in given.items():
            values[name], sources[name] = value, source
    settings = Settings(**values)
    if sources["app"] != DEFAULT and sources["app"] == sources["directory"]:
        raise UsageError("--app and --directory exclude each other.", remedy="Leave one of them out.")
    return Resolved(settings, sources, on_platform=bool(environment.get("PORT")))


def _serves_folder(given_here: list[dict[str, tuple[Any, str]]]) -> bool:
    """Whether the source of highest priority that says what to serve names a folder."""
    says = [given for given in given_here if given.keys() & {"app", "directory"}]
    return bool(says) and "directory" in says[-1]


def _from_flags(flags: Mapping[str, Any]) -> dict[str, tuple[Any, str]]:
    return {name: (value, "flag") for name, value in flags.items() if value is not None and value != ()}


def _from_environment(environment: Mapping[str, str]) -> dict[str, tuple[Any, str]]:
    given = {}
    for name, f in FIELDS.items():
        for variable in (f.metadata["variable"], PREFIX + name.upper()):
            if text := environment.get(variable, "").strip():
                given[name] = (_read_text(f, variable, text), variable)
    for variable in environment:
        name = variable.removeprefix(PREFIX).lower()
        if variable.startswith(PREFIX) and name not in FIELDS and variable != SECRET_KEY:
            raise _unknown(variable, (PREFIX + n.upper() for n in FIELDS), "The environment")
    return given


def _from_file(folder: Path) -> dict[str, tuple[Any, str]]:
    for name in (FILE, PYPROJECT):
        path = folder / name
        if not path.is_file():
            continue
        table = _table(path)
        if name == PYPROJECT:
            table = table.get("tool", {}).get("webdemo", {})
            if not table:
                continue
        return {
            _field(key, name).name: (_read_value(_field(key, name), name, v), name)
            for key, v in table.items()
        }
    return {}


def _table(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text("utf-8")
        if path.name == PYPROJECT and "webdemo" not in text:
            return {}  # skips the import of tomllib: every Python project has this file
        import tomllib

        return tomllib.loads(text)
    except (ValueError, OSError) as exc:  # not TOML, not UTF-8, or not readable
        raise UsageError(
            f"{path.name} cannot be read: {exc}.", remedy="Fix the TOML syntax, or the file's permissions."
        ) from exc


def _field(key: str, source: str) -> dataclasses.Field[Any]:
    name = key.replace("-", "_")
    if name not in FIELDS:
        raise _unknown(key, (n.replace("_", "-") for n in FIELDS), source)
    return FIELDS[name]


def _unknown(key: str, known: Iterable[str], source: str) -> UsageError:
    known = list(known)
    guess = nearest(key, known)
    remedy = f"Did you mean {guess}?" if guess else f"These are known: {', '.join(known)}."
    return UsageError(f"{source} has a setting that is not known: {key}.", remedy=remedy)


def _read_text(f: dataclasses.Field[Any], source: str, text: str) -> Any:
    if f.type == "tuple[str, ...]":
        # A bind may contain commas, so binds are separated by spaces only.
        return tuple(text.split() if f.name == "bind" else text.replace(",", " ").split())
    return _check_choice(f, source, parse_value(source, str(f.type), text))


def _read_value(f: dataclasses.Field[Any], source: str, value: Any) -> Any:
    """Convert a TOML value to the setting's type; one item counts as a list. Raises UsageError."""
    what = f"{f.name.replace('_', '-')} in {source}"
    if f.type == "tuple[str, ...]":
        items = value if isinstance(value, list) else [value]
        if all(isinstance(item, str | int) and not isinstance(item, bool) for item in items):
            return tuple(map(str, items))
    elif f.type == "str" and isinstance(value, str):
        return _check_choice(f, what, value)
    elif f.metadata["alone"] and isinstance(value, bool | int):
        return {True: f.metadata["alone"], False: f.default}[value] if isinstance(value, bool) else str(value)
    elif f.type == "bool" and isinstance(value, bool):
        return value
    elif f.type in ("int", "float") and isinstance(value, int | float) and not isinstance(value, bool):
        return parse_value(what, str(f.type), str(value))
    form = {"tuple[str, ...]": "a list of strings", "str": "a string", "bool": "true or false"}
    raise UsageError(f"{what} cannot be {value!r}.", remedy=f"It is {form.get(str(f.type), 'a number')}.")


def _check_choice(f: dataclasses.Field[Any], source: str, value: Any) -> Any:
    choices = f.metadata["choices"]
    if choices and value not in choices:
        raise UsageError(f"{source} cannot be {value!r}.", remedy=f"Choose {' or '.join(choices)}.")
    return value


def binds(resolved: Resolved, activated: Iterable[Bind] = ()) -> list[Bind]:
    """Every bind that the settings ask for, with its host; empty means the default port, which may move."""
    settings = resolved.settings
    wanted = [Bind.parse(text) for text in settings.bind]
    for text in settings.port:
        wanted += [Bind(port=port) for port in parse_ports(text)]
    return [*(_with_host(bind, resolved) for bind in wanted), *activated]


def _with_host(bind: Bind, resolved: Resolved) -> Bind:
    if bind.port is None or bind.host is not None:
        return bind
    return replace(bind, host=default_host(resolved, bind.server))


def dashboard_bind(resolved: Resolved) -> Bind | None:
    """The dashboard's bind, always on loopback; None without a dashboard. Raises UsageError."""
    text = resolved.settings.dashboard
    if not text:
        return None
    ports = [DASHBOARD_PORT] if text == ANY_PORT else parse_ports(text)
    if len(ports) > 1:
        raise UsageError(
            f"The dashboard has one port, not {text}.", remedy=f"Choose one: --dashboard {ports[0]}"
        )
    return Bind(server=DASHBOARD_SERVER, port=ports[0])


def admin_bind(resolved: Resolved) -> Bind | None:
    """Where the admin address is; None without one. Raises UsageError."""
    text = resolved.settings.admin
    if not text:
        return None
    bind = Bind.parse(f":{text}" if text.isdecimal() else text)
    if bind.server or bind.tls or bind.fd is not None or bind.server_options:
        raise UsageError(f"{text} is no admin address.", remedy="Give a port or a Unix socket: --admin 9180")
    return replace(bind, host=bind.host or LOOPBACK[0]) if bind.port is not None else bind


def default_host(resolved: Resolved, server: str | None = None) -> str | None:
    """The host for binds of this server, or of the default one, that name none; None means loopback."""
    if resolved.settings.host:
        return Bind(host=resolved.settings.host, port=0).host
    adapter = servers.find(server or resolved.settings.server)
    # A platform routes HTTP only; SMTP and FTP are opened to other machines only by an explicit host.
    if resolved.on_platform and adapter.runs_app:
        return ALL_ADDRESSES
    return None if adapter.several_sockets else LOOPBACK[0]


def why_host(resolved: Resolved) -> str | None:
    """Why binds that name no host are open to other machines; None if they are not."""
    if resolved.on_platform and not resolved.settings.host:
        return (
            "Listening on every address, because PORT is in the environment; --host 127.0.0.1 changes that."
        )
    return None


def development_server_note(resolved: Resolved, binds: Iterable[Bind]) -> str | None:
    """A note if Werkzeug's development server is open to other machines; None otherwise."""
    default = resolved.settings.server
    is_open = any(
        (bind.server or default) == plans.DEFAULT_SERVER
        and bind.host is not None
        and not _is_loopback(bind.host)
        for bind in binds
    )
    if not is_open:
        return None
    why = "PORT is in the environment, and no server is named: " if resolved.on_platform else ""
    return f"{why}Werkzeug's development server is open to other machines; for production: --server gunicorn"


def settings_note(resolved: Resolved) -> str | None:
    """A note on which file set what, or why an existing one was not read; None if there is neither."""
    names = [name for name, source in resolved.sources.items() if source in (FILE, PYPROJECT)]
    if names:
        listed = ", ".join(name.replace("_", "-") for name in names)
        return f"Settings from {resolved.sources[names[0]]}: {listed}."
    if resolved.settings.directory and Path(FILE).is_file():
        return f"{FILE} is not read, because --directory serves a folder and runs no project."
    return None


def target(s: Settings) -> Target:
    """What to serve. Raises UsageError."""
    return Target(
        app=s.app,
        directory=str(Path(s.directory).absolute()) if s.directory else None,
        folder_options=_folder_options(s) if s.directory else FolderOptions(),
        environment=FOR_DEBUG if s.debug else (),
        env_file=str(Path(s.env_file).absolute()) if s.env_file else None,
        folder=_app_folder(s.app_dir),
    )


def mounts(s: Settings) -> tuple[Mount, ...]:
    """The folders of --static. Raises UsageError."""
    options = _folder_options(s)
    return tuple(Mount.parse(text, options) for text in s.static)


def archive_note(resolved: Resolved) -> str | None:
    """A note if the assets archive is missing, which costs only other releases' assets; None otherwise."""
    archive = resolved.settings.assets_archive
    if not archive or Path(archive).is_dir():
        return None
    return f"The assets archive {archive} does not exist; webdemo assets publish makes it."


def make_plan(resolved: Resolved, wanted: Iterable[Bind]) -> plans.Plan:
    """The Plan for these binds; raises UsageError if a server cannot do what is asked."""
    s = resolved.settings
    _check_seconds(s)
    for networks, what in (
        (s.trusted_proxies, "A trusted proxy"),
        (s.metrics_networks, "A network that may read /metrics"),
    ):
        if networks:
            from webdemo.middleware.proxy_headers import Networks

            Networks(networks, what)  # refused here, not in a server process
    wanted = list(wanted)
    if s.debug:
        _check_debug(resolved, wanted)
    services = plans.services(wanted, default_server=s.server, workers=s.workers or None)
    return plans.Plan(
        target=target(s),
        services=tuple(service._replace(share=s.share) for service in services),
        start_seconds=s.start_timeout,
        drain_delay_seconds=s.drain_delay,
        grace_seconds=s.grace,
        hang_seconds=s.hang_timeout,
        features=Features(
            health=s.health,
            about=About(__version__, _release(s), socket.gethostname()),
            metrics=s.metrics,
            metrics_networks=s.metrics_networks,
            access_log=s.log_format if s.access_log else None,
            trusted_proxies=s.trusted_proxies,
            rfc7239=s.forwarded == "forwarded",
            trace_hosts=s.trace_hosts,
            buffer_chunked=s.buffer_chunked,
            static=mounts(s),
            assets_archive=str(Path(s.assets_archive).absolute()) if s.assets_archive else None,
            debug=s.debug,
            live_reload=_or_by_debug(resolved, "live_reload"),
        ),
        reload=_or_by_debug(resolved, "reload") or _or_by_debug(resolved, "live_reload"),
        reload_paths=(*s.reload_path, *filter(None, [s.env_file])),
        reload_exclude=s.reload_exclude,
    )


def _check_seconds(s: Settings) -> None:
    """Raise UsageError if one of the times is out of its range."""
    if not 0 < s.start_timeout <= 3600:
        raise UsageError(
            f"start-timeout cannot be {s.start_timeout:g} s.", remedy="Choose from 0.1 to 3600 seconds."
        )
    if not 0 < s.grace <= 3600:
        raise UsageError(f"grace cannot be {s.grace:g} s.", remedy="Choose from 0.1 to 3600 seconds.")
    if not 0 <= s.drain_delay <= 3600:
        raise UsageError(
            f"drain-delay cannot be {s.drain_delay:g} s.", remedy="Choose from 0 to 3600 seconds."
        )
    if s.hang_timeout and not 1 <= s.hang_timeout <= 3600:
        raise UsageError(
            f"hang-timeout cannot be {s.hang_timeout:g} s.",
            remedy="Choose from 1 to 3600 seconds, or 0 for never.",
        )


def _folder_options(s: Settings) -> FolderOptions:
    """The options of all folders. Raises UsageError if there is none to which they could apply."""
    options = FolderOptions(spa=s.spa, cors=s.cors, immutable=s.immutable)
    given = [f"--{name}" for name, value in options._asdict().items() if value]
    if given and not s.directory and not s.static:
        raise UsageError(
            f"{given[0]} is for folders, and none is served.",
            remedy="Name one: --directory DIR, or beside an app --static /static/=DIR",
        )
    return options


def _release(s: Settings) -> str:
    """The release, looked up only where it is shown."""
    if s.release or not (s.health or s.metrics or s.admin):
        return s.release
    from webdemo.supervisor.release import release_of

    return release_of(Path.cwd())


def _app_folder(text: str) -> str | None:
    """The absolute folder of --app-dir. Raises UsageError."""
    if not text:
        return None
    if not Path(text).is_dir():
        raise UsageError(
            f"The folder {text} of --app-dir does not exist.", remedy="Name the folder that holds the app."
        )
    return str(Path(text).absolute())


# Variables of frameworks that would otherwise answer an exception themselves, or keep templates.
FOR_DEBUG = (("FLASK_DEBUG", "1"),)


def _or_by_debug(resolved: Resolved, name: str) -> bool:
    """The setting's value; if it is not given, that of `debug`."""
    settings = resolved.settings
    return bool(settings.debug if resolved.sources[name] == DEFAULT else getattr(settings, name))


def _check_debug(resolved: Resolved, wanted: list[Bind]) -> None:
    """Raise UsageError if other machines could reach what `debug` shows: source code and variables."""
    if resolved.on_platform:
        raise UsageError(
            "--debug shows source code and variables, and PORT in the environment says that this runs on a "
            "platform.",
            remedy="Leave --debug out there; on your own machine unset PORT, and use --port.",
        )
    for bind in wanted:
        if bind.port is not None and bind.host is not None and not _is_loopback(bind.host):
            raise UsageError(
                f"--debug shows source code and variables, and {bind} can be reached from other machines.",
                remedy="Leave --debug out, or listen on this machine only: --host 127.0.0.1",
            )


def _is_loopback(host: str) -> bool:
    return host == "localhost" or is_loopback(host.strip("[]"))


def shown(resolved: Resolved) -> list[tuple[str, str, str]]:
    """Each setting's name, value and source, as `webdemo config` prints them."""
    rows = []
    for name in FIELDS:
        value = getattr(resolved.settings, name)
        if isinstance(value, tuple):
            text = " ".join(value)
        elif isinstance(value, bool):
            text = "true" if value else "false"
        else:
            text = f"{value:g}" if isinstance(value, float) else str(value)
        rows.append((name.replace("_", "-"), text or "-", resolved.sources[name]))
    return rows


def read(flags: Mapping[str, Any]) -> Resolved:
    """The settings from the current folder, the environment and `flags`; raises UsageError."""
    try:
        folder = Path.cwd()
    except FileNotFoundError:
        raise UsageError(
            "The current folder has been deleted.", remedy="Change to one that exists, and start there."
        ) from None
    return _with_env_file(resolve(flags, os.environ, folder), folder)


def _with_env_file(resolved: Resolved, folder: Path) -> Resolved:
    """With --debug, the folder's .env. PORT in an env file sets the port, unless that is set, and no more."""
    s, sources = resolved.settings, dict(resolved.sources)
    if s.debug and not s.env_file and not s.directory and (folder / ENV_FILE).is_file():
        s, sources["env_file"] = replace(s, env_file=ENV_FILE), "debug"
    if s.env_file and not s.port and not s.bind:
        port = read_env_file(s.env_file).get("PORT", "").strip()
        if port:
            s, sources["port"] = replace(s, port=(port,)), s.env_file
    return resolved._replace(settings=s, sources=sources)


def env_file_note(resolved: Resolved) -> str | None:
    """Which variables an env file has, without their values; None without one."""
    s = resolved.settings
    if not s.env_file:
        return None
    names = ", ".join(read_env_file(s.env_file)) or "no variables"
    return f"From {s.env_file}: {names}."


def given_folder() -> Path:
    """The current folder by the path that the user gave: a symlink to a release stays one."""
    given = Path(os.environ.get("PWD", ""))
    return given if given.is_absolute() and given.is_dir() and given.samefile(Path.cwd()) else Path.cwd()


AT_RELOAD = (
    *("app", "directory", "release", "health", "metrics", "metrics_networks", "access_log"),
    *("trusted_proxies", "forwarded", "trace_hosts", "buffer_chunked", "static"),
    *("spa", "cors", "immutable", "assets_archive"),
)
"""The settings that a reload applies; the others need a restart."""


class Rereading:
    """Reads the settings again at a reload, in the folder to which the user's path leads by then."""

    def __init__(self, flags: Mapping[str, Any], resolved: Resolved, folder: Path) -> None:
        self._flags = flags
        self._resolved = resolved
        self._folder = folder

    def read(self) -> tuple[Resolved, str | None]:
        """The settings in effect from now on, and a note of what has changed. Raises UsageError."""
        try:
            os.chdir(self._folder)
        except OSError as exc:
            raise UsageError(
                f"The folder {self._folder} cannot be entered: {exc.strerror}.",
                remedy="Put it back, or start webdemo in the folder that holds the app.",
            ) from exc
        before, now = self._resolved.settings, read(self._flags)
        changed = [name for name in FIELDS if getattr(before, name) != getattr(now.settings, name)]
        kept = {name: getattr(before, name) for name in changed if name not in AT_RELOAD}
        self._resolved = now._replace(settings=replace(now.settings, **kept))
        if not changed:
            return self._resolved, None
        applied = [name for name in changed if name in AT_RELOAD]
        told = [f"{_listed(applied)} changed"] if applied else []
        told += [f"{_listed(kept)} changed, which needs a restart"] if kept else []
        return self._resolved, f"Settings: {'; '.join(told)}."


def _listed(names: Iterable[str]) -> str:
    return ", ".join(name.replace("_", "-") for name in names)


def activated_binds() -> list[Bind]:
    """The sockets passed by systemd (FileDescriptorName=); one named after a server is served by it."""
    from webdemo.net.activation import take_activated

    return [replace(a.bind, server=a.name) if a.name in servers.names() else a.bind for a in take_activated()]
