"""The servers of this user's webdemos, by their control sockets; silent ones are left out."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from webdemo.errors import WebdemoError

_ANSWER_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class RunningServer:
    server: str
    version: str
    state: str
    urls: tuple[str, ...]
    process_ids: tuple[int, ...]
    serves: str
    """The app or folder that its webdemo serves."""
    webdemo_pid: int

    @property
    def ports(self) -> tuple[int, ...]:
        found = (urlsplit(url).port for url in self.urls if not url.startswith("unix:"))
        return tuple(dict.fromkeys(port for port in found if port is not None))


def running_servers() -> list[RunningServer]:
    """All of them, sorted by their first ports."""
    from webdemo.supervisor.control import instances

    found = []
    with suppress(WebdemoError):
        for instance in instances():
            with suppress(WebdemoError):
                status = instance.status(timeout_seconds=_ANSWER_SECONDS)
                found += [
                    RunningServer(
                        server=service.server,
                        version=service.version,
                        state=service.state,
                        urls=service.urls,
                        process_ids=tuple(one.pid for one in service.processes if one.pid),
                        serves=status.target,
                        webdemo_pid=status.pid,
                    )
                    for service in status.services
                ]
    return sorted(found, key=lambda one: one.ports[:1])
