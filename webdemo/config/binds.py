"""The binds that the settings ask for, and the hosts of those that name none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from webdemo.config.settings import ANY_PORT, DASHBOARD_PORT
from webdemo.config.sources import Resolved, given_as
from webdemo.errors import BindTextError, UsageError
from webdemo.net.addresses import LOOPBACK
from webdemo.net.bind import ALL_ADDRESSES, Bind, parse_ports
from webdemo.net.bindtext import refuse
from webdemo.net.listener import DEFAULT_PORT
from webdemo.servers import registry
from webdemo.supervisor import plan as plans
from webdemo.syntax import is_loopback

DASHBOARD_SERVER = "waitress"


def wanted_binds(resolved: Resolved, activated: Iterable[Bind] = ()) -> list[Bind]:
    """Every bind that the settings ask for, with its host; empty means the default port, which may move."""
    settings = resolved.settings
    with _naming(resolved, "bind"):
        wanted = [Bind.parse(text) for text in settings.bind]
    with _naming(resolved, "port"):
        wanted += [Bind(port=port) for text in settings.port for port in parse_ports(text)]
    return [*(_with_host(bind, resolved) for bind in wanted), *activated]


@contextmanager
def _naming(resolved: Resolved, name: str) -> Iterator[None]:
    """Say which setting a text that is refused was given as."""
    try:
        yield
    except BindTextError as exc:
        raise BindTextError(f"{given_as(resolved, name)}: {exc.problem}", remedy=exc.remedy) from exc


def binds_or_default(resolved: Resolved, activated: Iterable[Bind] = ()) -> list[Bind]:
    """The same, with the default port if the settings ask for none."""
    return wanted_binds(resolved, activated) or [Bind(host=default_host(resolved), port=DEFAULT_PORT)]


def _with_host(bind: Bind, resolved: Resolved) -> Bind:
    if bind.port is None or bind.host is not None:
        return bind
    return replace(bind, host=default_host(resolved, bind.server))


def default_host(resolved: Resolved, server: str | None = None) -> str | None:
    """The host for binds of this server, or of the default one, that name none; None means loopback."""
    if resolved.settings.host:
        if resolved.settings.host == ALL_ADDRESSES:
            return ALL_ADDRESSES
        return host_of(given_as(resolved, "host"), resolved.settings.host)
    adapter = registry.find(server or resolved.settings.server)
    # A platform routes HTTP only; SMTP and FTP are opened to other machines only by an explicit host.
    if resolved.on_platform and adapter.runs_app:
        return ALL_ADDRESSES
    return None if adapter.several_sockets else LOOPBACK[0]


def host_of(what: str, text: str) -> str:
    """The one host that the text names, IPv6 without brackets. Raises UsageError, beginning with `what`."""
    host = text[1:-1] if text[:1] + text[-1:] == "[]" else text
    try:
        if host == ALL_ADDRESSES:
            refuse(f"“{host}” is not one host.", "its name")
        Bind(host=host, port=DEFAULT_PORT)
    except BindTextError as exc:
        raise UsageError(
            f"{what}: {exc.problem}", remedy="Give a name or an address, without a port: example.com or ::1"
        ) from exc
    return host


def activated_binds() -> list[Bind]:
    """The sockets passed by systemd (FileDescriptorName=); one named after a server is served by it."""
    from webdemo.net.activation import take_activated

    return [
        replace(a.bind, server=a.name) if a.name in registry.names() else a.bind for a in take_activated()
    ]


def dashboard_bind(resolved: Resolved) -> Bind | None:
    """The dashboard's bind, always on loopback; None without a dashboard. Raises UsageError."""
    text = resolved.settings.dashboard
    if not text:
        return None
    with _naming(resolved, "dashboard"):
        ports = [DASHBOARD_PORT] if text == ANY_PORT else parse_ports(text)
        if len(ports) > 1:
            raise BindTextError(
                f"The dashboard has one port, not {text}.", remedy=f"Choose one: --dashboard {ports[0]}"
            )
    return Bind(server=DASHBOARD_SERVER, port=ports[0])


def admin_bind(resolved: Resolved) -> Bind | None:
    """Where the admin address is; None without one. Raises UsageError."""
    text = resolved.settings.admin
    if not text:
        return None
    with _naming(resolved, "admin"):
        bind = Bind.parse(f":{text}" if text.isdecimal() else text)
        if bind.server or bind.tls or bind.fd is not None or bind.server_options:
            raise BindTextError(
                f"{text} is no admin address.", remedy="Give a port or a Unix socket: --admin 9180"
            )
    return replace(bind, host=bind.host or LOOPBACK[0]) if bind.port is not None else bind


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
    if not any((bind.server or default) == plans.DEFAULT_SERVER and is_open(bind) for bind in binds):
        return None
    why = "PORT is in the environment, and no server is named: " if resolved.on_platform else ""
    return f"{why}Werkzeug's development server is open to other machines; for production: --server gunicorn"


def is_open(bind: Bind) -> bool:
    """Whether other machines can reach it."""
    host = bind.host or "localhost"
    return bind.port is not None and host != "localhost" and not is_loopback(host.strip("[]"))
