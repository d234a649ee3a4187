"""Runs the app on every chosen server, each in its own run, during a comparison.

The rules: a server that is missing, crashes or hangs at start is a result like any other. However the
comparison ends, nothing that it started outlives it: each run exits when its standard input closes.
"""

from __future__ import annotations

import contextlib
import json
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit

from webdemo.client.endpoint import Endpoint
from webdemo.compare import one_run
from webdemo.compare.processes import with_descendants
from webdemo.compare.results import Server, State
from webdemo.errors import ServerUnavailable, UsageError
from webdemo.net.bind import Bind
from webdemo.servers import registry
from webdemo.supervisor import plan as plans
from webdemo.worker import interpreter
from webdemo.worker.app_import import Target
from webdemo.worker.codec import plain

START_SECONDS = 20.0
GRACE_SECONDS = 2.0
_END_SECONDS = 5.0  # beyond the grace

# Compared by default in addition to each server's defaults: a sync Gunicorn behaves like another server.
_ALSO = {"gunicorn": ("gunicorn?threads=1",)}


class Choice(NamedTuple):
    """A server with its options, as given by the user: `gunicorn?threads=1`."""

    label: str

    @property
    def bind_text(self) -> str:
        name, mark, options = self.label.partition("?")
        return f"{name}://127.0.0.1:0{mark}{options}"

    @property
    def name(self) -> str:
        return self.label.partition("?")[0]

    @property
    def options(self) -> dict[str, str]:
        return dict(Bind.parse(self.bind_text).server_options)


def choose(labels: Sequence[str]) -> list[Choice]:
    """The named servers, or all that run apps; raises UsageError for anything else.

    A known server that is not installed is included: the result will say so.
    """
    if not labels:
        known = [a.name for a in registry.known() if a.runs_app and not a.name.startswith(registry.PASTE)]
        labels = [label for name in known for label in (name, *_ALSO.get(name, ()))]
    if twice := {label for label in labels if labels.count(label) > 1}:
        raise UsageError(f"The server {min(twice)} is given twice.", remedy="Give each once.")
    choices = [Choice(label) for label in labels]
    for choice in choices:
        if not registry.find(choice.name).runs_app:
            raise UsageError(f"The server {choice.name} runs no app.", remedy="See: webdemo servers")
        with contextlib.suppress(ServerUnavailable):
            plans.services([Bind.parse(choice.bind_text)], default_server=choice.name)
    return choices


class Run:
    """One server's run, or why it was not started. `port` and `pids` are set once it is up."""

    def __init__(self, choice: Choice, target: Target) -> None:
        self.choice = choice
        self.state: State = "missing"
        self.problem: str | None = None
        self.port = 0
        self.pids: tuple[int, ...] = ()  # the server's processes; workers are their children
        self.start_seconds = 0.0  # from the start of the run to the first response
        self._began = time.monotonic()
        self._popen: subprocess.Popen[str] | None = None
        self._events: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._last_problem = "it ended without output"
        self._deaths = 0  # of its processes, after it was up
        adapter = registry.find(choice.name)
        try:
            if adapter.version() is None:
                self.problem = f"The server {choice.name} is not installed: {adapter.install_command()}"
        except ServerUnavailable as exc:
            self.problem = exc.problem
        if self.problem:
            return
        self._popen = subprocess.Popen(
            [
                *interpreter.python(),
                "-m",
                "webdemo.compare.one_run",
                json.dumps(plain(one_run.Order(choice.bind_text, target, GRACE_SECONDS))),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # Ctrl-C reaches only the comparison, which stops its runs in order
        )
        self._reader = threading.Thread(target=self._read, args=(self._popen,), daemon=True)
        self._reader.start()

    host = "localhost"  # for the Host header: the same on every server

    @property
    def label(self) -> str:
        return self.choice.label

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint.of_port(self.port)

    def own_words(self) -> set[str]:
        """Its port and process ids: what a response may contain of this run alone.

        Numbers below 1000 are left out, as they may mean anything.
        """
        return {str(number) for number in (self.port, *with_descendants(self.pids)) if number > 999}

    def wait_until_up(self, deadline: float) -> None:
        """Wait until it has responded, has ended, or `deadline` (time.monotonic) is over; sets `state`."""
        if self._popen is not None:
            self.state, self.problem = "hung", f"It did not respond within {START_SECONDS:g} s."
        while self.state == "hung" and self._follow(max(0.0, deadline - time.monotonic())):
            pass

    def is_up(self) -> bool:
        """Whether it still runs; if it has ended meanwhile, its state becomes crashed."""
        while self.state == "up" and self._follow(0):
            pass
        return self.state == "up"

    def row(self) -> Server:
        self.is_up()
        return Server(
            label=self.choice.label,
            name=self.choice.name,
            options=self.choice.options,
            version=registry.find(self.choice.name).version(),
            state=self.state,
            problem=self.problem,
        )

    def _follow(self, seconds: float) -> bool:
        """Update `state` by the next event; returns False if none arrives within so many seconds."""
        try:
            event = self._events.get(timeout=seconds)
        except queue.Empty:
            return False
        match event:
            case {"event": "Started", "rows": [row], "at": at} if self.state == "hung":
                self.state, self.problem = "up", None
                self.start_seconds = at - self._began
                self.port = urlsplit(row["urls"][0]).port or 0
                self.pids = tuple(row["pids"])
            case {"event": "Died", "how": how} if self.state == "up":
                self._deaths += 1
                times = f", {self._deaths} times in all" if self._deaths > 1 else ""
                self.problem = f"A process {how} during the comparison and was started again{times}."
            case {"event": "LoadFailed", "problem": problem}:
                self._crash(problem)
            case {"event": "GivenUp", "last_lines": lines}:
                self._crash(next(filter(None, map(str.strip, reversed(lines))), None))
            case {"event": "Ended"}:
                self._crash(self._ended() if self.state == "up" else None)
        return True

    def _crash(self, how: str | None) -> None:
        during = "It ended during the comparison: " if self.state == "up" else ""
        self.state, self.problem = "crashed", f"{during}{how or self._last_problem}"

    def _ended(self) -> str | None:
        """How the whole run ended, in words."""
        assert self._popen is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = self._popen.wait(_END_SECONDS)
            return f"{signal.Signals(-code).name}." if code < 0 else f"exit code {code}."
        return None

    def stop(self) -> float:
        """Shut it down gracefully, or kill it if it does not end; returns the seconds that it took."""
        if self._popen is None:
            return 0.0
        began = time.monotonic()
        assert self._popen.stdin is not None
        with contextlib.suppress(BrokenPipeError, ValueError), self._popen.stdin as stdin:  # ended, or closed
            stdin.write("stop\n")
        try:
            self._popen.wait(GRACE_SECONDS + _END_SECONDS)
        except subprocess.TimeoutExpired:
            self._popen.kill()  # its loader then exits on its own
            self._popen.wait()
        seconds = time.monotonic() - began
        self._reader.join(_END_SECONDS)
        return seconds

    def _read(self, popen: subprocess.Popen[str]) -> None:
        assert popen.stdout is not None
        with popen.stdout:
            for line in popen.stdout:
                try:
                    event = json.loads(line)
                except ValueError:
                    event = None
                match event:
                    case {"event": "Output", "line": text}:
                        self._last_problem = text.strip() or self._last_problem
                    case {"event": _}:
                        self._events.put(event | {"at": time.monotonic()})
                    case _:
                        self._last_problem = line.strip() or self._last_problem
        self._events.put({"event": "Ended"})


@contextlib.contextmanager
def running(choices: Iterable[Choice], target: Target) -> Iterator[list[Run]]:
    """Start all servers in parallel, wait until each is up or has failed, and stop them at the end."""
    runs: list[Run] = []
    try:
        for choice in choices:
            runs.append(Run(choice, target))
        deadline = time.monotonic() + START_SECONDS
        for run in runs:
            run.wait_until_up(deadline)
        yield runs
    finally:
        stop_all(runs)


class Stoppable(Protocol):
    def stop(self) -> object: ...


def stop_all(runs: Sequence[Stoppable]) -> None:
    """Stop them in parallel; returns when all have ended."""
    threads = [threading.Thread(target=run.stop) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
