"""The figures of a replayed history, of this process, and of real servers."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests import raw_http
from tests import running as runs
from tests.servers.kinds import KINDS, bind
from webdemo.errors import UsageError
from webdemo.stats.counters import RequestCounter, SharedCounters
from webdemo.stats.figures import KEPT_SAMPLES, Figures, Sample, Served
from webdemo.stats.usage import Usage, UsageTable
from webdemo.supervisor.control import Instance
from webdemo.supervisor.control_messages import (
    Command,
    Completed,
    History,
    Kill,
    Killed,
    Log,
    LogLines,
    RunHistory,
    Swap,
)

SERVED = Served(server="waitress", ports=("8000",), pids=(11,), restarts=0)


class Replay:
    """Figures of simulated requests, with a clock that the test sets."""

    def __init__(self) -> None:
        self.counters = SharedCounters.create()
        self.usage = Usage(memory_bytes=1000, processes=2, cpu_seconds=0.5, cpu_percent=50.0)
        self.figures = Figures(self.counters, self._look)
        self.looked_closely: deque[bool] = deque(maxlen=11)
        self._counting: dict[str, RequestCounter] = {}
        self._now = 0.0

    def _look(self, leaders: set[int], seconds: float, *, closely: bool) -> dict[int, Usage]:
        self.looked_closely.append(closely)
        return dict.fromkeys(leaders, self.usage)

    def count(
        self, requests: int, *, ms: float = 1.0, status: str = "200 OK", served: Served = SERVED
    ) -> None:
        name = served.counted_as
        if name not in self._counting:
            self._counting[name] = RequestCounter(self.counters, name)
        counter = self._counting[name]
        for _ in range(requests):
            counter.end(counter.begin(), status, 100, int(ms * 1e6))

    def sample(self, *services: Served, seconds: float = 1.0) -> Sample:
        """Let `seconds` pass, and return the figures of the first service."""
        services = services or (SERVED,)
        self._now += seconds
        self.figures.sample(services, monotonic=self._now, wall=1_790_000_000 + self._now)
        latest = self.figures.latest(services[0].ports)
        assert latest is not None
        return latest


@pytest.fixture
def replay() -> Iterator[Replay]:
    replayed = Replay()
    yield replayed
    replayed.counters.close()


# -- a replayed history ---------------------------------------------------------------------------


def test_there_are_no_figures_before_the_first_sample(replay: Replay) -> None:
    assert replay.figures.latest(["8000"]) is None
    assert replay.figures.history(60) == ()


def test_rates_are_those_of_the_time_since_the_sample_before(replay: Replay) -> None:
    replay.count(3)
    assert replay.sample().requests_per_second == 3
    replay.count(30)
    replay.count(10, status="500 Oops")
    figures = replay.sample(seconds=2.0)
    assert figures.requests_per_second == 20
    assert figures.errors_per_second == 5
    assert figures.bytes_per_second == 2000
    assert (figures.requests, figures.errors, figures.bytes) == (43, 10, 4300)
    assert (figures.memory_bytes, figures.cpu_percent, figures.processes) == (1000, 50.0, 2)
    assert replay.sample().requests_per_second == 0


def test_quantiles_are_those_of_the_last_ten_seconds(replay: Replay) -> None:
    assert replay.sample().p50_ms is None
    replay.count(98, ms=2)
    replay.count(2, ms=500)
    figures = replay.sample()
    assert figures.p50_ms == pytest.approx(2, rel=0.06)
    assert figures.p99_ms == pytest.approx(500, rel=0.06)
    for _ in range(9):
        assert replay.sample().p50_ms is not None
    assert replay.sample().p50_ms is None


def test_the_history_holds_the_seconds_asked_for_and_lists_of_one_length(replay: Replay) -> None:
    for _ in range(5):
        replay.count(1)
        replay.sample()
    [service] = replay.figures.history(3)
    assert (service.server, service.ports) == ("waitress", ("8000",))
    assert {len(values) for values in service.series} == {3}
    assert list(service.series.time) == [1_790_000_003, 1_790_000_004, 1_790_000_005]
    assert list(service.series.requests_per_second) == [1, 1, 1]
    assert [len(s.series.time) for s in replay.figures.history(1000)] == [5]


def test_the_series_of_a_port_goes_on_when_its_server_is_swapped(replay: Replay) -> None:
    other = SERVED._replace(server="gunicorn", pids=(12,))
    replay.sample()
    replay.count(5)
    replay.sample()
    replay.count(7, served=other)
    replay.count(1)  # the old one finishes its request in flight
    figures = replay.sample(other)
    assert (figures.requests_per_second, figures.requests) == (8, 13)
    [service] = replay.figures.history(60)
    assert service.server == "gunicorn"
    assert list(service.series.requests_per_second) == [0, 5, 8]


def test_a_service_that_is_gone_is_forgotten_and_its_memory_is_given_as_none(replay: Replay) -> None:
    replay.sample()
    replay.sample(SERVED._replace(server="gunicorn", ports=("8001",), pids=(12,)))
    assert replay.figures.latest(["8000"]) is None
    totals = replay.counters.read()
    assert totals["waitress 8000"].memory_bytes == 0
    assert totals["waitress 8000"].cpu_seconds == 0.5  # a total stays
    assert totals["gunicorn 8001"].memory_bytes == 1000


def test_a_service_with_very_many_ports_has_figures(replay: Replay) -> None:
    served = SERVED._replace(ports=tuple(map(str, range(8000, 9000))))
    replay.count(5, served=served)
    assert replay.sample(served).requests == 5


def test_new_processes_are_looked_for_every_fifth_time(replay: Replay) -> None:
    for _ in range(11):
        replay.sample()
    assert list(replay.looked_closely) == [n % 5 == 0 for n in range(11)]


def test_an_hour_of_figures_does_not_grow_memory(replay: Replay) -> None:
    replay.count(1000)  # so that no count is a small integer, which Python caches

    def pass_time(seconds: int) -> int:
        for _ in range(seconds):
            replay.count(1)
            replay.sample()
        gc.collect()
        return sys.getallocatedblocks()

    after_ten_minutes = pass_time(600)
    after_an_hour = pass_time(3000)
    assert after_an_hour - after_ten_minutes < 200
    [service] = replay.figures.history(3600)
    assert len(service.series.time) == KEPT_SAMPLES


# -- figures of the system ------------------------------------------------------------------------

BUSY = """
import os, sys, time
if os.fork() == 0:
    time.sleep(60)
print("up", flush=True)
sys.stdin.readline()
more = b"x" * 50_000_000
while True:
    pass
"""


@pytest.mark.process
def test_a_process_group_is_measured_with_its_workers() -> None:
    leader = subprocess.Popen(
        [sys.executable, "-c", BUSY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, process_group=0
    )
    try:
        assert leader.stdin is not None
        assert leader.stdout is not None
        leader.stdout.readline()
        table = UsageTable()
        first = table.look({leader.pid, 1}, 1.0, closely=True)
        assert first[leader.pid].processes == 2
        assert first[leader.pid].memory_bytes > 1_000_000
        assert first[1] == Usage()  # not one of ours
        usage = first[leader.pid]
        leader.stdin.close()
        deadline = time.monotonic() + 60
        while not usage.cpu_seconds or usage.memory_bytes < first[leader.pid].memory_bytes + 45_000_000:
            assert time.monotonic() < deadline, usage
            time.sleep(0.1)
            usage = table.look({leader.pid, 1}, 0.1, closely=False)[leader.pid]
            assert usage.cpu_percent == pytest.approx(usage.cpu_seconds / 0.1 * 100)
        leader.kill()
        leader.wait(60)
        assert table.look({leader.pid, 1}, 1.0, closely=False)[leader.pid].processes == 1
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(leader.pid, signal.SIGKILL)
        leader.wait(60)
        if leader.stdout is not None:
            leader.stdout.close()


# -- real servers ---------------------------------------------------------------------------------

APP = """
import time
def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/wait":
        time.sleep(60)
    if path == "/raise":
        raise ValueError("no")
    start_response("500 Oops" if path == "/fail" else "200 OK", [("Content-Type", "text/plain")])
    return (b"x" * 65536 for _ in range(100)) if path == "/stream" else [b"hello"]
"""


def instance(running: runs.Running) -> Instance:
    return Instance(running.pid, running.log_file.parent / "webdemo" / f"{running.pid}.sock")


def wait_for(running: runs.Running, holds: Callable[[Sample], bool]) -> Sample:
    """Wait until `holds` is true for the figures of its first service, and return them."""
    deadline = time.monotonic() + runs.END_SECONDS
    while True:
        figures = instance(running).status().services[0].figures
        if figures is not None and holds(figures):
            return figures
        assert time.monotonic() < deadline, f"{figures}\n{running.log_so_far()}"
        time.sleep(0.1)


@pytest.fixture
def serving(running: runs.Start, tmp_path: Path) -> Callable[..., runs.Running]:
    def start(*arguments: str) -> runs.Running:
        return running(*arguments, app=APP, environment={"XDG_RUNTIME_DIR": str(tmp_path / "run1")})

    return start


def leave_with_reset(url: str) -> None:
    """Request a long response and reset the connection."""
    with raw_http.Connection(url) as connection:
        connection.send_head("GET", "/stream")
        connection.socket.recv(1000)
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.mark.parametrize("kind", KINDS)
def test_every_server_counts_every_request_and_leaves_none_in_flight(
    serving: Callable[..., runs.Running], kind: str
) -> None:
    running = serving("-b", bind(kind))
    for target in ("/", "/", "/fail", "/raise"):
        raw_http.get(running.url, target)
    leave_with_reset(running.url)
    figures = wait_for(running, lambda f: f.requests == 5 and f.in_flight == 0)
    assert figures.errors == 2
    assert figures.memory_bytes > 1_000_000
    assert figures.processes >= 1


def test_a_killed_server_loses_no_count_and_leaves_nothing_in_flight(
    serving: Callable[..., runs.Running],
) -> None:
    running = serving("-b", "gunicorn://127.0.0.1:0?workers=2")
    port = running.url.rstrip("/").rpartition(":")[2]
    for _ in range(3):
        raw_http.get(running.url, "/")
    with raw_http.Connection(running.url) as connection:
        connection.send_head("GET", "/wait")
        wait_for(running, lambda f: f.requests == 3 and f.in_flight == 1)
        [service] = instance(running).status().services
        killed = instance(running).call(Kill(port), Killed).pids
        assert killed == tuple(process.pid for process in service.processes)
        running.wait_for(r"is up again")
        wait_for(running, lambda f: f.in_flight == 0)
    raw_http.get(running.url, "/")
    figures = wait_for(running, lambda f: f.requests == 4)
    assert figures.in_flight == 0
    assert not any(psutil.pid_exists(pid) for pid in killed)
    assert instance(running).status().services[0].restarts == 1


def test_the_history_and_the_log_go_on_when_the_server_is_swapped(
    serving: Callable[..., runs.Running],
) -> None:
    running = serving("-b", "waitress://127.0.0.1:0")
    port = running.url.rstrip("/").rpartition(":")[2]
    raw_http.get(running.url, "/before")
    running.wait_for(" GET /before ")
    wait_for(running, lambda f: f.requests == 1)
    old = running.servers()
    instance(running).call(Swap(port, "gunicorn"), Completed)

    def logged() -> list[list[str]]:
        log = instance(running).call(Log(port, 50), LogLines).lines
        return [line.text.split() for line in log if line.access]

    running.wait_until_ended(old)  # it finishes what it has accepted
    raw_http.get(running.url, "/after")
    running.wait_for(" GET /after ")
    assert [(line[1], line[5]) for line in logged()] == [("waitress", "/before"), ("gunicorn", "/after")]
    wait_for(running, lambda f: f.requests == 2)
    [service] = instance(running).call(History(60), RunHistory).services
    assert (service.server, service.ports) == ("gunicorn", (port,))
    assert len(service.series.time) >= 2
    assert instance(running).call(Log(port, 0), LogLines).lines == ()


@pytest.mark.parametrize("command", [Log("1"), Kill("1")], ids=lambda command: type(command).__name__)
def test_a_port_that_it_does_not_have_is_refused(
    serving: Callable[..., runs.Running], command: Command
) -> None:
    running = serving("-b", "wsgiref://127.0.0.1:0")
    with pytest.raises(UsageError, match=r"Nothing of this webdemo listens on 1\."):
        instance(running).call(command, Completed)


def test_hostile_requests_stay_inert_in_the_log(serving: Callable[..., runs.Running]) -> None:
    running = serving("-b", "waitress://127.0.0.1:0")
    port = running.url.rstrip("/").rpartition(":")[2]
    raw_http.get(running.url, "/%1b%5b2J%0a<script>")
    running.wait_for(r" GET /\S*script")
    text = instance(running).call(Log(port), LogLines).lines[-1].text
    assert json.dumps(text).isascii()
    assert text.isprintable()
