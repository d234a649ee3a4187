"""Puts load on one server and reports what the clients saw: with wrk if installed, else our own client.

Both run in a separate process, so that the load's processor time is known apart from the server's.
"""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from webdemo.errors import WebdemoError
from webdemo.worker import interpreter

# wrk is interrupted when the time is over, because its -d takes whole seconds only.
_WRK_SECONDS = "60s"
# How long the load generator may take to exit after its time.
_END_SECONDS = 15.0

_COUNT = re.compile(r"(\d+) requests in ([\d.]+)(us|ms|s|m|h)\b")
_LATENCY = re.compile(r"^ +(50|90|99)% +([\d.]+)(us|ms|s|m|h)$", re.MULTILINE)
_SOCKET_ERRORS = re.compile(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)")
_TRANSFER = re.compile(r"Transfer/sec: +([\d.]+)([KMG]?B)$", re.MULTILINE)
_STATUS_ERRORS = re.compile(r"Non-2xx or 3xx responses: (\d+)")
# A server that was given up during the comparison must not end the comparison.
_NOT_CONNECTED = "unable to connect to "
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_BYTES = {"B": 1, "KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30}


@dataclass(frozen=True, slots=True)
class Load:
    """What the clients saw; latencies are 0 without responses."""

    requests: int
    seconds: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    failed_connections: int
    error_responses: int  # with a status of 400 or more
    client_cpu_seconds: float
    bytes_per_second: float = 0.0  # known only of wrk

    @property
    def errors(self) -> int:
        return self.failed_connections + self.error_responses

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds


@dataclass(frozen=True, slots=True)
class Generator:
    """The load generator. `wrk`: its path, or None for our own client. `cpus`: its processors."""

    wrk: str | None
    cpus: frozenset[int] | None = None

    @property
    def name(self) -> str:
        if self.wrk is None:
            return "webdemo’s own client (h11)"
        # `wrk -v` prints its version, then its usage, and exits with 1.
        text = subprocess.run([self.wrk, "-v"], capture_output=True, text=True, check=False).stdout
        return f"wrk {text.split()[1]}" if text.startswith("wrk ") else "wrk"

    def run(
        self, port: int, path: str, *, connections: int, seconds: float, headers: Sequence[str] = ()
    ) -> Load:
        """Load the path on this port; raises WebdemoError if the generator itself fails.

        Only wrk sends `headers`, lines of `Name: value`.
        """
        if self.wrk is not None:
            command = [self.wrk, "-t1", f"-c{connections}", f"-d{_WRK_SECONDS}", "--latency"]
            command += [f"-H{line}" for line in headers]
            command.append(f"http://127.0.0.1:{port}{path}")
        else:
            command = [*interpreter.python(), "-m", "webdemo.compare.speed.load_client"]
            command += [str(port), path, str(connections), str(seconds)]
        while True:
            before = _children_cpu_seconds()
            output = self._output_of(command, seconds)
            cpu_seconds = _children_cpu_seconds() - before
            if self.wrk is None:
                return read_own(output, cpu_seconds)
            if output or seconds >= _END_SECONDS:
                return read_wrk(output, cpu_seconds)
            seconds *= 2  # on a busy machine, the interrupt came before wrk was ready for it

    def _output_of(self, command: Sequence[str], seconds: float) -> str:
        with self._on_its_cpus():
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        with process:
            try:
                if self.wrk is not None:
                    time.sleep(seconds)
                    process.send_signal(signal.SIGINT)
                output, _ = process.communicate(timeout=seconds + _END_SECONDS)
            except subprocess.TimeoutExpired as exc:
                raise _no_load(f"{command[0]} does not end.") from exc
            finally:
                process.kill()
        return output

    @contextmanager
    def _on_its_cpus(self) -> Iterator[None]:
        """A process started by this thread within the context runs on these processors from the start."""
        if self.cpus is None:
            yield
            return
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, self.cpus)
        try:
            yield
        finally:
            os.sched_setaffinity(0, before)


def _no_load(problem: str) -> WebdemoError:
    return WebdemoError(problem, remedy="Install wrk, or compare without it: --only behaviour")


def find_generator(cpus: frozenset[int] | None) -> Generator:
    return Generator(shutil.which("wrk"), cpus)


def read_wrk(text: str, cpu_seconds: float) -> Load:
    """Parse the output of `wrk --latency`; raises WebdemoError for anything else."""
    if text.startswith(_NOT_CONNECTED):
        return Load(0, 1.0, 0.0, 0.0, 0.0, 1, 0, cpu_seconds)
    count = _COUNT.search(text)
    if count is None:
        raise _no_load(f"wrk printed {_first_line(text)!r}.")
    latencies = {int(p): float(value) * _SECONDS[unit] * 1000 for p, value, unit in _LATENCY.findall(text)}
    transfer = _TRANSFER.search(text)

    def sum_of(pattern: re.Pattern[str]) -> int:
        found = pattern.search(text)
        return sum(map(int, found.groups())) if found else 0

    return Load(
        requests=int(count[1]),
        seconds=float(count[2]) * _SECONDS[count[3]],
        p50_ms=latencies.get(50, 0.0),
        p90_ms=latencies.get(90, 0.0),
        p99_ms=latencies.get(99, 0.0),
        failed_connections=sum_of(_SOCKET_ERRORS),
        error_responses=sum_of(_STATUS_ERRORS),
        client_cpu_seconds=cpu_seconds,
        bytes_per_second=float(transfer[1]) * _BYTES[transfer[2]] if transfer else 0.0,
    )


def read_own(text: str, cpu_seconds: float) -> Load:
    """Parse the output of our own client; raises WebdemoError for anything else."""
    try:
        figures = json.loads(text)
    except ValueError as exc:
        raise _no_load(f"The client printed {_first_line(text)!r}.") from exc
    return Load(**figures, client_cpu_seconds=cpu_seconds)


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]


def _children_cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
