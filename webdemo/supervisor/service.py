"""A running service: its sockets, processes, restarts and state. Runs in the main process."""

from __future__ import annotations

import socket
import sys
import time
from dataclasses import dataclass, field
from typing import Any

from webdemo import servers
from webdemo.client.endpoint import Endpoint
from webdemo.net.bind import Bind
from webdemo.stats.figures import Served
from webdemo.supervisor.events import Row
from webdemo.supervisor.log_tail import LastLines
from webdemo.supervisor.plan import Service
from webdemo.supervisor.processes import Process, State

MOST_QUICK_DEATHS = 5
QUICK_SECONDS = 5.0
_LONGEST_WAIT_SECONDS = 5.0


@dataclass(slots=True, eq=False)
class Listener:
    """A bind, its open sockets, and their addresses. The supervisor owns the sockets."""

    bind: Bind
    sockets: list[socket.socket]
    endpoints: list[Endpoint]

    @classmethod
    def of(cls, bind: Bind, sockets: list[socket.socket]) -> Listener:
        return cls(bind, sockets, [Endpoint.of_listener(sock, tls=bind.tls) for sock in sockets])

    @property
    def port(self) -> int | None:
        """The actual port, also where the bind says 0; None for a Unix socket."""
        return self.endpoints[0].port

    def name(self) -> str:
        """Its name in commands: the port, or the path of a Unix socket."""
        return str(self.port) if self.port is not None else self.endpoints[0].host

    def label(self) -> str:
        """Its name in the log: `:8000`, or the path of a Unix socket."""
        return f":{self.port}" if self.port is not None else self.name()

    def urls(self, scheme: str) -> list[str]:
        """URLs that work from this machine; a wildcard address becomes loopback."""
        root = "/" if scheme in ("http", "https") else ""
        return [
            f"unix:{endpoint.host}" if endpoint.port is None else f"{scheme}://{endpoint.authority}{root}"
            for endpoint in self.endpoints
        ]

    def let_nobody_in(self) -> None:
        """Shrink the accept backlog, so that new clients retry their SYN and then find the port closed."""
        for sock in self.sockets:
            if sock.family != socket.AF_UNIX:
                sock.listen(0)

    def waiting(self) -> int:
        """The length of the accept queue; 0 where it is unknown (not Linux, not TCP)."""
        return sum(map(_waiting, self.sockets))

    def close(self) -> None:
        for sock in self.sockets:
            sock.close()
        self.sockets = []


@dataclass(slots=True, eq=False)
class RunningService:
    """A service with its listeners and processes. Restart, reload and swap make a new one beside the old."""

    service: Service
    listeners: list[Listener]
    processes: list[Process] = field(default_factory=list)
    state: str = "starting"  # starting, up, waiting (for its restart), given up, stopped
    restarts: int = 0
    quick_deaths: int = 0
    began: float = field(default_factory=time.monotonic)
    log: LastLines = field(default_factory=LastLines)

    def __str__(self) -> str:
        return f"{self.service.server} {' '.join(self.ports)}"

    @property
    def version(self) -> str:
        return servers.find(self.service.server).version() or ""

    @property
    def pids(self) -> tuple[int, ...]:
        return tuple(p.pid for p in self.processes if p.pid is not None and p.state is not State.DEAD)

    def successor(self) -> RunningService:
        """The same service on the same listeners, with no processes yet."""
        return RunningService(self.service, self.listeners, restarts=self.restarts, log=self.log)

    def part(self, listeners: list[Listener]) -> RunningService:
        """The same service on some of its listeners."""
        binds = tuple(listener.bind for listener in listeners)
        return RunningService(
            self.service._replace(binds=binds),
            listeners,
            restarts=self.restarts,
            log=self.log_for(listeners),
        )

    def log_for(self, listeners: list[Listener]) -> LastLines:
        """The log for the successor on these listeners: shared if it takes over all of them, else a copy."""
        return self.log if listeners == self.listeners else self.log.copy()

    def without(self, listener: Listener) -> list[RunningService]:
        """The rest of the service without one of its listeners: a list of one service, or of none."""
        rest = [other for other in self.listeners if other is not listener]
        return [self.part(rest)] if rest else []

    def row(self) -> Row:
        return Row(
            server=self.service.server,
            version=self.version,
            urls=tuple(self.urls()),
            pids=self.pids,
            workers=self.service.workers,
            state=self.state,
        )

    def urls(self) -> list[str]:
        return [url for listener in self.listeners for url in listener.urls(self.service.scheme)]

    def is_up(self) -> bool:
        wanted = self.service.processes
        return sum(p.state is State.UP for p in self.processes) >= wanted

    def sockets(self) -> list[socket.socket]:
        return [sock for listener in self.listeners for sock in listener.sockets]

    def tail(self) -> tuple[str, ...]:
        """The last output lines of its newest process."""
        return tuple(self.processes[-1].tail) if self.processes else ()

    def neighbour(self) -> dict[str, Any]:
        """What the run's apps may know about this service, ready for JSON."""
        return {
            "server": self.service.server,
            "urls": self.urls(),
            "options": dict(self.service.options),
        }

    @property
    def ports(self) -> tuple[str, ...]:
        return tuple(listener.name() for listener in self.listeners)

    def served(self) -> Served:
        return Served(self.service.server, self.ports, self.pids, self.restarts)

    def status(self) -> dict[str, Any]:
        """Its entry in the response to `status`, ready for JSON."""
        return {
            "server": self.service.server,
            "version": self.version,
            "state": self.state,
            "dashboard": self.service.target is not None,
            "ports": list(self.ports),
            "urls": self.urls(),
            "workers": self.service.workers,
            "restarts": self.restarts,
            "processes": [
                {"pid": p.pid, "state": p.state.value, "since": p.started_at}
                for p in self.processes
                if p.state is not State.DEAD
            ],
        }

    def wait_after_death(self, lived_seconds: float, *, may_give_up: bool) -> float | None:
        """Count a death, and return the seconds until the restart; None to give up.

        The first restart is immediate; the delay grows with each quick death.
        """
        self.restarts += 1
        self.quick_deaths = self.quick_deaths + 1 if lived_seconds < QUICK_SECONDS else 0
        if self.quick_deaths >= MOST_QUICK_DEATHS and may_give_up:
            return None
        if self.quick_deaths <= 1:
            return 0.0
        return float(min(0.1 * 4 ** min(self.quick_deaths - 2, 10), _LONGEST_WAIT_SECONDS))


def _waiting(sock: socket.socket) -> int:
    if sys.platform != "linux" or sock.family == socket.AF_UNIX:
        return 0
    # struct tcp_info in linux/tcp.h: tcpi_unacked of a listening socket is the length of its accept queue.
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 28)
    return int.from_bytes(info[24:28], sys.byteorder)
