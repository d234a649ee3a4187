"""The supervisor's loop, with real pipes, threads and signals."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from webdemo.run.loop import Loop

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


def run(loop: Loop) -> None:
    began = time.monotonic()
    loop.run()
    assert time.monotonic() - began < SECONDS


def test_timers_run_in_the_order_of_their_times_and_not_before() -> None:
    loop = Loop()
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
    loop = Loop()
    loop.after(0, lambda: loop.after(0, loop.stop))
    run(loop)


def test_what_threads_post_runs_in_the_loops_thread_and_none_is_lost() -> None:
    loop = Loop()
    ran: list[threading.Thread] = []

    def post() -> None:
        for _ in range(5000):  # more than the waking socket holds
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
    loop = Loop()
    ran: list[int] = []
    loop.post(lambda: ran.append(1))
    loop.post(loop.stop)
    run(loop)
    loop.post(lambda: ran.append(2))
    assert ran == [1]


def test_a_readable_descriptor_calls_until_it_is_forgotten(pipe: Callable[[], tuple[int, int]]) -> None:
    loop = Loop()
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
    loop = Loop()
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
    loop = Loop()
    read, _ = pipe()
    loop.forget(read)
    loop.on_readable(read, lambda: None)
    loop.forget(read)
    loop.forget(read)
    loop.stop()
    run(loop)


def test_a_signal_wakes_the_loop_and_its_handler_is_put_back() -> None:
    loop = Loop()
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


def test_a_callback_that_raises_ends_the_run_and_puts_the_signals_back() -> None:
    loop = Loop()
    before = signal.getsignal(signal.SIGUSR1)
    loop.on_signal(signal.SIGUSR1, lambda: None)
    loop.post(lambda: [][0])
    with pytest.raises(IndexError):
        loop.run()
    assert signal.getsignal(signal.SIGUSR1) is before
