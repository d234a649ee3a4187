"""From settings to the Plan: which app with which features, and by which servers."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from pathlib import Path

from webdemo import __version__
from webdemo.config.binds import host_of, is_open
from webdemo.config.settings import Settings
from webdemo.config.sources import DEFAULT, Resolved, given_as
from webdemo.errors import UsageError
from webdemo.middleware.stack import Features
from webdemo.middleware.static_mounts import FolderOptions, Mount
from webdemo.net.bind import Bind
from webdemo.stats.exposition import About
from webdemo.supervisor import plan as plans
from webdemo.text import terminal_line
from webdemo.worker.app_import import Target

# Variables of frameworks that would otherwise answer an exception themselves, or keep templates.
FOR_DEBUG = (("FLASK_DEBUG", "1"),)


def check_watched(plan: plans.Plan) -> None:
    """Raise UsageError unless what is to be watched exists; later it may be deleted and made again."""
    missing = next((path for path in plan.reload_paths if plan.reload and not Path(path).exists()), None)
    if missing is not None:
        raise UsageError(
            f"There is no {missing}, which --reload-path names.",
            remedy="Name a file or a folder that exists.",
        )


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
        target=make_target(s),
        services=tuple(service._replace(share=s.share) for service in services),
        start_seconds=s.start_timeout,
        drain_delay_seconds=s.drain_delay,
        grace_seconds=s.grace,
        hang_seconds=s.hang_timeout,
        features=Features(
            health=s.health,
            about=About(__version__, _shown_release(s), socket.gethostname()),
            metrics=s.metrics,
            metrics_networks=s.metrics_networks,
            access_log=s.log_format if s.access_log else None,
            trusted_proxies=s.trusted_proxies,
            rfc7239=s.forwarded == "forwarded",
            trace_hosts=tuple(host_of(given_as(resolved, "trace_hosts"), host) for host in s.trace_hosts),
            buffer_chunked=s.buffer_chunked,
            static=make_mounts(s),
            assets_archive=_absolute(s.assets_archive),
            debug=s.debug,
            live_reload=_or_by_debug(resolved, "live_reload"),
        ),
        reload=_or_by_debug(resolved, "reload") or _or_by_debug(resolved, "live_reload"),
        reload_paths=(*s.reload_path, *filter(None, [s.env_file])),
        reload_exclude=s.reload_exclude,
    )


def make_target(s: Settings) -> Target:
    """What to serve. Raises UsageError."""
    return Target(
        app=s.app,
        directory=_absolute(s.directory),
        folder_options=_folder_options(s) if s.directory else FolderOptions(),
        environment=FOR_DEBUG if s.debug else (),
        env_file=_absolute(s.env_file),
        folder=_absolute(s.app_dir),
    )


def make_mounts(s: Settings) -> tuple[Mount, ...]:
    """The folders of --static. Raises UsageError."""
    options = _folder_options(s)
    mounts: dict[str, Mount] = {}
    for text in s.static:
        mount = Mount.parse(text, options)
        if (other := mounts.setdefault(mount.prefix, mount)) is not mount:
            raise UsageError(
                f"{other.folder} and {mount.folder} are both to be served below {mount.prefix}.",
                remedy="Give one of them another path.",
            )
    return tuple(mounts.values())


def _check_seconds(s: Settings) -> None:
    """Raise UsageError if one of the times is out of its range."""
    for name, seconds, least, also in (
        ("start-timeout", s.start_timeout, 0.1, ""),
        ("grace", s.grace, 0.1, ""),
        ("drain-delay", s.drain_delay, 0, ""),
        ("hang-timeout", s.hang_timeout, 1, ", or 0 for never"),
    ):
        if not least <= seconds <= 3600 and not (also and seconds == 0):
            raise UsageError(
                f"{name} cannot be {seconds:g} s.", remedy=f"Choose from {least:g} to 3600 seconds{also}."
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


def release_name(s: Settings) -> str:
    """The release's name as it is given, or else as the folder says; "" without one. Raises UsageError."""
    from webdemo.supervisor.release import release_of

    name = s.release or release_of(Path.cwd())
    if not name.isprintable():
        raise UsageError(
            "The release's name has a line break or a character that cannot be printed: "
            f"{terminal_line(name, limit=60)}",
            remedy="Give it a name of one line: --release 5f1c0a9",
        )
    return name


def _shown_release(s: Settings) -> str:
    """The release, looked up only where it is shown."""
    return release_name(s) if s.release or s.health or s.metrics or s.admin else ""


def _absolute(path: str) -> str | None:
    return str(Path(path).absolute()) if path else None


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
        if is_open(bind):
            raise UsageError(
                f"--debug shows source code and variables, and {bind} can be reached from other machines.",
                remedy="Leave --debug out, or listen on this machine only: --host 127.0.0.1",
            )


def archive_note(resolved: Resolved) -> str | None:
    """A note if the assets archive is missing, which costs only other releases' assets; None otherwise."""
    archive = resolved.settings.assets_archive
    if not archive or Path(archive).is_dir():
        return None
    return f"The assets archive {archive} does not exist; webdemo assets publish makes it."
