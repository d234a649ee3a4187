"""Servers as processes: started by command, timed until their first response, measured, stopped.

The rule: only processes started here are ever stopped, each by its id.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from bench.responses import Response
from webdemo.client import wire
from webdemo.client.endpoint import Endpoint
from webdemo.compare import processes

_PROJECT = Path(__file__).resolve().parents[1]

READY_SECONDS = 60.0
STOP_SECONDS = 20.0
_POLL_SECONDS = 0.002


def free_ports(count: int) -> list[int]:
    """Ports that were free just now, for peers that open their ports themselves."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [int(sock.getsockname()[1]) for sock in sockets]


@dataclass(slots=True)
class Running:
    """Commands that together serve on some ports; a context manager that stops them at its end.

    They run in the folder of their log. `cpus` are the processors that they may use; None means all.
    """

    commands: Sequence[Sequence[str]]
    ports: Sequence[int]
    log: Path
    cpus: AbstractSet[int] | None = None
    ready_seconds: float = 0.0  # from the start until every port has answered
    _popens: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __enter__(self) -> Running:
        began = time.perf_counter()
        try:
            with self.log.open("ab") as log:
                for command in self.commands:
                    self._popens.append(self._start(command, log))
            for port in self.ports:
                self._wait_for(port)
        except BaseException:
            self.kill()
            raise
        self.ready_seconds = time.perf_counter() - began
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _start(self, command: Sequence[str], log: BinaryIO) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command,
            cwd=self.log.parent,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env=_environment(),
            preexec_fn=None if self.cpus is None else self._keep_to_cpus,
        )

    def _keep_to_cpus(self) -> None:
        os.sched_setaffinity(0, self.cpus or ())

    def _wait_for(self, port: int) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not answers(port):
            if any(popen.poll() is not None for popen in self._popens) or time.monotonic() > deadline:
                last = "\n".join(self.log.read_text(errors="replace").splitlines()[-5:])
                raise RuntimeError(f"{' '.join(self.commands[0])} does not answer on port {port}:\n{last}")
            time.sleep(_POLL_SECONDS)

    def pids(self) -> list[int]:
        """The processes of the commands and all their descendants."""
        return processes.with_descendants(popen.pid for popen in self._popens)

    def cpu_seconds(self) -> float:
        """The CPU time of its processes so far, with nanosecond resolution."""
        return processes.cpu_seconds(self.pids())

    def pss_bytes(self) -> int:
        """The memory of its processes as proportional set size: shared memory counts once."""
        return processes.memory_bytes(self.pids())

    def peak_bytes(self) -> int:
        """The peak resident memory of any one of its processes (VmHWM)."""
        peaks = [0]
        for pid in self.pids():
            with contextlib.suppress(OSError):
                status = Path(f"/proc/{pid}/status").read_text()
                peaks += [int(line.split()[1]) * 1024 for line in status.splitlines() if "VmHWM" in line]
        return max(peaks)

    def stop(self) -> float:
        """Send SIGTERM and return the seconds until all have exited; kills them after STOP_SECONDS."""
        cut_off = threading.Timer(STOP_SECONDS, self._kill_all)
        cut_off.start()
        began = time.perf_counter()
        for popen in self._popens:
            popen.send_signal(signal.SIGTERM)
        for popen in self._popens:
            popen.wait()  # with a timeout it would poll, with delays of up to 50 ms
        cut_off.cancel()
        return time.perf_counter() - began

    def kill(self) -> None:
        """Kill them and all their descendants."""
        self._kill_all()
        for popen in self._popens:
            popen.wait(STOP_SECONDS)

    def _kill_all(self) -> None:
        for pid in reversed(self.pids()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _environment() -> dict[str, str]:
    """Our environment, but Python may write compiled modules, or it would compile them at each start.

    PYTHONPATH makes the contestants importable from any folder, because some commands read files in the
    project's own folder.
    """
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"PYTHONPATH": str(_PROJECT)}


def answers(port: int) -> bool:
    """Whether a port of this machine gives an HTTP response."""
    try:
        ask(port, "/")
    except OSError:
        return False
    return True


def ask(port: int, path: str) -> Response:
    """Send one GET on a new connection; raises OSError without a complete response."""
    endpoint = Endpoint.of_port(port)
    request = wire.encode_request(path, host=endpoint.authority)
    exchange = wire.exchange(endpoint, [request], ["GET"], seconds=5)
    if not exchange.is_answered:
        raise ConnectionError(f"Port {port} does not answer.")
    response = exchange.responses[0]
    content_type, length = response.header("Content-Type") or "", response.header("Content-Length") or ""
    return Response(str(response.status), content_type, length, response.body)


def split_cpus() -> tuple[AbstractSet[int], AbstractSet[int]] | None:
    """One processor for a server and one for its load; None on a machine with a single processor."""
    split = processes.split_cpus()
    return ({min(split[0])}, split[1]) if split else None
