"""Servers replaced under load: no connection is refused; only a killed process loses requests."""

from __future__ import annotations

import signal
import subprocess
import sys
from urllib.parse import urlsplit

import psutil
import pytest

from tests.leftovers import kill_tree
from tests.raw_http import Load, get
from tests.running import Running, Start, lives, wait_until
from tests.servers.kinds import SOFTWARE, bind

ANSWERS = 60  # between two events, so that each happens in the middle of traffic


def wait_for_a_new_process(run: Running, load: Load, old: set[str]) -> None:
    """Wait until a process answers that did not before, and then for some more responses."""
    wait_until(lambda: set(load.answered_by) - old, run.log_so_far)
    load.wait_for(ANSWERS)


def test_a_killed_server_is_replaced_and_no_connection_refused(kind: str, serving: Start) -> None:
    run = serving("-b", bind(kind), "--no-access-log")
    with Load(run.urls) as load:
        for _ in range(2):
            load.wait_for(ANSWERS)
            before = set(load.answered_by)
            [server] = run.servers()
            server.kill()
            wait_for_a_new_process(run, load, before)
    assert load.outcomes["refused"] == 0, load.details
    # Each of the four clients has one request in flight, or one connection queued in the process.
    assert load.outcomes["lost"] <= 2 * 4, load.details
    assert run.terminate() == 0
    run.wait_until_gone()


def test_a_killed_worker_of_gunicorn_is_replaced_and_no_connection_refused(serving: Start) -> None:
    run = serving("-b", bind("gunicorn", "127.0.0.1:0", "workers=2"), "--no-access-log")
    with Load(run.urls) as load:
        load.wait_for(ANSWERS)
        before = set(load.answered_by)
        [master] = run.servers()
        for worker in master.children():
            kill_tree(worker)
        wait_for_a_new_process(run, load, before)
    assert load.outcomes["refused"] == 0, load.details
    assert load.outcomes["lost"] <= 4, load.details


def test_a_stopped_server_whose_loader_is_killed_loses_no_request(kind: str, serving: Start) -> None:
    run = serving("-b", bind(kind), "--no-access-log")
    with Load(run.urls) as load:
        load.wait_for(ANSWERS)
        [server] = run.servers()
        stopped = [server, *server.children()]
        for process in stopped:
            process.suspend()
        [loader] = run.loaders()
        loader.kill()  # the system then sends its stopped children SIGHUP and SIGCONT
        run.wait_for("The loader was killed by SIGKILL")
        for process in filter(lives, stopped):
            process.resume()
        load.wait_for(2 * ANSWERS)
    assert load.outcomes["refused"] == 0, load.details
    assert load.outcomes["lost"] == 0, load.details


@pytest.mark.smoke
def test_a_reload_loses_no_request(kind: str, serving: Start) -> None:
    run = serving("-b", bind(kind), "--no-access-log")
    with Load(run.urls) as load:
        for _ in range(2):
            load.wait_for(ANSWERS)
            before, old = set(load.answered_by), run.servers()
            run.signal(signal.SIGHUP)
            wait_for_a_new_process(run, load, before)
            run.wait_until_ended(old)
    assert load.outcomes["refused"] == 0, load.details
    assert load.outcomes["lost"] == 0, load.details
    run.wait_for("has the new code", times=2)
    assert run.terminate() == 0
    run.wait_until_gone()


def test_a_swap_through_all_servers_loses_no_request(serving: Start) -> None:
    run = serving("-b", bind("werkzeug"), "--no-access-log")
    port = str(urlsplit(run.url).port)
    with Load(run.urls) as load:
        for kind in ("waitress", "gunicorn", "cheroot", "gevent", "hypercorn", "wsgiref", "werkzeug"):
            load.wait_for(ANSWERS)
            old = run.servers()
            swap = subprocess.run(
                [sys.executable, "-m", "webdemo", "swap", port, kind],
                capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL,
            )  # fmt: skip
            assert swap.returncode == 0, swap.stderr + swap.stdout + run.log_so_far()
            load.wait_for(ANSWERS)
            run.wait_until_ended(old)
            assert all(get(run.url).text.startswith(SOFTWARE[kind]) for _ in range(5))
    assert load.outcomes["refused"] == 0, load.details
    assert load.outcomes["lost"] == 0, load.details
    assert run.terminate() == 0
    run.wait_until_gone()


def test_a_killed_loader_is_replaced_and_no_request_lost(serving: Start) -> None:
    run = serving("-b", bind("waitress"), "-b", bind("gunicorn"), "--no-access-log")
    with Load(run.urls) as load:
        load.wait_for(ANSWERS)
        [loader] = run.loaders()
        old = run.servers()
        loader.kill()
        load.wait_for(ANSWERS)
        run.wait_until_ended(old)
        load.wait_for(ANSWERS)
    assert load.outcomes["refused"] == 0, load.details
    assert load.outcomes["lost"] == 0, load.details
    assert run.terminate() == 0
    run.wait_until_gone()


def test_nothing_outlives_a_killed_supervisor(serving: Start) -> None:
    kinds = ("werkzeug", "waitress", "gunicorn", "gevent")
    run = serving(
        *(a for kind in kinds for a in ("-b", bind(kind, "127.0.0.1:0", "workers=2"))), "--grace", "3"
    )
    assert len(run.processes()) >= 1 + 2 + 8
    psutil.Process(run.pid).kill()
    run.wait()
    run.wait_until_gone()
