"""A running service: its sockets, server processes, restarts and state. Runs in the main process."""

from __future__ import annotations

import contextlib
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from webdemo import servers
from webdemo.client.endpoint import Endpoint
from webdemo.middleware.stack import ServiceFacts
from webdemo.net.bind import Bind
from webdemo.stats.figures import Sample, Served
from webdemo.supervisor.control_messages import ProcessStatus, ServiceStatus
from webdemo.supervisor.events import Row
from webdemo.supervisor.log_tail import LastLines
from webdemo.supervisor.loop import Loop
from webdemo.supervisor.plan import Service
from webdemo.supervisor.processes import LineReader, LoaderProcess, OnOutput, as_text
from webdemo.worker.loader import send_signal
from webdemo.worker.messages import SERVER_REPORTS, Failed, ServerReport, Signal

MOST_QUICK_DEATHS = 5
QUICK_SECONDS = 5.0
_LONGEST_WAIT_SECONDS = 5.0
_TAIL_LINES = 20
_LONGEST_REPORT = 1 << 20  # far longer than any real one
_OUTPUT_RESTS_SECONDS = 0.005


@dataclass(slots=True, eq=False)
class Listener:
    """A bind, its open sockets, and their addresses."""

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


class State(Enum):
    """The states of a server process."""

    STARTING = "starting"
    READY = "ready"  # it reports that it accepts connections
    UP = "up"  # it has answered a probe
    DRAINING = "draining"
    DEAD = "dead"


class ServerProcess:
    """A server process, from the order to start it until its end."""

    def __init__(self, number: int, service: RunningService) -> None:
        self.number = number
        self.service = service
        self.loader: LoaderProcess | None = None  # None until one has been told to fork it
        self.has_begun = True  # False if it could not be created; a later attempt may succeed
        self.pid: int | None = None
        self.cpu: int | None = None  # the processor that it is pinned to
        self.state = State.STARTING
        self.ordered_at = time.monotonic()
        self.started_at = time.time()
        self.tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self.failure: Failed | None = None
        self.was_draining = False  # its end was requested
        self._readers: list[LineReader] = []

    def read(
        self,
        loop: Loop,
        output: int,
        reports: int,
        *,
        mark: bytes,
        on_output: OnOutput,
        on_message: Callable[[ServerReport], None],
        on_end: Callable[[], None],
    ) -> None:
        """Pass on what it writes to its pipes.

        `output`: its stdout and stderr. `reports`: access log lines, which begin with `mark`, and messages.
        """
        source = str(self.service.service)
        log = self.service.log

        def line(data: bytes) -> None:
            text = as_text(data)
            log.add(text, is_access=False)
            self.tail.append(text)
            on_output(source, text, False)

        def report(data: bytes) -> None:
            if data.startswith(mark):
                text = as_text(data[len(mark) :])
                log.add(text, is_access=True)
                on_output(source, text, True)
            elif data:
                on_message(SERVER_REPORTS.decode(data))

        printed = LineReader(loop, output, line, rest_seconds=_OUTPUT_RESTS_SECONDS)
        reported = LineReader(
            loop,
            reports,
            report,
            on_end,
            longest=_LONGEST_REPORT,
            before=printed.take_rest,  # what the app printed before its response comes before the access line
            rest_seconds=_OUTPUT_RESTS_SECONDS,
        )
        self._readers = [printed, reported]

    def take_output(self) -> None:
        """Read what it has written so far."""
        for reader in self._readers:
            reader.take_rest()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal through the loader: only the parent can be sure that the pid was not reused."""
        if self.state is State.DEAD or self.loader is None:
            return
        if self.loader.alive:
            self.loader.send(Signal(self.number, int(number)))
        elif self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                send_signal(self.pid, number)


@dataclass(slots=True, eq=False)
class RunningService:
    """A service with its listeners and processes. Restart, reload and swap make a new one beside the old."""

    service: Service
    listeners: list[Listener]
    processes: list[ServerProcess] = field(default_factory=list)
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

    def facts(self) -> ServiceFacts:
        """What the run's apps may know about this service."""
        return ServiceFacts(self.service.server, tuple(self.urls()), dict(self.service.options))

    @property
    def ports(self) -> tuple[str, ...]:
        return tuple(listener.name() for listener in self.listeners)

    def served(self) -> Served:
        return Served(self.service.server, self.ports, self.pids, self.restarts)

    def status(self, figures: Sample | None) -> ServiceStatus:
        return ServiceStatus(
            server=self.service.server,
            version=self.version,
            state=self.state,
            dashboard=self.service.target is not None,
            ports=self.ports,
            urls=tuple(self.urls()),
            workers=self.service.workers,
            restarts=self.restarts,
            processes=tuple(
                ProcessStatus(p.pid, p.state.value, p.started_at)
                for p in self.processes
                if p.state is not State.DEAD
            ),
            figures=figures,
        )

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
