"""The option `cpus`: which processors the processes of a server are pinned to."""

from __future__ import annotations

import os
import signal
import time

import psutil
import pytest

from tests import running as runs
from webdemo.servers import registry

APP = """
import os

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(sorted(os.sched_getaffinity(0))).encode()]
"""

pytestmark = pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2, reason="needs two processors"
)


def workers_of(running: runs.Running, server: str) -> list[psutil.Process]:
    """The processes that answer requests."""
    found = running.servers()
    return [w for one in found for w in runs.children(one)] if registry.find(server).own_workers else found


def places(running: runs.Running, server: str, count: int) -> list[list[int]]:
    """The processors of each of `count` workers, sorted, once there are so many."""
    deadline = time.monotonic() + runs.START_SECONDS
    while len(found := workers_of(running, server)) < count:
        assert time.monotonic() < deadline, running.log_so_far()
        time.sleep(0.02)
    return sorted(sorted(worker.cpu_affinity()) for worker in found)


def settled(running: runs.Running, server: str, wanted: list[list[int]]) -> list[list[int]]:
    """Wait for the wanted placement, because a worker is forked before it is pinned."""
    deadline = time.monotonic() + 60
    while (found := places(running, server, len(wanted))) != wanted and time.monotonic() < deadline:
        time.sleep(0.02)
    return found


@pytest.mark.parametrize("server", ["werkzeug", "waitress", "gunicorn", "cheroot"])
def test_each_worker_has_a_processor_of_its_own(server: str, running: runs.Start) -> None:
    cpus = sorted(os.sched_getaffinity(0))
    bind = f"{server}://127.0.0.1:0?workers={len(cpus)}&cpus=each"
    run = running("-b", bind, app=APP)
    assert settled(run, server, [[cpu] for cpu in cpus]) == [[cpu] for cpu in cpus]


@pytest.mark.parametrize("server", ["waitress", "gunicorn"])
def test_worker_that_was_killed_is_replaced_on_its_processor(server: str, running: runs.Start) -> None:
    cpus = sorted(os.sched_getaffinity(0))
    wanted = [[cpu] for cpu in cpus]
    run = running("-b", f"{server}://127.0.0.1:0?workers={len(cpus)}&cpus=each", app=APP)
    assert settled(run, server, wanted) == wanted
    victim = workers_of(run, server)[-1]
    os.kill(victim.pid, signal.SIGKILL)
    victim.wait(runs.END_SECONDS)
    assert settled(run, server, wanted) == wanted


@pytest.mark.parametrize("server", ["waitress", "gunicorn"])
def test_workers_run_anywhere_unless_told_otherwise(server: str, running: runs.Start) -> None:
    cpus = sorted(os.sched_getaffinity(0))
    run = running("-b", f"{server}://127.0.0.1:0?workers=2", app=APP)
    assert places(run, server, 2) == [cpus, cpus]


def test_processors_that_are_named_are_kept_to_by_all_workers(running: runs.Start) -> None:
    first = min(os.sched_getaffinity(0))
    run = running("-b", f"waitress://127.0.0.1:0?workers=2&cpus={first}", app=APP)
    assert places(run, "waitress", 2) == [[first], [first]]
