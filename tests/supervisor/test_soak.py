"""Servers side by side under load, while processes die or are stopped, commands overlap, and files are saved.

A soak is a row of rounds. In each, a few things happen at once, chosen at random; then nothing more happens,
and what is desired must come to be. The promises, checked after each round:
- No connection was refused. A killed process lost at most one request of each of its clients.
- 503 came only where a loader was killed, or the code was broken, and a server process was killed as well.
- Each command was answered truthfully; an error needs a cause in this round.
- Every port serves the code that was saved last, and the processes are exactly the desired ones.

At the end the supervisor has no more descriptors and hardly more memory than after the first rounds, and a
fresh reconciler decides from the same facts as it did (tests/supervisor/recording.py).

The seed is printed; SOAK_SEED=N repeats its choices, though not their timing.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from tests import raw_http
from tests import running as runs
from tests.supervisor import recording
from tests.supervisor.test_overlaps import begin

pytestmark = pytest.mark.process

SHORT_SECONDS = 20
OTHERS_SECONDS = 5 * 60
LONG_SECONDS = 30 * 60
MAIN = ("werkzeug", "waitress", "gunicorn")
OTHERS = ("wsgiref", "cheroot", "gevent", "hypercorn")

CLIENTS_PER_PORT = 2
ROUNDS_TO_WARM_UP = 2
MOST_NEW_MEGABYTES = 12
ANSWER_SECONDS = 240  # more than the supervisor allows for any change

APP = """
import os
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{release} {{os.getpid()}} {{environ['SERVER_SOFTWARE']}}".encode()]
"""
BROKEN = {
    "a syntax error": "def app(:",
    "an exception": "raise RuntimeError('broken')",
    "an exit": "import os; os._exit(3)",
    "an import that hangs": "import time; time.sleep(600)",
}
SOFTWARE = {"wsgiref": "wsgiserver"}  # others begin with their names


class Served(NamedTuple):
    release: int
    pid: int
    software: str

    def is_by(self, server: str) -> bool:
        return self.software.lower().startswith(SOFTWARE.get(server, server))


class Command:
    """A command of webdemo, in a thread of its own, with a check that holds once it has succeeded."""

    def __init__(self, run: runs.Running, arguments: list[str], check: Callable[[], None]) -> None:
        self.text = " ".join(arguments)
        self.exit_code: int | None = None
        self.out = ""
        self.untrue = ""
        self._process = begin(run, *arguments)
        self._check = check
        self._thread = threading.Thread(target=self._wait)
        self._thread.start()

    def _wait(self) -> None:
        with self._process as process:
            try:
                self.out, _ = process.communicate(timeout=ANSWER_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                return
            self.exit_code = process.returncode
        if self.exit_code == 0:
            try:
                self._check()
            except AssertionError as exc:
                self.untrue = str(exc)

    def join(self) -> None:
        self._thread.join()


class Soak:
    def __init__(self, run: runs.Running, load: raw_http.Load, servers: tuple[str, ...], seed: int) -> None:
        self.run = run
        self.load = load
        self.servers = servers
        self.random = random.Random(seed)
        self.release = 1  # of the last save without an error
        self.began = time.monotonic()
        self.rounds = 0
        self.commands: list[Command] = []
        self.stopped: list[tuple[psutil.Process, float]] = []  # until when
        self.swapped: set[str] = set()
        self.kills = 0
        self.causes: set[str] = set()  # why commands of this round may fail

    def note(self, text: str) -> None:
        print(f"{time.monotonic() - self.began:8.2f} {text}")

    # -- a round ---------------------------------------------------------------------------------

    def play_round(self) -> None:
        self.rounds += 1
        self.note(f"round {self.rounds}")
        before = dict(self.load.outcomes)
        details = len(self.load.details)
        self.commands, self.swapped, self.kills = [], set(), 0
        self.causes = {"replaced by a later command"}
        for _ in range(self.random.randint(1, 5)):
            self.random.choice(STEPS)(self)
            self.pause(self.random.choice((0, 0.05, 0.3, 1)) * self.random.random())
        while self.stopped:
            self.pause(0.05)
        self.save()
        for command in self.commands:
            command.join()
        self.wait_until_settled()
        self.load.wait_for_each()
        self.check_commands()
        self.check_losses(before, self.load.details[details:])

    def pause(self, seconds: float) -> None:
        """Sleep, and continue the stopped processes whose time is over."""
        time.sleep(seconds)
        for process, until in list(self.stopped):
            if time.monotonic() >= until:
                self.stopped.remove((process, until))
                _signal(process, signal.SIGCONT)

    # -- what happens ----------------------------------------------------------------------------

    def kill_server(self) -> None:
        if victims := self.server_processes():
            self.kills += 1
            self.causes |= {"did not come up", "cannot be loaded"}
            self.signal(victims, signal.SIGKILL)

    def kill_loader(self) -> None:
        if victims := self.loaders():
            self.causes |= {"did not come up", "cannot be loaded", "loader killed"}
            self.signal(victims, signal.SIGKILL)

    def stop_server(self) -> None:
        self.stop(self.server_processes())

    def stop_loader(self) -> None:
        self.stop(self.loaders())

    def stop(self, victims: list[psutil.Process]) -> None:
        if victims:
            victim = self.signal(victims, signal.SIGSTOP)
            self.stopped.append((victim, time.monotonic() + 2 * self.random.random()))

    def signal(self, victims: list[psutil.Process], number: signal.Signals) -> psutil.Process:
        victim = self.random.choice(victims)
        self.note(f"{number.name} to {victim.pid}")
        _signal(victim, number)
        return victim

    def loaders(self) -> list[psutil.Process]:
        return list(psutil.Process(self.run.pid).children())

    def server_processes(self) -> list[psutil.Process]:
        """The server processes and their workers, without those whose loader was killed."""
        return [p for loader in self.loaders() for p in runs.children(loader, recursive=True)]

    def reload(self) -> None:
        release = self.release
        self.command("reload", check=lambda: self.all_meet(lambda served: served.release >= release))

    def hang_up(self) -> None:
        self.note("SIGHUP")
        self.run.signal(signal.SIGHUP)

    def restart_one(self) -> None:
        url = self.random.choice(self.run.urls)
        self.command("restart", _port(url))

    def restart_all(self) -> None:
        self.command("restart")

    def swap(self) -> None:
        left = [url for url in self.run.urls if url not in self.swapped]
        if left:
            url, server = self.random.choice(left), self.random.choice(self.servers)
            self.swapped.add(url)
            self.command(
                "swap", _port(url), server, check=lambda: self.meets(url, lambda served: served.is_by(server))
            )

    def command(self, *arguments: str, check: Callable[[], None] = lambda: None) -> None:
        self.note(" ".join(arguments))
        self.commands.append(Command(self.run, list(arguments), check))

    def save(self) -> None:
        self.release += 1
        self.note(f"save release {self.release}")
        self.write(APP.format(release=self.release))

    def save_broken(self) -> None:
        what = self.random.choice(list(BROKEN))
        self.causes |= {"cannot be loaded", "broken", "did not come up", "SyntaxError", "RuntimeError"}
        self.note(f"save {what}")
        self.write(BROKEN[what])

    def write(self, source: str) -> None:
        """As editors do: a new file in its place, so that no half is ever read."""
        folder = self.run.log_file.parent
        (folder / "new~").write_text(source)
        (folder / "new~").replace(folder / "served.py")

    # -- the promises ----------------------------------------------------------------------------

    def meets(self, url: str, is_wanted: Callable[[Served], bool]) -> None:
        """Check that a new client meets this; an old process may still drain, or be stopped."""
        met: list[str] = []
        while len(met) < 50:
            try:
                served = _get(url)
            except (OSError, raw_http.Cut, ValueError) as exc:
                met.append(repr(exc))
            else:
                if is_wanted(served):
                    return
                met.append(str(served))
            time.sleep(0.1)
        raise AssertionError(f"{url} {met}")

    def all_meet(self, is_wanted: Callable[[Served], bool]) -> None:
        for url in self.run.urls:
            self.meets(url, is_wanted)

    def wait_until_settled(self) -> None:
        """Wait until everything is as desired, by webdemo's own word and by the system's."""
        runs.wait_until(
            lambda: not self.what_differs(), lambda: f"{self.what_differs()}\n{self.run.log_so_far()}"
        )

    def what_differs(self) -> str:
        for url in self.run.urls:
            try:
                releases = {_get(url).release for _ in range(3)}
            except (OSError, raw_http.Cut, ValueError) as exc:
                return f"{url} {exc!r}"
            if releases != {self.release}:
                return f"{url} serves {releases}, not {self.release}"
        status = self.run.control.status()
        if status.changes or any(s.state != "up" or s.other_processes for s in status.services):
            return str(status)
        desired = {process.pid for service in status.services for process in service.processes}
        if len(desired) != len(self.run.urls):
            return f"{len(desired)} processes serve {len(self.run.urls)} ports"
        servers = {process.pid for process in self.run.servers()}
        everything = {process.pid for process in self.run.processes()}
        serving = [process for process in self.run.servers() if process.pid in desired]
        workers = {child.pid for process in serving for child in runs.children(process, recursive=True)}
        loaders = {process.pid for process in self.loaders()}
        if servers != desired or everything != desired | workers | loaders | {self.run.pid}:
            return f"{everything} run, {desired} serve, {workers} are workers, {loaders} loaders"
        return ""

    def check_commands(self) -> None:
        for command in self.commands:
            assert command.exit_code is not None, f"{command.text} is not answered"
            assert not command.untrue, f"{command.text} has succeeded, but {command.untrue}"
            assert command.exit_code == 0 or any(cause in command.out for cause in self.causes), (
                f"{command.text}: {command.out}, in a round with {self.causes}"
            )

    def check_losses(self, before: dict[str, int], details: list[str]) -> None:
        refused = self.load.outcomes["refused"] - before.get("refused", 0)
        assert refused == 0, details
        unavailable = [detail for detail in details if " 503 " in detail]
        assert not unavailable or (self.kills and self.causes & {"broken", "loader killed"}), details
        assert len(details) - len(unavailable) <= self.kills * CLIENTS_PER_PORT, details


STEPS: tuple[Callable[[Soak], None], ...] = (
    Soak.kill_server,
    Soak.kill_server,
    Soak.kill_loader,
    Soak.stop_server,
    Soak.stop_loader,
    Soak.reload,
    Soak.hang_up,
    Soak.restart_one,
    Soak.restart_all,
    Soak.swap,
    Soak.swap,
    Soak.save,
    Soak.save_broken,
)


def soak(running: runs.Start, folder: Path, servers: tuple[str, ...], seconds: float) -> None:
    seed = int(os.environ.get("SOAK_SEED", time.time_ns() % 1_000_000))
    print(f"SOAK_SEED={seed}")
    recorded = folder / "recording"
    run = running(
        *(argument for server in servers for argument in ("-b", f"{server}://127.0.0.1:0")),
        *("--reload", "--no-access-log", "--grace", "30"),
        app=APP.format(release=1),
        command=(*recording.COMMAND, str(recorded)),
        environment={"XDG_RUNTIME_DIR": str(folder / "run1")},
    )
    supervisor = psutil.Process(run.pid)
    with raw_http.Load(run.urls, clients=CLIENTS_PER_PORT * len(run.urls)) as load:
        one = Soak(run, load, servers, seed)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline or one.rounds <= ROUNDS_TO_WARM_UP:
            one.play_round()
            if one.rounds == ROUNDS_TO_WARM_UP:
                memory, descriptors = supervisor.memory_info().rss, supervisor.num_fds()
    grown = (supervisor.memory_info().rss - memory) / 1e6
    print(f"{one.rounds} rounds, {load.outcomes}, {supervisor.num_fds()} descriptors, {grown:+.1f} MB")
    # Replaced loaders end within seconds.
    runs.wait_until(lambda: supervisor.num_fds() <= descriptors, run.log_so_far)
    assert grown <= MOST_NEW_MEGABYTES
    assert run.terminate() == 0
    run.wait_until_gone()
    recording.check(recorded)


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(number)


def _port(url: str) -> str:
    return url.rstrip("/").rpartition(":")[2]


def _get(url: str) -> Served:
    release, pid, software = raw_http.get(url).text.split(" ", 2)
    return Served(int(release), int(pid), software)


def test_a_short_soak(running: runs.Start, tmp_path: Path) -> None:
    soak(running, tmp_path, MAIN, SHORT_SECONDS)


@pytest.mark.deep
@pytest.mark.timeout(OTHERS_SECONDS + 600)
def test_a_soak_of_the_other_servers(running: runs.Start, tmp_path: Path) -> None:
    soak(running, tmp_path, OTHERS, OTHERS_SECONDS)


@pytest.mark.deep
@pytest.mark.timeout(LONG_SECONDS + 600)
def test_a_long_soak(running: runs.Start, tmp_path: Path) -> None:
    soak(running, tmp_path, MAIN, LONG_SECONDS)
