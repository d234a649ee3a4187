"""What the exported files need to know of a site, made from the resolved settings."""

from __future__ import annotations

import math
from typing import NamedTuple

from webdemo.deploy.quoting import printable

DRAIN_DELAY_SECONDS = 8.0  # where the settings say nothing
ADMIN_PORT = 9180
CHECK_SECONDS = 1  # between two health checks of a balancer
CHECK_FALLS = 2  # so many failed checks take a host out
NOTICE_SECONDS = CHECK_FALLS * (
    CHECK_SECONDS + 1
)  # by then a balancer sends nothing more; 1 s for each check
QUEUE_SECONDS = 1  # for the connections in the accept queue when a port closes
_MARGIN_SECONDS = 3  # for loaders and the main process to exit


class Backend(NamedTuple):
    """Where a balancer finds the app on each host: a port, or a Unix socket on its own machine."""

    port: int | None
    path: str | None = None
    tls: bool = False


class Site(NamedTuple):
    name: str  # letters, digits and hyphens
    arguments: tuple[str, ...]  # of `python -m webdemo`
    folder: str  # the current folder, by the path that the user gave
    python: str
    backends: tuple[Backend, ...]  # all with TLS, or none
    listen: tuple[str, ...]  # for ListenStream=
    socket_mode: int | None  # of Unix sockets
    hosts: tuple[str, ...]  # addresses or names; none: the balancer runs on the same machine
    trusted_proxies: tuple[str, ...]
    drain_delay_seconds: float
    grace_seconds: float
    start_seconds: float
    admin_port: int | None  # of the admin address, if the balancer can reach it
    health_url: str  # where the site's own machine asks for /livez, without a path
    release: str
    packages: str  # what a container installs: the options of `pip install`
    package_files: tuple[str, ...]  # the files that names

    @property
    def stop_seconds(self) -> int:
        """How long a stop may take, until what stops webdemo may kill it."""
        return math.ceil(self.drain_delay_seconds + QUEUE_SECONDS + self.grace_seconds + _MARGIN_SECONDS)

    @property
    def why_stop_seconds(self) -> str:
        return (
            f"drain delay {self.drain_delay_seconds:g} s + queue {QUEUE_SECONDS} s + "
            f"grace {self.grace_seconds:g} s + {_MARGIN_SECONDS} s"
        )

    @property
    def first_port(self) -> int:
        return next(backend.port for backend in self.backends if backend.port is not None)

    @property
    def scheme(self) -> str:
        """How a balancer speaks to every backend: http or https."""
        return "https" if self.backends[0].tls else "http"

    @property
    def trust(self) -> str:
        """What a proxy's file says about who trusts it."""
        if not self.trusted_proxies:
            return "webdemo trusts no proxy yet; name the address that this one has: --trusted-proxies"
        trusted = printable(", ".join(self.trusted_proxies))
        return f"webdemo trusts {trusted} (--trusted-proxies): connect from there."
