"""New connections while a server is replaced or stopped: answered or refused, never accepted and cut off."""

from __future__ import annotations

import contextlib
import signal
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests import running as runs
from tests.raw_http import ClosedIdle, Connection, Load
from tests.servers.kinds import KINDS, bind
from webdemo.supervisor import control
from webdemo.supervisor.control_messages import Command, Completed, Reload, Restart, Start, Stop, Swap

ANSWERS = 30  # before each event, so that it happens in the middle of traffic
WAITING = 6
GUNICORN_WAITS_SECONDS = 2


def command(run: runs.Running, wish: Command) -> None:
    [instance] = [one for one in control.instances() if one.pid == run.pid]
    instance.call(wish, Completed)


def test_new_connections_are_answered_or_refused_whatever_happens(
    kind: str, serving: runs.Start, tmp_path: Path
) -> None:
    binds = bind(kind), bind(kind, str(tmp_path / "socket"), scheme="+unix")
    run = serving(*(argument for one in binds for argument in ("-b", one)), "--no-access-log")
    port, path = str(urlsplit(run.urls[0]).port), urlsplit(run.urls[1]).path
    with Load(run.urls, clients=8) as load:
        load.wait_for(ANSWERS)
        command(run, Restart())
        load.wait_for(ANSWERS)
        command(run, Reload())
        load.wait_for(ANSWERS)
        command(run, Swap(port, "waitress" if kind == "werkzeug" else "werkzeug"))
        load.wait_for(ANSWERS)
        assert load.outcomes["refused"] == 0, load.details
        command(run, Stop(port))
        command(run, Start(port))
        load.wait_for_each()
        command(run, Stop(path))
        command(run, Start(path))
        load.wait_for_each()
        run.signal(signal.SIGTERM)
        assert run.wait() == 0
    assert load.outcomes["lost"] == 0, load.details


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "gunicorn-sync"], indirect=True)
def test_connections_that_come_during_a_restart_are_answered_one_after_the_other(
    kind: str, serving: runs.Start
) -> None:
    """Each client waits until those before it are answered, but less than a server waits for a request."""
    run = serving("-b", bind(kind, "127.0.0.1:0", "workers=2"), "--no-access-log")
    old = run.servers()
    run.signal(signal.SIGHUP)
    while any(map(runs.lives, old)):
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(Connection(run.url)) for _ in range(WAITING)]
            for client in clients:
                with contextlib.suppress(ClosedIdle):
                    assert client.request("/name").status == 200
    assert run.terminate() == 0


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "gunicorn-sync"], indirect=True)
def test_clients_that_do_not_close_after_the_last_response_hold_nobody_up(
    kind: str, serving: runs.Start
) -> None:
    run = serving("-b", bind(kind), "--no-access-log")
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        for _ in range(2 * WAITING):
            client = stack.enter_context(Connection(run.url))
            client.request("/name", headers=[("Connection", "close")])
        # Gunicorn by itself waits for each of them, in its event loop.
        assert time.monotonic() - began < WAITING * GUNICORN_WAITS_SECONDS
