"""Runs webdemo as a user does: as a subprocess in its own folder, with an app that the test wrote.

Its output goes to a log, which teardown prints, so that a failed test shows it. The rule: no process outlives
a test. All descendants of a run carry its mark in their environment, so that they can be found.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from webdemo.supervisor.control import Instance

# Deadlines for a machine that is busy with other tests; each step normally takes well under a second.
START_SECONDS = 100.0
END_SECONDS = 60.0

_MARK = "TEST_RUN_MARK"  # not WEBDEMO_..., which would be read as a setting

MODULE = (sys.executable, "-m", "webdemo")
SCRIPT = (str(Path(sys.executable).with_name("webdemo")),)


@dataclass(frozen=True)
class Row:
    """A row of the start table: one server, its URLs and its processes."""

    server: str
    version: str
    urls: tuple[str, ...]
    pids: tuple[int, ...]
    workers: int


class Running:
    """A webdemo started by a test. Its processes are those that carry its mark."""

    def __init__(
        self,
        folder: Path,
        arguments: list[str],
        environment: Mapping[str, str | None],
        command: Sequence[str] = MODULE,
    ) -> None:
        self.log_file = folder / "log"
        self._mark = uuid.uuid4().hex
        # Not in the folder itself, which may be watched or served.
        self._temporary = folder.with_name(f"{folder.name}.tmp")
        self._temporary.mkdir(exist_ok=True)
        merged = os.environ | {"PYTHONUNBUFFERED": "1", "TMPDIR": str(self._temporary)} | dict(environment)
        merged[_MARK] = self._mark
        self._runtime = merged.get("XDG_RUNTIME_DIR")
        with self.log_file.open("wb") as output:
            self.popen = subprocess.Popen(
                [*command, *arguments],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={name: value for name, value in merged.items() if value is not None},
                start_new_session=True,
            )
        self._loaders: set[psutil.Process] = set()

    @property
    def pid(self) -> int:
        return self.popen.pid

    def log(self) -> str:
        """All that it has said, once it has ended.

        While it runs, a line may still be on its way: the log is written by threads, after the responses.
        A test waits for a line with `wait_for`. That a line comes once, or never, is known at the end.
        """
        assert self.popen.poll() is not None, "its log is not complete while it runs: use wait_for()"
        return self.log_so_far()

    def log_so_far(self) -> str:
        """What has been written by now: for the message of a failed test, and to be polled."""
        return self.log_file.read_text(errors="replace")

    # -- what it says ----------------------------------------------------------------------------

    def wait_until_ready(self) -> None:
        self.wait_for(r"^Ready in ", START_SECONDS)

    def wait_for(self, pattern: str, seconds: float = END_SECONDS, *, times: int = 1) -> list[str]:
        """Wait until the log has `times` matches of the pattern (a multi-line regex), and return them."""
        deadline = time.monotonic() + seconds
        while True:
            ended = self.popen.poll() is not None
            found = [m.group() for m in re.finditer(pattern, self.log_so_far(), re.MULTILINE)]
            if len(found) >= times:
                return found
            assert not ended, f"it ended with exit code {self.popen.returncode}:\n{self.log_so_far()}"
            assert time.monotonic() < deadline, f"not within {seconds} s: {pattern}\n{self.log_so_far()}"
            time.sleep(0.02)

    def rows(self) -> list[Row]:
        """The start table."""
        lines = iter(self.log_so_far().splitlines())
        next(line for line in lines if re.match(r"SERVER +VERSION +URL", line))
        rows: list[Row] = []
        for line in lines:
            if line.startswith("Ready in "):
                return rows
            if line.startswith(" "):
                rows[-1] = Row(
                    rows[-1].server,
                    rows[-1].version,
                    (*rows[-1].urls, line.strip()),
                    rows[-1].pids,
                    rows[-1].workers,
                )
            else:
                server, version, url, pids, workers = re.split(r" {2,}", line)
                rows.append(
                    Row(
                        server,
                        version,
                        (url,),
                        tuple(int(pid) for pid in pids.split() if pid != "-"),
                        int(workers),
                    )
                )
        raise AssertionError(f"the start table has no end:\n{self.log_so_far()}")

    @property
    def urls(self) -> list[str]:
        """Every URL of the start table, in order: http://..., https://... or unix:/path."""
        return [url for row in self.rows() for url in row.urls]

    @property
    def url(self) -> str:
        return self.urls[0]

    @property
    def control(self) -> Instance:
        """Its control socket, which takes commands without a process for each of them."""
        return Instance(self.pid, Path(self._runtime or "", "webdemo", f"{self.pid}.sock"))

    # -- its processes ---------------------------------------------------------------------------

    def processes(self) -> list[psutil.Process]:
        """Its running processes: supervisor, loaders, servers, workers, and whatever they started."""
        found = [process for process in psutil.process_iter() if self._owns(process)]
        self._loaders |= {process for process in found if _parent(process) == self.pid}
        return found

    def _owns(self, process: psutil.Process) -> bool:
        try:
            return bool(
                process.environ().get(_MARK) == self._mark and process.status() != psutil.STATUS_ZOMBIE
            )
        except (psutil.Error, OSError):  # it has ended, or belongs to another user
            return False

    def loaders(self) -> list[psutil.Process]:
        """The running loaders, oldest first."""
        found = [p for p in self.processes() if p in self._loaders]
        return sorted(found, key=lambda p: p.create_time())

    def servers(self) -> list[psutil.Process]:
        """The running server processes, without their workers: the children of the loaders."""
        found = [child for loader in self.loaders() for child in children(loader)]
        return sorted(found, key=lambda p: p.pid)

    def wait_until_gone(self, seconds: float = END_SECONDS) -> None:
        """Wait until none of its processes is left."""
        deadline = time.monotonic() + seconds
        while left := self.processes():
            assert time.monotonic() < deadline, f"still there after {seconds} s: {left}\n{self.log_so_far()}"
            time.sleep(0.02)

    def wait_until_ended(self, processes: Collection[psutil.Process]) -> None:
        """Wait until these processes of it have ended, such as those that a reload replaces."""
        wait_until(lambda: not any(map(lives, processes)), self.log_so_far)

    def wait_until_accepted(self, client: socket.socket) -> None:
        """Wait until one of its processes has accepted this client's connection."""
        address = client.getsockname()[:2]
        wait_until(
            lambda: any(
                connection.raddr == address
                for process in self.processes()
                for connection in _connections(process)
            ),
            self.log_so_far,
        )

    # -- its end ---------------------------------------------------------------------------------

    def signal(self, number: signal.Signals) -> None:
        self.popen.send_signal(number)

    def wait(self, seconds: float = END_SECONDS) -> int:
        """Wait until it has exited, and return the exit code."""
        try:
            return self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it still runs after {seconds} s:\n{self.log_so_far()}") from None

    def terminate(self, seconds: float = END_SECONDS) -> int:
        """Shut it down gracefully with SIGTERM, and return the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait(seconds)

    def clean_up(self) -> None:
        """Kill all remaining processes, and print the log: pytest shows it if the test failed."""
        deadline = time.monotonic() + END_SECONDS
        while left := self.processes():
            assert time.monotonic() < deadline, f"these cannot be killed: {left}"
            for process in left:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            time.sleep(0.01)
        code = self.popen.wait(END_SECONDS)
        print(f"--- {' '.join(map(str, self.popen.args))}\n{self.log()}---")  # type: ignore[arg-type,unused-ignore]
        if code >= 0:
            assert not (files := list(self._temporary.iterdir())), f"it ended, and left {files}"
        elif self._runtime:  # it was killed, and could not remove its control socket
            Path(self._runtime, "webdemo", f"{self.pid}.sock").unlink(missing_ok=True)


Start = Callable[..., Running]


def start(
    folder: Path,
    *arguments: str,
    app: str | None = None,
    wait: bool = True,
    environment: Mapping[str, str | None] | None = None,
    command: Sequence[str] = MODULE,
) -> Running:
    """Start webdemo by MODULE or SCRIPT with these arguments in `folder`, and wait until it is ready.

    `app` is source code that defines `app`; it is written to served.py and passed with --app.
    `environment` is added to this process's own; None removes a variable. Tests use the `running` fixture,
    which calls this and cleans up.
    """
    folder.mkdir(parents=True, exist_ok=True)
    chosen = []
    if app is not None:
        (folder / "served.py").write_text(app)
        chosen = ["--app", "served:app"]
    running = Running(folder, [*chosen, *arguments], environment or {}, command)
    if wait:
        try:
            running.wait_until_ready()
        except BaseException:
            running.clean_up()
            raise
        running.processes()
    return running


def lives(process: psutil.Process) -> bool:
    """Whether the process runs. A zombie, whose parent may be this process, does not."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def children(process: psutil.Process, *, recursive: bool = False) -> list[psutil.Process]:
    """Its running children (recursively, also their children); none if it has ended."""
    try:
        return list(process.children(recursive=recursive))
    except psutil.NoSuchProcess:
        return []


def wait_until(condition: Callable[[], object], told: Callable[[], object] = str) -> None:
    """Wait until the condition is true; a failure shows the result of `told`."""
    deadline = time.monotonic() + END_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not within {END_SECONDS} s: {told()}"
        time.sleep(0.02)


def _connections(process: psutil.Process) -> list[Any]:
    try:
        return list(process.net_connections("tcp"))
    except (psutil.Error, OSError):
        return []


def _parent(process: psutil.Process) -> int | None:
    try:
        return int(process.ppid())
    except psutil.NoSuchProcess:
        return None
