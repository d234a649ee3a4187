"""The servers of this user's webdemos, by their control sockets; runs that do not respond are left out.

The rule: these are the servers of the start table. A dashboard is not one of them, on no page.
"""

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
    """The app or folder that it serves; for a server that runs no app, what it does."""

    @property
    def ports(self) -> tuple[int, ...]:
        found = (urlsplit(url).port for url in self.urls if not url.startswith("unix:"))
        return tuple(dict.fromkeys(port for port in found if port is not None))


def running_servers() -> list[RunningServer]:
    """All of them, sorted by their first ports."""
    from webdemo.servers.registry import find
    from webdemo.supervisor.control import instances

    found: list[RunningServer] = []
    with suppress(WebdemoError):
        for instance in instances():
            with suppress(WebdemoError):
                status = instance.status(timeout_seconds=_ANSWER_SECONDS)
                for service in status.services:
                    if service.dashboard:
                        continue
                    adapter = find(service.server)
                    found.append(
                        RunningServer(
                            server=service.server,
                            version=service.version,
                            state=service.state,
                            urls=service.urls,
                            process_ids=tuple(one.pid for one in service.processes if one.pid),
                            serves=status.target if adapter.runs_app else adapter.summary,
                        )
                    )
    return sorted(found, key=lambda one: one.ports[:1])
