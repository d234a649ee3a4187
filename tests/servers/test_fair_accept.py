"""Processes that share a socket: each gets its share of the connections, and none blocks the others."""

from __future__ import annotations

import contextlib
import os
import signal
import statistics
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from tests import running as runs
from tests.raw_http import Connection
from tests.servers.test_placement import workers_of
from webdemo.servers import registry
from webdemo.servers._fair_accept import GIVE_WAY_SECONDS, LOOK_AGAIN_SECONDS, Turns
from webdemo.stats.counters import RequestCounter, SharedCounters, SystemNotes

CONNECTIONS = 16
BURSTS = 6

# Servers whose connections outlast a request, apart from Gunicorn, which forks its workers itself.
LASTING = [
    name for name in ("waitress", "cheroot", "gevent", "hypercorn") if registry.find(name).is_installed()
]
SPREADING = [name for name in LASTING if registry.find(name).spread]


class Other:
    """A sibling that has fewer connections or not, as the test sets it."""

    def __init__(self) -> None:
        self.has_fewer = False

    def report(self, connections: int) -> None:
        """Nobody listens."""

    def have_fewer(self) -> bool:
        return self.has_fewer

    def leave(self) -> None:
        """Nobody is left."""


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_process_gives_way_for_a_moment_and_for_each_connection_anew() -> None:
    other, clock = Other(), Clock()
    turns = Turns(other, clock)
    assert turns.is_ours()
    other.has_fewer = True
    assert not turns.is_ours()
    clock.now += GIVE_WAY_SECONDS / 2
    assert not turns.is_ours()
    clock.now += GIVE_WAY_SECONDS
    assert turns.is_ours()  # the sibling had its chance
    assert not turns.is_ours()
    other.has_fewer = False
    assert turns.is_ours()
    clock.now += 60
    other.has_fewer = True
    assert not turns.is_ours()


def test_a_process_that_can_look_only_seldom_gets_its_turn_all_the_same() -> None:
    other, clock = Other(), Clock()
    other.has_fewer = True
    turns = Turns(other, clock)
    looks = 0
    while not turns.is_ours():
        clock.now += 10 * GIVE_WAY_SECONDS
        looks += 1
    assert looks == 1


def test_patience_ends_where_connections_never_cease_and_comes_back_when_they_do() -> None:
    other, clock = Other(), Clock()
    other.has_fewer = True
    turns = Turns(other, clock)
    answers = []
    for _ in range(1000):
        clock.now += LOOK_AGAIN_SECONDS * 5
        answers.append(turns.is_ours())
    assert not all(answers[:50])
    assert all(answers[-500:])
    clock.now += 1.0
    assert not turns.is_ours()


# -- which process has fewer connections -----------------------------------------------------------


@contextlib.contextmanager
def another_process(counters: SharedCounters, name: str, connections: int) -> Iterator[int]:
    """Fork a process of the service with so many connections, and yield its pid; it is killed at the end."""
    ready, told = os.pipe()
    pid = os.fork()
    if pid == 0:
        RequestCounter(counters, name).siblings().report(connections)
        os.write(told, b"!")
        signal.pause()
    os.read(ready, 1)
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(ready)
        os.close(told)


@pytest.fixture
def counters() -> Iterator[SharedCounters]:
    shared = SharedCounters.create()
    yield shared
    shared.close()


@pytest.mark.process
def test_who_has_fewer_connections_is_known_while_it_lives(counters: SharedCounters) -> None:
    ours = RequestCounter(counters, "waitress 8000").siblings()
    with another_process(counters, "waitress 8000", 2), another_process(counters, "waitress 9000", 0):
        found = []
        for connections in (0, 2, 3):
            ours.report(connections)
            found.append(ours.have_fewer())
        assert found == [False, False, True]
    assert not ours.have_fewer()


def test_a_process_that_accepts_no_more_is_left_out(counters: SharedCounters) -> None:
    ours = RequestCounter(counters, "s 1").siblings()
    leaving = RequestCounter(counters, "s 1").siblings()
    leaving.leave()
    leaving.report(0)  # its last connections end
    ours.report(5)
    assert not ours.have_fewer()


def test_the_supervisors_own_notes_do_not_count(counters: SharedCounters) -> None:
    SystemNotes(counters, "s 1")
    ours = RequestCounter(counters, "s 1").siblings()
    ours.report(3)
    assert not ours.have_fewer()


# -- real servers ----------------------------------------------------------------------------------


def burst(url: str) -> Counter[str]:
    """Count which process answers on each of many simultaneous, lasting connections."""
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(Connection(url)) for _ in range(CONNECTIONS)]
        return Counter(connection.request("/name").text for connection in connections)


@pytest.mark.parametrize("server", SPREADING)
def test_connections_that_come_at_once_are_spread_over_the_processes(
    server: str, serving: runs.Start
) -> None:
    each = "&cpus=each" if hasattr(os, "sched_getaffinity") else ""
    run = serving("-b", f"{server}://127.0.0.1:0?workers=2{each}", "--no-access-log")
    total: Counter[str] = Counter()
    for _ in range(BURSTS):
        total += burst(run.url)
    assert total.total() == BURSTS * CONNECTIONS
    assert len(total) == 2
    assert min(total.values()) >= total.total() / 6, total


@pytest.mark.parametrize("server", SPREADING)
def test_single_connections_go_to_the_process_that_has_fewer(server: str, serving: runs.Start) -> None:
    run = serving("-b", f"{server}://127.0.0.1:0?workers=2", "--no-access-log")
    burst(run.url)
    # The supervisor's first sample makes a slot for its notes beside those of the processes.
    runs.wait_until(lambda: all(service.figures for service in run.control.status().services), run.log_so_far)
    emptier = workers_of(run, server)[0]
    with contextlib.ExitStack() as stack:

        def connect() -> str:
            connection = stack.enter_context(Connection(run.url))
            return connection.request("/name").text

        emptier.suspend()
        try:
            for _ in range(40):
                connect()
        finally:
            emptier.resume()
        found = []
        for _ in range(30):
            time.sleep(0.04)
            found.append(connect())
    assert sum(name.endswith(f" {emptier.pid}") for name in found) >= 20, found


@pytest.mark.parametrize("server", LASTING)
def test_connections_that_are_kept_are_answered_while_others_come_and_go(
    server: str, serving: runs.Start
) -> None:
    run = serving("-b", f"{server}://127.0.0.1:0?workers=2", "--no-access-log")
    waits = []
    with contextlib.ExitStack() as stack:
        kept = [stack.enter_context(Connection(run.url)) for _ in range(4)]
        for _ in range(15):
            with Connection(run.url) as other:
                other.request("/name")
            for connection in kept:
                began = time.monotonic()
                connection.request("/name")
                waits.append(time.monotonic() - began)
    assert statistics.median(waits) < 0.7, "they waited while the process gave way"


@pytest.mark.parametrize("server", LASTING)
def test_a_process_that_stands_still_holds_nobody_up(server: str, serving: runs.Start) -> None:
    run = serving("-b", f"{server}://127.0.0.1:0?workers=2", "--no-access-log")
    burst(run.url)
    still = workers_of(run, server)[0]
    still.suspend()
    try:
        answered = burst(run.url)
    finally:
        still.resume()
    assert answered.total() == CONNECTIONS
    assert not any(name.endswith(f" {still.pid}") for name in answered)


@pytest.mark.parametrize("server", SPREADING)
def test_a_process_that_was_killed_gets_connections_again_when_it_is_replaced(
    server: str, serving: runs.Start
) -> None:
    run = serving("-b", f"{server}://127.0.0.1:0?workers=2", "--no-access-log")
    burst(run.url)
    killed = workers_of(run, server)[0]
    killed.kill()
    deadline = time.monotonic() + runs.START_SECONDS
    while len(answered := burst(run.url)) < 2 or any(name.endswith(f" {killed.pid}") for name in answered):
        assert time.monotonic() < deadline, run.log_so_far()
