"""`webdemo export`: the files that systemd, HAProxy, nginx, containers and Kubernetes need."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

import webdemo
from webdemo import deploy
from webdemo.config.binds import admin_bind, binds_or_default, host_of, is_open
from webdemo.config.planning import make_plan, release_name
from webdemo.config.settings import FIELDS
from webdemo.config.sources import (
    DEFAULT,
    ENV_FILE,
    PYPROJECT,
    SETTINGS_FILE,
    Resolved,
    given_as,
    given_folder,
    read_settings,
)
from webdemo.deploy import marks
from webdemo.deploy.site import ADMIN_PORT, DRAIN_DELAY_SECONDS, NOTICE_SECONDS, Backend, Site
from webdemo.errors import UsageError
from webdemo.net.addresses import LOOPBACK, WILDCARD
from webdemo.net.bind import ALL_ADDRESSES, Bind
from webdemo.net.bindtext import authority
from webdemo.servers import registry

_IN_CONTAINERS = ("container", "kubernetes")
_EXPORT = "export"  # the source of what is set here
_NOT_IN_PRODUCTION = (
    *("open", "dashboard", "dashboard_read_only", "in_process"),
    *("debug", "live_reload", "reload", "reload_path"),
)
_NETWORKS = ("trusted_proxies", "metrics_networks")  # one text may hold several, on several lines
_REACHED_AT = {ALL_ADDRESSES: LOOPBACK[0], **dict(zip(WILDCARD, LOOPBACK, strict=True))}
_COMMON_MODULES = ("app", "main", "wsgi", "application", "server", "site")

# Users and groups of Linux systems, and of programs beside an app, which must not get their rights. A fixed
# list, so that every machine exports the same, also once the site's own user exists.
_ACCOUNTS = """
adm admin apache audio backup bin caddy cdrom crontab daemon dialout disk docker ftp games git haproxy http
input irc kmem kvm list lp lxd mail man messagebus mongodb mysql news nginx nobody nogroup operator plugdev
postfix postgres proxy rabbitmq redis root shadow shutdown src sshd staff sudo sync sys tape tty users utmp
uucp video wheel www-data
"""


@click.command()
@click.argument("format_name", metavar="FORMAT", type=click.Choice(list(deploy.FORMATS)))
@click.option(
    "--hosts", default="", metavar="A,B", help="The hosts that a balancer distributes to, by name or address."
)
@click.option(
    "--to",
    default="deploy",
    metavar="DIR",
    help="Where to write; - prints the files.  [default: deploy]",
)
@click.option("--check", is_flag=True, help="Write nothing; exit 1 if a file differs from what would be.")
@click.option("--force", is_flag=True, help="Overwrite files that were edited by hand, too.")
@click.pass_obj
def export(flags: dict[str, Any], format_name: str, hosts: str, to: str, check: bool, force: bool) -> None:
    """Write the files that another system needs to run this app.

    They are made from the settings. FORMAT is systemd, haproxy, nginx, container or kubernetes. Give the
    settings as for serving, in front of the command: webdemo --app shop:app export systemd
    """
    site = make_site(read_settings(flags), format_name, _hosts(hosts))
    files = {name: marks.marked(text) for name, text in deploy.FORMATS[format_name](site).items()}
    if to == "-":
        for name, text in files.items():
            click.echo(f"# -- {name}\n{text}")
    elif check:
        sys.exit(_check(Path(to), files))
    else:
        _write(Path(to), files, force=force)


def _check(folder: Path, files: dict[str, str]) -> int:
    differing = [name for name, text in files.items() if _read(folder / name) != text]
    for name in differing:
        state = "differs" if (folder / name).exists() else "is missing"
        click.echo(f"{folder / name} {state}.")
    return 1 if differing else 0


def _write(folder: Path, files: dict[str, str], *, force: bool) -> None:
    edited = []
    for name, text in files.items():
        present = _read(folder / name)
        if present not in (None, text) and not marks.is_untouched(present or ""):
            edited.append(str(folder / name))
    if edited and not force:
        raise UsageError(
            f"Edited by hand, or written by something else: {', '.join(edited)}.",
            remedy="Overwrite with --force, or write elsewhere: --to DIR",
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            is_same = _read(folder / name) == text
            (folder / name).write_text(text, "utf-8")
            click.echo(f"{folder / name}{' (unchanged)' if is_same else ''}")
    except OSError as exc:
        raise UsageError(
            f"The files cannot be written to {folder}: {exc.strerror}.", remedy="Choose another: --to DIR"
        ) from exc


def _read(path: Path) -> str | None:
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        return ""


# -- from the settings to a site ------------------------------------------------------------------


def make_site(resolved: Resolved, format_name: str, hosts: tuple[str, ...]) -> Site:
    """The site that these settings describe, with production's values where they say nothing."""
    in_container = format_name in _IN_CONTAINERS
    resolved = _for_production(resolved, in_container=in_container, hosts=hosts)
    settings = resolved.settings
    binds = binds_or_default(resolved)
    for bind in binds:
        if bind.fd is not None or bind.port == 0:
            raise UsageError(
                f"{bind} cannot be exported: it names no address.", remedy="Give a port: -b gunicorn://:8000"
            )
    plan = make_plan(resolved, binds)
    if plan.drain_delay_seconds <= NOTICE_SECONDS:
        raise UsageError(
            f"drain-delay is {plan.drain_delay_seconds:g} s; balancers need up to {NOTICE_SECONDS} s.",
            remedy=f"Leave it out, or give more: --drain-delay {DRAIN_DELAY_SECONDS:g}",
        )
    admin = admin_bind(resolved)
    is_remote = bool(hosts) or in_container
    balanced = _balanced(resolved, binds, is_remote=is_remote)
    folder = given_folder()
    return Site(
        name=_name(resolved),
        arguments=tuple(_arguments(resolved)),
        folder=str(folder),
        python=_python(folder),
        backends=tuple(Backend(bind.port, bind.path, bind.tls) for bind in balanced),
        listen=_listen_texts(binds) if format_name == "systemd" else (),
        socket_mode=next((bind.mode for bind in binds if bind.path is not None), None),
        hosts=hosts,
        trusted_proxies=settings.trusted_proxies,
        drain_delay_seconds=plan.drain_delay_seconds,
        grace_seconds=plan.grace_seconds,
        start_seconds=plan.start_seconds,
        admin_port=admin.port if admin is not None and (is_open(admin) or not is_remote) else None,
        health_url=_url([admin, *balanced] if admin is not None else balanced),
        release=release_name(settings),
        **_packages(),
    )


def _for_production(resolved: Resolved, *, in_container: bool, hosts: tuple[str, ...]) -> Resolved:
    """The settings with what a deployment needs, where no source has set it."""
    is_remote = in_container or bool(hosts)
    names_server = any(Bind.parse(text).server for text in resolved.settings.bind)
    wanted: dict[str, Any] = {
        "health": True,
        "drain_delay": DRAIN_DELAY_SECONDS,
        "admin": f"{ALL_ADDRESSES}:{ADMIN_PORT}" if is_remote else str(ADMIN_PORT),
    }
    if not names_server:
        wanted["server"] = "gunicorn"
    if hosts and not in_container:
        wanted["host"] = ALL_ADDRESSES
    if not is_remote:
        has_unix = any(Bind.parse(text).path for text in resolved.settings.bind)
        wanted["trusted_proxies"] = (*LOOPBACK, "unix") if has_unix else LOOPBACK
    missing: dict[str, Any] = {
        name: value for name, value in wanted.items() if resolved.sources[name] == DEFAULT
    }
    off = [*_NOT_IN_PRODUCTION]
    if resolved.sources["env_file"] == "debug":  # only --debug reads .env
        off += [name for name in ("env_file", "port") if resolved.sources[name] in ("debug", ENV_FILE)]
    defaults: dict[str, Any] = {name: FIELDS[name].default for name in off}
    settings = replace(resolved.settings, **missing, **defaults)
    words: dict[str, Any] = {
        name: tuple(" ".join(getattr(settings, name)).replace(",", " ").split()) for name in _NETWORKS
    }
    return Resolved(
        replace(settings, **words),
        {
            **resolved.sources,
            **dict.fromkeys(missing, _EXPORT),
            **{name: _EXPORT if _must_be_negated(resolved, name) else DEFAULT for name in off},
        },
        on_platform=in_container,
    )


def _must_be_negated(resolved: Resolved, name: str) -> bool:
    """Whether the app's settings file, which the exported command reads too, turns this on."""
    if resolved.sources[name] not in (SETTINGS_FILE, PYPROJECT) or not getattr(resolved.settings, name):
        return False
    if name == "dashboard":
        raise UsageError(
            f"{given_as(resolved, name)} would be on in production, and no option turns it off.",
            remedy="Remove it there; for development, give it on the command line: --dashboard",
        )
    return FIELDS[name].type == "bool"


def _arguments(resolved: Resolved) -> list[str]:
    """The flags for the settings that are neither in the app's settings file nor defaults."""
    arguments = []
    for name in FIELDS:
        if resolved.sources[name] in (DEFAULT, SETTINGS_FILE, PYPROJECT):
            continue
        value, flag = getattr(resolved.settings, name), f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            arguments.append(flag if value else f"--no-{flag[2:]}")
        else:
            for one in value if isinstance(value, tuple) else (value,):
                arguments += [flag, f"{one:g}" if isinstance(one, float) else str(one)]
    return arguments


def _name(resolved: Resolved) -> str:
    """A name for units, users and objects: up to 31 letters, digits and hyphens, and no other account's."""
    settings = resolved.settings
    module = settings.app.partition(":")[0].partition(".")[0]
    folder = Path(settings.directory or Path.cwd()).resolve()
    if folder.parent.name == "releases":
        folder = folder.parent.parent
    text = folder.name if settings.directory or module in _COMMON_MODULES else module
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    is_free = name[:1].isalpha() and name not in _ACCOUNTS.split()
    return (name if is_free else f"web-{name}")[:31].strip("-")


def _balanced(resolved: Resolved, binds: list[Bind], *, is_remote: bool) -> list[Bind]:
    """Where a balancer finds the app. With TLS only if all have it: a balancer speaks one way to them."""
    found = [
        bind
        for bind in binds
        if registry.find(bind.server or resolved.settings.server).runs_app
        and (is_open(bind) or not is_remote)
    ]
    if not found:
        raise UsageError(
            "Other machines cannot reach this app: it listens on this one only.",
            remedy="Give it a port on every address: --host '*'",
        )
    return [bind for bind in found if not bind.tls] or found


def _url(binds: list[Bind]) -> str:
    """Where this machine reaches the first of these that has a port; empty if none has."""
    for bind in binds:
        if bind.port is not None:
            host = _REACHED_AT.get(bind.host or ALL_ADDRESSES, bind.host or "")
            return f"{'https' if bind.tls else 'http'}://{authority(host, bind.port)}"
    return ""


def _listen_texts(binds: list[Bind]) -> tuple[str, ...]:
    """For ListenStream=, which takes addresses; a port that systemd does not hold closes at a restart."""
    texts: list[str] = []
    for bind in binds:
        if bind.path is not None:
            texts.append(bind.path)
            continue
        hosts = {None: LOOPBACK, "localhost": LOOPBACK, ALL_ADDRESSES: WILDCARD}.get(
            bind.host, (bind.host or "",)
        )
        if not all(re.match(r"[0-9.]+\Z|.*:", host) for host in hosts):
            raise UsageError(
                f"{bind} cannot be exported: systemd listens on addresses, and {bind.host} is a name.",
                remedy=f"Give its address, or listen on every one: -b '{replace(bind, host=ALL_ADDRESSES)}'",
            )
        texts += [authority(host, bind.port) for host in hosts]
    return tuple(texts)


def _python(folder: Path) -> str:
    """This Python, by way of the folder's symlink if it is inside."""
    python = Path(sys.executable)
    if python.is_relative_to(folder.resolve()):
        return str(folder / python.relative_to(folder.resolve()))
    return str(python)


def _packages() -> dict[str, Any]:
    ours = f"webdemo=={webdemo.__version__}"
    if Path("requirements.txt").is_file():
        return {"packages": f"-r requirements.txt {ours}", "package_files": ("requirements.txt",)}
    if Path("pyproject.toml").is_file():
        return {"packages": f". {ours}", "package_files": (".",)}
    return {"packages": ours, "package_files": ()}


def _hosts(text: str) -> tuple[str, ...]:
    return tuple(host_of("--hosts", host.strip()) for host in text.split(",") if host.strip())
