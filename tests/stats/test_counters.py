"""Counters in shared memory, used by several threads and processes, some of which are killed."""

from __future__ import annotations

import os
import signal
import sys
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import Any
from wsgiref.util import setup_testing_defaults

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webdemo.middleware.observe import watch
from webdemo.stats import latency
from webdemo.stats.counters import SLOTS, Activity, RequestCounter, SharedCounters, SystemNotes, service_name
from webdemo.stats.usage import Usage

NAME = "waitress 8000 8001"
A_MILLISECOND = 1_000_000


@pytest.fixture
def counters() -> Iterator[SharedCounters]:
    shared = SharedCounters.create()
    yield shared
    shared.close()


def count(counter: RequestCounter, requests: int = 1, *, status: str = "200 OK") -> None:
    for _ in range(requests):
        counter.end(counter.begin(), status, 10, A_MILLISECOND)


def in_child(work: Callable[[], object], *, end: Callable[[], object] = lambda: os._exit(0)) -> int:
    """Do the work in a forked process, wait for its end, and return the wait status."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
            end()
        finally:
            os._exit(1)
    return os.waitpid(pid, 0)[1]


def kill_myself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


# -- what is counted ------------------------------------------------------------------------------


def test_nothing_is_counted_at_first(counters: SharedCounters) -> None:
    assert counters.read() == {}


def test_requests_are_counted_by_status_with_their_bytes_and_time(counters: SharedCounters) -> None:
    counter = RequestCounter(counters, NAME)
    for status in ("200 OK", "200 OK", "304 Not Modified", "404 Not Found", "500 Oops", "799 What", "", "x"):
        count(counter, status=status)
    totals = counters.read()[NAME]
    assert list(totals.by_status) == [2, 0, 2, 1, 1, 2]
    assert (totals.requests, totals.errors, totals.bytes, totals.in_flight) == (8, 2, 80, 0)
    assert totals.seconds == pytest.approx(0.008)
    assert sum(totals.histogram) == 8


def test_a_request_is_in_flight_from_its_beginning_to_its_end(counters: SharedCounters) -> None:
    counter = RequestCounter(counters, NAME)
    first, second = counter.begin(), counter.begin()
    assert counters.read()[NAME].in_flight == 2
    counter.end(first, "200 OK", 0, A_MILLISECOND)
    assert counters.read()[NAME].in_flight == 1
    counter.end(second, "200 OK", 0, A_MILLISECOND)
    assert counters.read()[NAME].in_flight == 0


def test_the_beginning_of_the_oldest_request_in_flight_is_known(counters: SharedCounters) -> None:
    counter = RequestCounter(counters, NAME)
    first, second, third = counter.begin(), counter.begin(), counter.begin()
    assert counters.read()[NAME].oldest_began == first
    counter.end(second, "200 OK", 0, A_MILLISECOND)
    assert counters.read()[NAME].oldest_began == first
    counter.end(first, "200 OK", 0, A_MILLISECOND)
    assert counters.read()[NAME].oldest_began == third
    counter.end(third, "200 OK", 0, A_MILLISECOND)
    assert counters.read()[NAME].oldest_began == 0


@pytest.mark.process
def test_what_each_living_process_does_is_known(counters: SharedCounters) -> None:
    counter = RequestCounter(counters, NAME)
    began_read, began_write = os.pipe()
    end_read, end_write = os.pipe()
    child = os.fork()
    if child == 0:
        count(counter, 2)
        os.write(began_write, b"%d" % counter.begin())
        os.read(end_read, 1)
        os._exit(0)
    try:
        began = int(os.read(began_read, 100))
        assert counters.activities() == [Activity(child, os.getpgrp(), began, 2)]
    finally:
        os.write(end_write, b"!")
        os.waitpid(child, 0)
        for fd in (began_read, began_write, end_read, end_write):
            os.close(fd)
    assert counters.activities() == []


def test_several_threads_lose_no_count(counters: SharedCounters) -> None:
    counter = RequestCounter(counters, NAME)
    threads = [threading.Thread(target=count, args=(counter, 2000)) for _ in range(8)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    finally:
        sys.setswitchinterval(interval)
    totals = counters.read()[NAME]
    assert (totals.requests, totals.bytes, totals.in_flight) == (16_000, 160_000, 0)


def test_what_the_system_says_stands_beside_the_counts(counters: SharedCounters) -> None:
    notes = SystemNotes(counters, NAME)
    count(RequestCounter(counters, NAME))
    notes.write(Usage(memory_bytes=5, processes=2, cpu_seconds=1.5), restarts=3)
    notes.write(Usage(memory_bytes=7, processes=1, cpu_seconds=0.25), restarts=4)
    totals = counters.read()[NAME]
    assert (totals.memory_bytes, totals.processes, totals.restarts, totals.requests) == (7, 1, 4, 1)
    assert totals.cpu_seconds == pytest.approx(1.75)


# -- several processes ----------------------------------------------------------------------------


@pytest.mark.process
def test_processes_count_in_slots_of_their_own_and_are_added_up(counters: SharedCounters) -> None:
    counter = RequestCounter(counters, NAME)
    count(counter, 3)
    for _ in range(4):
        assert in_child(lambda: count(counter, 5)) == 0
    count(counter, 2)
    assert counters.read()[NAME].requests == 25


@pytest.mark.process
def test_what_was_in_flight_in_a_killed_process_is_dropped_and_its_counts_stay(
    counters: SharedCounters,
) -> None:
    counter = RequestCounter(counters, NAME)

    def work() -> None:
        count(counter, 7)
        counter.begin()
        assert counters.read()[NAME].in_flight == 1

    assert os.WTERMSIG(in_child(work, end=kill_myself)) == signal.SIGKILL
    totals = counters.read()[NAME]
    assert (totals.requests, totals.in_flight) == (7, 0)


@pytest.mark.process
def test_the_next_process_of_a_service_counts_on_where_a_killed_one_left_off(
    counters: SharedCounters,
) -> None:
    for number in range(SLOTS - 1):  # there is room for one more process at a time
        counters.claim(f"gunicorn {number}")
    counter = RequestCounter(counters, NAME)

    def work() -> None:
        count(counter)
        counter.begin()

    for _ in range(10):
        in_child(work, end=kill_myself)
    totals = counters.read()[NAME]
    assert (totals.requests, totals.in_flight) == (10, 0)


@pytest.mark.process
def test_a_process_that_lives_keeps_its_requests_in_flight_when_others_read(counters: SharedCounters) -> None:
    began, over = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        counter = RequestCounter(counters, NAME)
        counter.begin()
        counters.read()
        os.write(began[1], b"!")
        os.read(over[0], 1)
        os._exit(0)
    try:
        os.read(began[0], 1)
        assert [counters.read()[NAME].in_flight for _ in range(3)] == [1, 1, 1]
        count(RequestCounter(counters, NAME))  # it does not get the slot of the living process
        assert counters.read()[NAME].in_flight == 1
    finally:
        os.write(over[1], b"!")
        os.waitpid(pid, 0)
        for end in (*began, *over):
            os.close(end)
    assert counters.read()[NAME].in_flight == 0


def test_a_service_for_which_there_is_no_slot_left_is_served_uncounted(counters: SharedCounters) -> None:
    for number in range(SLOTS):
        counters.claim(f"waitress {number}")
    count(RequestCounter(counters, "gunicorn 9999"))
    assert "gunicorn 9999" not in counters.read()


def test_the_name_of_a_service_with_very_many_ports_is_cut(counters: SharedCounters) -> None:
    name = service_name("waitress", (f"/run/\udcff{number}/ü.sock" for number in range(512)))
    count(RequestCounter(counters, name))
    [(found, totals)] = counters.read().items()
    assert found == name
    assert name.startswith(r"waitress /run/\udcff0/ü.sock /run/")
    assert totals.requests == 1


# -- durations ------------------------------------------------------------------------------------


@given(st.integers(1000, 99 * 10**9))
def test_a_bucket_tells_a_duration_within_three_per_cent(nanoseconds: int) -> None:
    middle = latency.seconds_at(bisect_right(latency.ENDS, nanoseconds) + 0.5)
    assert middle == pytest.approx(nanoseconds / 1e9, rel=0.03)


@pytest.mark.parametrize("nanoseconds", [-5, 0, 1, 999, 10**11, 10**15])
def test_a_duration_too_short_or_too_long_has_a_bucket(nanoseconds: int) -> None:
    assert bisect_right(latency.ENDS, nanoseconds) in (0, latency.BUCKETS - 1)


@given(st.lists(st.integers(1000, 10**10), min_size=1, max_size=200))
def test_quantiles_are_those_of_the_durations_within_six_per_cent(durations: list[int]) -> None:
    counts = [0] * latency.BUCKETS
    for duration in durations:
        counts[bisect_right(latency.ENDS, duration)] += 1
    for share in (0.5, 0.99):
        exact = sorted(durations)[max(0, -int(-len(durations) * share // 1) - 1)] / 1e9
        assert latency.quantile(counts, share) == pytest.approx(exact, rel=0.06)


def test_without_requests_there_is_no_quantile() -> None:
    assert latency.quantile([0] * latency.BUCKETS, 0.5) is None


# -- around an app --------------------------------------------------------------------------------


def serve(counters: SharedCounters, app: Any, *, method: str = "GET") -> Any:
    """Let the app answer one request, as a server that has sent everything but not closed the response."""
    environ: dict[str, Any] = {}
    setup_testing_defaults(environ)
    environ["REQUEST_METHOD"] = method
    body = watch(app, RequestCounter(counters, NAME))(environ, lambda *_: lambda _: None)
    assert b"".join(body) == b"abc"
    return body


@pytest.mark.parametrize("as_list", [True, False])
def test_an_answer_is_in_flight_until_it_is_closed_and_counted_once(
    counters: SharedCounters, as_list: bool
) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        start_response("503 Busy", [])
        return [b"abc"] if as_list else iter([b"a", b"bc"])

    body = serve(counters, app)
    assert counters.read()[NAME].in_flight == 1
    body.close()
    body.close()
    totals = counters.read()[NAME]
    assert (totals.requests, totals.errors, totals.bytes, totals.in_flight) == (1, 1, 3, 0)


def test_an_app_that_raises_is_counted_as_an_error(counters: SharedCounters) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        serve(counters, app)
    assert counters.read()[NAME].errors == 1
