"""The plan: which app, which servers, on which sockets. Runs in the main process.

The rule: frozen, checked once, no I/O. Binds that name the same server with the same options share one
process, so that 64 ports cost about as much as one.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from webdemo import servers
from webdemo.errors import UsageError
from webdemo.middleware.stack import Features
from webdemo.net.addresses import LOOPBACK
from webdemo.net.bind import Bind
from webdemo.servers import Adapter, Certificate, MadeCertificate, option, registry, unknown_option
from webdemo.syntax import is_address
from webdemo.worker.app_import import Target

DEFAULT_SERVER = "werkzeug"
EACH = "each"


@dataclass(frozen=True, slots=True)
class CommonOptions:
    """The options that every server has, because the run layer implements them."""

    workers: int = option(1, "Processes that share the sockets; a server that has workers makes them itself.")
    cpus: str = option(
        "", "Processors to keep to, for example 0,1 or 0-3; each: one for each worker, among all of them."
    )
    certificate: str = option("", "TLS certificate chain, a PEM file; without it one is made at start.")
    key: str = option("", "The certificate's private key, a PEM file.")


_OF_TLS = frozenset(("certificate", "key"))
"""Options for servers that have TLS."""


class Service(NamedTuple):
    """One server with its options on its binds: a row of the start table."""

    server: str
    options: tuple[tuple[str, str], ...] = ()  # server-specific ones
    workers: int = 1
    cpus: tuple[int, ...] = ()  # empty: any processor
    cpu_each: bool = False  # each worker is pinned to one of them
    tls: bool = False
    certificate: Certificate | MadeCertificate | None = None  # None with tls: a self-signed one is made
    binds: tuple[Bind, ...] = ()
    target: Target | None = None  # served instead of the plan's app (the dashboard)
    share: bool = True  # False: each process imports its own copy of the app

    def __str__(self) -> str:
        return " ".join([self.server, *map(place, self.binds)])

    @property
    def scheme(self) -> str:
        """The scheme of its URLs, such as `https` or `ftp`."""
        return "https" if self.tls else registry.find(self.server).protocol

    @property
    def runs_app(self) -> bool:
        return registry.find(self.server).runs_app

    @property
    def shares_import(self) -> bool:
        """Whether its processes may be forked from a loader that has imported the app."""
        patches = registry.find(self.server).before_import is not None
        return self.share and self.target is None and self.runs_app and not patches

    @property
    def opens_own_sockets(self) -> bool:
        return registry.find(self.server).opens_own_sockets

    @property
    def has_placeholder(self) -> bool:
        """Whether the supervisor can respond with 503 in its place: it handles no private keys."""
        return self.runs_app and not self.tls

    @property
    def is_of_app(self) -> bool:
        """Whether it belongs to the user's plan; False for the dashboard."""
        return self.target is None

    @property
    def processes(self) -> int:
        """How many processes the supervisor starts for it."""
        return 1 if registry.find(self.server).own_workers else self.workers


class Plan(NamedTuple):
    """Everything that a run is configured with."""

    target: Target = Target()
    folder: str = ""  # to import the app in; "": the current one
    services: tuple[Service, ...] = ()
    start_seconds: float = 60.0
    drain_delay_seconds: float = 0.0
    grace_seconds: float = 8.0
    hang_seconds: float = 0.0  # 0: a process that has hung is not replaced
    features: Features = Features()
    reload: bool = False
    reload_paths: tuple[str, ...] = ()
    reload_exclude: tuple[str, ...] = ()  # shell patterns of files whose changes do not count


def option_names(options: Any) -> list[str]:
    return [f.name for f in dataclasses.fields(options)]


def describe(adapter: Adapter) -> dict[str, Any]:
    """What `webdemo servers` shows about a server, ready for JSON."""
    return {
        "name": adapter.name,
        "summary": adapter.summary,
        "protocol": adapter.protocol,
        "version": adapter.version(),
        "install": adapter.install_command(),
        "tls": adapter.tls,
        "unix": adapter.unix,
        "several_sockets": adapter.several_sockets,
        "workers": "own" if adapter.own_workers else "one" if adapter.opens_own_sockets else "shared",
        "swap": not adapter.opens_own_sockets,
        "keeps": {promise: getattr(adapter, promise) for promise in servers.PROMISES},
        "lapses": list(adapter.lapses),
        "options": [
            {"name": f.name, "type": str(f.type), "default": f.default, "help": f.metadata["help"]}
            for kind in (adapter.options, CommonOptions)
            for f in dataclasses.fields(kind)
            if adapter.tls or kind is not CommonOptions or f.name not in _OF_TLS
        ],
    }


def place(bind: Bind) -> str:
    """The address of a bind in short form: `:8000`, `0.0.0.0:80`, `/run/site.sock`, `fd://3`."""
    if bind.path is not None:
        return bind.path
    if bind.fd is not None:
        return f"fd://{bind.fd}"
    return str(Bind(host=bind.host, port=bind.port))


def rebind(bind: Bind, server: str) -> Bind:
    """The same address with another server, given as `gunicorn` or `gunicorn?workers=2`."""
    name, mark, query = server.partition("?")
    other = Bind.parse(f"{name}://:1{mark}{query}")
    kept = [option for option in bind.options if option not in bind.server_options]
    return replace(bind, server=other.server, options=(*kept, *other.options))


def services(
    binds: Iterable[Bind], *, default_server: str, workers: int | None = None
) -> tuple[Service, ...]:
    """Group binds into services; raises UsageError if a server cannot do what its bind asks for.

    For a server that serves one socket, each bind is its own service.
    """
    grouped: dict[tuple[Service, int | None], list[Bind]] = {}
    for bind in binds:
        service = service_for(bind, default_server=default_server, workers=workers)
        alone = None if registry.find(service.server).several_sockets else len(grouped)
        grouped.setdefault((service, alone), []).append(bind)
    return tuple(service._replace(binds=tuple(group)) for (service, _), group in grouped.items())


def service_for(bind: Bind, *, default_server: str, workers: int | None = None) -> Service:
    """The service that `bind` asks for, with `binds` left empty; raises UsageError."""
    adapter = registry.find_installed(bind.server or default_server)
    given = dict(bind.server_options)
    fields = {f.name: f for f in dataclasses.fields(CommonOptions)}
    common = {
        name: servers.parse_option(f"The option {name}", fields[name], text)
        for name, text in given.items()
        if name in fields
    }
    own = {name: text for name, text in given.items() if name not in fields}
    workers = _workers(common.get("workers"), workers)
    _check_options(adapter, own)
    _check_abilities(adapter, bind, workers, wants_tls=bind.tls or not _OF_TLS.isdisjoint(given))
    _check_certificate(adapter, bind, common)
    return Service(
        server=adapter.name,
        options=tuple(sorted(own.items())),
        workers=workers,
        cpus=_cpus(common.get("cpus", "")),
        cpu_each=common.get("cpus") == EACH,
        tls=bind.tls,
        certificate=_certificate(common.get("certificate", ""), common.get("key", "")),
    )


def _check_options(adapter: Adapter, own: dict[str, str]) -> None:
    unknown = next((name for name in own if name not in option_names(adapter.options)), None)
    if unknown is not None:
        others = [other for other in _like(adapter) if unknown in option_names(other.options)]
        if others:
            raise UsageError(
                f"The server {adapter.name} has no option {unknown!r}.",
                remedy=f"These have it: {_listed(others)}.",
            )
        known = [*option_names(adapter.options), *option_names(CommonOptions)]
        raise unknown_option(adapter.name, unknown, known)
    adapter.parse_options(own)


def _check_abilities(adapter: Adapter, bind: Bind, workers: int, *, wants_tls: bool) -> None:
    """Raise UsageError if the bind asks for what the adapter does not declare."""
    for wanted, has, what in (
        (wants_tls, "tls", "TLS"),
        (bind.path is not None, "unix", "Unix sockets"),
    ):
        if wanted and not getattr(adapter, has):
            able = [other for other in _like(adapter) if getattr(other, has)]
            raise UsageError(
                f"The server {adapter.name} has no {what}.",
                remedy=f"These have: {_listed(able)}."
                if able
                else f"Give it a port: {adapter.name}://:{bind.port or 8000}",
            )
    if adapter.opens_own_sockets and workers > 1:
        able = [other for other in _like(adapter) if not other.opens_own_sockets]
        raise UsageError(
            f"The server {adapter.name} opens its port itself: it has one process, not {workers}.",
            remedy=f"Give it ?workers=1, or choose another server: {_listed(able)}.",
        )
    if not adapter.several_sockets and bind.port is not None and not is_address(bind.host):
        raise UsageError(
            f"The server {adapter.name} serves one address, and {bind} may be several.",
            remedy=f"Name one: {replace(bind, server=adapter.name, host=LOOPBACK[0])}",
        )


def _check_certificate(adapter: Adapter, bind: Bind, common: dict[str, Any]) -> None:
    if (common.get("certificate") or common.get("key")) and not bind.tls:
        raise UsageError(
            f"A certificate needs TLS, which {bind} does not ask for.",
            remedy=f"Write {adapter.name}+https:// in front of the address.",
        )
    if bool(common.get("certificate")) != bool(common.get("key")):
        raise UsageError(
            "A certificate and its key go together.", remedy="Give both: ?certificate=FILE&key=FILE"
        )


def _like(adapter: Adapter) -> list[Adapter]:
    """The installed servers of the same protocol."""
    return [other for other in registry.installed() if other.protocol == adapter.protocol]


def _listed(adapters: list[Adapter]) -> str:
    return ", ".join(adapter.name for adapter in adapters)


def _workers(given: int | None, default: int | None) -> int:
    workers = given if given is not None else default if default is not None else 1
    if not 1 <= workers <= 512:
        form = "--workers 2" if given is None else "?workers=2"
        raise UsageError(f"workers cannot be {workers}.", remedy=f"Choose from 1 to 512: {form}")
    return workers


def _cpus(text: str) -> tuple[int, ...]:
    """Parse `0,2-3` as (0, 2, 3), and `each` as all processors that we may use; raises UsageError."""
    if not text:
        return ()
    if not hasattr(os, "sched_getaffinity"):
        raise UsageError(
            "This system cannot pin processes to processors.", remedy="Leave the option cpus out."
        )
    present = os.sched_getaffinity(0)
    if text == EACH:
        return tuple(sorted(present))
    try:
        asked = [part.partition("-") for part in filter(None, text.split(","))]
        ranges = [range(int(first), int(last or first) + 1) for first, _, last in asked]
    except ValueError:
        raise UsageError(
            f"cpus cannot be {text!r}.", remedy="Write numbers and ranges, or each: ?cpus=0,2-3"
        ) from None
    chosen: set[int] = set()
    for cpu in chain.from_iterable(ranges):
        if cpu not in present:  # the first one ends a range that is far too long
            raise UsageError(
                f"There is no processor {cpu} here.",
                remedy=f"Choose among {','.join(map(str, sorted(present)))}.",
            )
        chosen.add(cpu)
    return tuple(sorted(chosen))


def _certificate(chain: str, key: str) -> Certificate | None:
    return Certificate(Path(chain).resolve(), Path(key).resolve()) if chain else None
