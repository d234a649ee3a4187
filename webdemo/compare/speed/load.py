"""Puts load on one server and reports what the clients saw: with wrk if installed, else our own client.

Both run in a separate process, so that the load's processor time is known apart from the server's.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from webdemo.errors import WebdemoError
from webdemo.worker import interpreter

# wrk is interrupted when the time is over, because its -d takes whole seconds only.
_WRK_SECONDS = "60s"
_WRK_SCRIPT = Path(__file__).with_name("figures.lua")
# It ignores an interrupt until it has connected, so it is interrupted again after this time.
_INTERRUPT_SECONDS = 0.25
# How long the load generator may take to exit after its time.
_END_SECONDS = 15.0

# A server that was given up during the comparison must not end the comparison.
_NOT_CONNECTED = "unable to connect to "


class Load(NamedTuple):
    """What the clients saw; latencies are 0 without responses."""

    requests: int
    seconds: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    failed_connections: int
    error_responses: int  # with a status of 400 or more
    client_cpu_seconds: float = 0.0
    received_bytes: int = 0  # known only of wrk

    @property
    def errors(self) -> int:
        return self.failed_connections + self.error_responses

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds

    @property
    def bytes_per_second(self) -> float:
        return self.received_bytes / self.seconds


class Generator(NamedTuple):
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
            command = [self.wrk, "-t1", f"-c{connections}", f"-d{_WRK_SECONDS}", f"-s{_WRK_SCRIPT}"]
            command += [*(f"-H{line}" for line in headers), f"http://127.0.0.1:{port}{path}"]
        else:
            command = [*interpreter.python(), "-m", "webdemo.compare.speed.load_client"]
            command += [str(port), path, str(connections), str(seconds)]
        while True:
            before = _children_cpu_seconds()
            output = self._output_of(command, seconds)
            if output or self.wrk is None or seconds >= _END_SECONDS:
                return read(output, _children_cpu_seconds() - before)
            seconds *= 2  # on a busy machine, the interrupt came before wrk was ready for it

    def _output_of(self, command: Sequence[str], seconds: float) -> str:
        """What it prints; a generator that has not ended in time has not connected."""
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
                deadline = time.monotonic() + seconds + _END_SECONDS
                if self.wrk is not None:
                    time.sleep(seconds)
                while time.monotonic() < deadline:
                    if self.wrk is not None:
                        process.send_signal(signal.SIGINT)
                    with suppress(subprocess.TimeoutExpired):
                        return process.communicate(timeout=_INTERRUPT_SECONDS)[0]
                return _NOT_CONNECTED
            finally:
                process.kill()

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


def find_generator(cpus: frozenset[int] | None) -> Generator:
    return Generator(shutil.which("wrk"), cpus)


def read(output: str, cpu_seconds: float) -> Load:
    """Parse what a generator printed, with the figures as JSON in the last line. Raises WebdemoError."""
    if output.startswith(_NOT_CONNECTED):
        return Load(0, 1.0, 0.0, 0.0, 0.0, failed_connections=1, error_responses=0)
    lines = output.strip().splitlines() or [""]
    try:
        return Load(**json.loads(lines[-1]), client_cpu_seconds=cpu_seconds)
    except (ValueError, TypeError) as exc:
        raise WebdemoError(
            f"The load generator printed {lines[0]!r}.",
            remedy="Install wrk, or compare without it: --only behaviour",
        ) from exc


def _children_cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
