"""Hosts that run the app already, for `--at URL`: nothing is started, and only safe requests are sent."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from webdemo.client.endpoint import Endpoint
from webdemo.compare.results import Server
from webdemo.errors import UsageError

CONNECT_SECONDS = 5.0
_PORTS = {"http": 80, "https": 443}


@dataclass(slots=True)
class RemoteHost:
    """A host to compare, or why it cannot be reached."""

    label: str  # "https://www1.example"
    host: str  # for the Host header
    endpoint: Endpoint
    problem: str | None = None

    def is_up(self) -> bool:
        return self.problem is None

    def row(self) -> Server:
        return Server(self.label, self.host, {}, None, "missing" if self.problem else "up", self.problem)

    def own_words(self) -> set[str]:
        return {self.host}

    def stop(self) -> None:
        """Does nothing: the host is not ours."""


def reach(urls: Sequence[str]) -> list[RemoteHost]:
    """The hosts of these URLs, each tried with one connection. Raises UsageError for an unusable URL."""
    if len(set(urls)) < 2 or len(set(urls)) < len(urls):
        raise UsageError(
            "--at compares two or more different hosts.", remedy="Give each with --at: --at URL --at URL"
        )
    return [_reach(url) for url in urls]


def _reach(url: str) -> RemoteHost:
    parts = urlsplit(url)
    try:
        port = parts.port or _PORTS[parts.scheme]
    except (KeyError, ValueError):
        port = 0
    if not port or not parts.hostname or parts.username or parts.path not in ("", "/") or parts.query:
        raise UsageError(
            f"{url!r} is not the URL of a host.",
            remedy="Write http://HOST:PORT or https://HOST:PORT, and name paths with --path.",
        )
    label = f"{parts.scheme}://{parts.netloc}"
    tls = parts.scheme == "https"
    host = RemoteHost(label, parts.netloc, Endpoint(socket.AF_INET, None))
    try:
        family, *_, address = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)[0]
        host.endpoint = Endpoint(family, address, parts.netloc, tls, parts.hostname)
        host.endpoint.connect(CONNECT_SECONDS).close()
    except OSError as exc:
        host.problem = f"It cannot be reached: {exc.strerror or exc}."
    return host
