"""Batches of items, in real threads and processes."""

from __future__ import annotations

import queue
import subprocess
import sys
import threading

import pytest

from webdemo.middleware.batches import Batches

DEADLINE_SECONDS = 60


def test_items_of_many_threads_are_handled_once_each_without_a_call() -> None:
    found: queue.SimpleQueue[list[int]] = queue.SimpleQueue()
    batches = Batches(found.put)

    def add(first: int) -> None:
        for number in range(first, first + 1000):
            batches.add(number)

    threads = [threading.Thread(target=add, args=[n * 1000]) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    items: list[int] = []
    while len(items) < 8000:
        items += found.get(timeout=DEADLINE_SECONDS)
    assert sorted(items) == list(range(8000))
    assert all(
        [i for i in items if i // 1000 == n] == list(range(n * 1000, n * 1000 + 1000)) for n in range(8)
    )


def test_a_batch_that_fails_is_reported_and_stops_no_other(capfd: pytest.CaptureFixture[str]) -> None:
    found: queue.SimpleQueue[list[str]] = queue.SimpleQueue()

    def handle(items: list[str]) -> None:
        found.put(items)
        if items == ["bad"]:
            raise ValueError("bad item")

    batches = Batches(handle)
    for item in ("bad", "good"):
        batches.add(item)
        assert found.get(timeout=DEADLINE_SECONDS) == [item]
    assert "ValueError: bad item" in capfd.readouterr().err


def test_items_are_handled_at_once_where_no_thread_can_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    found: list[list[int]] = []
    batches = Batches(found.append)
    batches.add(1)
    batches.add(2)
    assert found == [[1], [2]]


@pytest.mark.process
def test_the_last_items_are_handled_at_exit_and_by_the_process_that_added_them() -> None:
    program = """
import os
from webdemo.middleware.batches import Batches
batches = Batches(lambda items: os.write(1, f"{os.getpid() == parent} {items}\\n".encode()))
parent = os.getpid()
batches.add("before")
pid = os.fork()
batches.add("after")
if pid:
    os.waitpid(pid, 0)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=DEADLINE_SECONDS
    )
    lines = done.stdout.splitlines()
    assert lines.count("False ['after']") == 1
    assert "".join(line for line in lines if line.startswith("True")).count("before") == 1
