"""The supervisor's loop, with real pipes, threads and signals."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from webdemo.supervisor import loop as loop_module
from webdemo.supervisor.loop import Loop

SECONDS = 60.0


@pytest.fixture
def pipe() -> Iterator[Callable[[], tuple[int, int]]]:
    opened: list[int] = []

    def make() -> tuple[int, int]:
        ends = os.pipe()
        opened.extend(ends)
        return ends

    yield make
    for fd in opened:
        try:
            os.close(fd)
        except OSError:
            continue  # the test has closed it


def fail(exc: BaseException) -> None:
    raise AssertionError("nothing here is to fail") from exc


def run(loop: Loop) -> None:
    began = time.monotonic()
    loop.run()
    assert time.monotonic() - began < SECONDS


def test_timers_run_in_the_order_of_their_times_and_not_before() -> None:
    loop = Loop(fail)
    began = time.monotonic()
    ran: list[tuple[str, float]] = []

    def note(name: str) -> Callable[[], None]:
        return lambda: ran.append((name, time.monotonic() - began))

    loop.after(0.10, note("third"))
    loop.after(0.05, note("second"))
    loop.after(0, note("first"))
    loop.after(0.10, note("fourth"))
    loop.after(0.11, loop.stop)
    run(loop)
    assert [name for name, _ in ran] == ["first", "second", "third", "fourth"]
    assert all(at >= due for (_, at), due in zip(ran, (0, 0.05, 0.1, 0.1), strict=True))


def test_a_timer_may_set_another_one() -> None:
    loop = Loop(fail)
    loop.after(0, lambda: loop.after(0, loop.stop))
    run(loop)


def test_what_is_called_every_so_often_goes_on_after_a_failure() -> None:
    failures: list[BaseException] = []
    loop = Loop(failures.append)
    calls: list[float] = []

    def call() -> None:
        calls.append(time.monotonic())
        if len(calls) == 3:
            loop.stop()
        else:
            raise ValueError

    began = time.monotonic()
    loop.every(0.01, call)
    run(loop)
    assert len(calls) == 3
    assert calls[0] >= began + 0.01
    assert all(later - earlier >= 0.009 for earlier, later in itertools.pairwise(calls))
    assert list(map(type, failures)) == [ValueError], "a failure that repeats is reported once"


def test_what_threads_post_runs_in_the_loops_thread_and_none_is_lost() -> None:
    loop = Loop(fail)
    ran: list[threading.Thread] = []

    def post() -> None:
        for _ in range(5000):  # more than the buffer of the wakeup socket holds
            loop.post(note)

    def note() -> None:
        ran.append(threading.current_thread())
        if len(ran) == 20_000:
            loop.stop()

    threads = [threading.Thread(target=post) for _ in range(4)]
    for thread in threads:
        thread.start()
    loop.after(SECONDS, loop.stop)
    run(loop)
    for thread in threads:
        thread.join()
    assert len(ran) == 20_000
    assert set(ran) == {threading.current_thread()}


def test_posting_before_the_run_and_after_its_end_is_harmless() -> None:
    loop = Loop(fail)
    ran: list[int] = []
    loop.post(lambda: ran.append(1))
    loop.post(loop.stop)
    run(loop)
    loop.post(lambda: ran.append(2))
    assert ran == [1]


def test_a_readable_descriptor_calls_until_it_is_forgotten(pipe: Callable[[], tuple[int, int]]) -> None:
    loop = Loop(fail)
    read, write = pipe()
    heard: list[bytes] = []

    def hear() -> None:
        heard.append(os.read(read, 1))
        if len(heard) == 3:
            loop.forget(read)
            loop.after(0.05, loop.stop)

    loop.on_readable(read, hear)
    os.write(write, b"abcdef")
    run(loop)
    assert heard == [b"a", b"b", b"c"]


def test_a_descriptor_that_another_callback_has_just_closed_is_not_called(
    pipe: Callable[[], tuple[int, int]],
) -> None:
    loop = Loop(fail)
    ends = [pipe(), pipe()]
    heard: list[int] = []

    def hear(number: int) -> Callable[[], None]:
        def callback() -> None:
            heard.append(number)
            other = ends[1 - number][0]
            loop.forget(other)
            os.close(other)
            loop.forget(ends[number][0])
            loop.after(0.05, loop.stop)

        return callback

    for number, (read, write) in enumerate(ends):
        loop.on_readable(read, hear(number))
        os.write(write, b"x")
    run(loop)
    assert len(heard) == 1


def test_forgetting_twice_or_what_was_never_known_is_harmless(pipe: Callable[[], tuple[int, int]]) -> None:
    loop = Loop(fail)
    read, _ = pipe()
    loop.forget(read)
    loop.on_readable(read, lambda: None)
    loop.forget(read)
    loop.forget(read)
    loop.stop()
    run(loop)


def test_a_signal_wakes_the_loop_and_its_handler_is_put_back() -> None:
    loop = Loop(fail)
    before = signal.getsignal(signal.SIGUSR1)
    ran: list[str] = []

    def hear() -> None:
        ran.append("signal")
        loop.stop()

    loop.on_signal(signal.SIGUSR1, hear)
    timer = threading.Timer(0.1, os.kill, [os.getpid(), signal.SIGUSR1])
    timer.start()
    loop.after(SECONDS, loop.stop)
    run(loop)
    timer.join()
    assert ran == ["signal"]
    assert signal.getsignal(signal.SIGUSR1) is before


def test_whatever_fails_is_reported_once_and_everything_goes_on(pipe: Callable[[], tuple[int, int]]) -> None:
    reported: list[BaseException] = []
    loop = Loop(reported.append)
    before = signal.getsignal(signal.SIGUSR1)
    read, write = pipe()
    calls: list[str] = []

    def failing(name: str, error: BaseException) -> Callable[[], None]:
        def callback() -> None:
            calls.append(name)
            raise error

        return callback

    loop.on_readable(read, failing("readable", ValueError("a descriptor")))
    os.write(write, b"never read")
    loop.on_signal(signal.SIGUSR1, failing("signal", KeyError("a signal")))
    loop.post(partial(os.kill, os.getpid(), signal.SIGUSR1))
    loop.post(failing("posted", RecursionError("a call")))
    loop.after(0, failing("timer", SystemExit("a timer")))
    loop.in_thread(failing("thread", OSError("a thread")))

    def end_when_all_is_reported() -> None:
        if len(reported) == 5:
            loop.stop()
        else:
            loop.after(0.01, end_when_all_is_reported)

    loop.after(0, end_when_all_is_reported)
    run(loop)
    assert sorted(calls) == ["posted", "readable", "signal", "thread", "timer"], "a failed descriptor rests"
    assert {type(exc) for exc in reported} == {ValueError, KeyError, RecursionError, SystemExit, OSError}
    assert signal.getsignal(signal.SIGUSR1) is before


def test_a_failure_that_repeats_is_reported_once_and_called_again(
    pipe: Callable[[], tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop_module, "_REST_SECONDS", 0.1)
    reported: list[BaseException] = []
    loop = Loop(reported.append)
    read, write = pipe()
    times: list[float] = []

    def hear() -> None:
        times.append(time.monotonic())
        if len(times) == 3:
            loop.stop()
        raise ValueError("again")

    loop.on_readable(read, hear)
    os.write(write, b"never read")
    run(loop)
    assert len(reported) == 1
    assert times[-1] - times[0] >= 0.15, "it does not spin"


def test_a_descriptor_that_rests_after_a_failure_can_be_forgotten(
    pipe: Callable[[], tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop_module, "_REST_SECONDS", 0.1)
    reported: list[BaseException] = []
    loop = Loop(reported.append)
    read, write = pipe()
    calls: list[int] = []

    def hear() -> None:
        calls.append(1)
        loop.after(0.01, partial(loop.forget, read))
        loop.after(0.3, loop.stop)
        raise ValueError("once")

    loop.on_readable(read, hear)
    os.write(write, b"never read")
    run(loop)
    assert calls == [1]
    assert len(reported) == 1


def test_a_report_that_fails_ends_nothing() -> None:
    calls: list[str] = []

    def report(exc: BaseException) -> None:
        calls.append("report")
        raise RuntimeError("the report") from exc

    loop = Loop(report)
    loop.post(lambda: [][0])
    loop.after(0.2, loop.stop)
    run(loop)
    assert calls == ["report", "report"], "of the call, and of the report; then it is no news"
