"""Measures how a server starts, recovers from a kill -9, and stops with requests in flight."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from webdemo.client.endpoint import Endpoint
from webdemo.client.http11 import KeepAliveClient
from webdemo.compare.processes import with_descendants
from webdemo.compare.runner import Choice, Run, running
from webdemo.compare.speed.load_client import RESPONSE_SECONDS, is_answered
from webdemo.worker.app_import import Target

CYCLES = 2
_CLIENTS = 8
_BACK_SECONDS = 15.0
# How long the clients send requests before the stop, so that some are in flight.
_RUN_UP_SECONDS = 0.15


class Cycle(NamedTuple):
    """One start, kill and stop; None for what did not happen."""

    start_seconds: float | None = None
    back_seconds: float | None = None
    stop_seconds: float | None = None
    lost: int | None = None


def run_cycle(choice: Choice, target: Target, path: str) -> Cycle:
    """Start the server, kill its processes, and stop it under requests on eight connections."""
    with running([choice], target) as [run]:
        if run.state != "up":
            return Cycle()
        back = _kill(run, path)
        if back is None:
            return Cycle(run.start_seconds)
        stop_seconds, lost = _stop_under_load(run, path)
        return Cycle(run.start_seconds, back, stop_seconds, lost)


def _kill(run: Run, path: str) -> float | None:
    """Kill the server's processes; returns the seconds until the next response, or None if none comes."""
    for pid in with_descendants(run.pids):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    began = time.monotonic()
    return time.monotonic() - began if is_answered(run.port, path, _BACK_SECONDS) else None


def _send_until(over: threading.Event, endpoint: Endpoint, path: str) -> int:
    """Send requests, each on a new connection; returns how many got no response.

    The last one is in flight when `over` is set.
    """
    lost = 0
    client = KeepAliveClient(endpoint, path, RESPONSE_SECONDS)
    while not over.is_set():
        with contextlib.closing(client):
            try:
                client.get()
            except OSError:
                lost += 1
    return lost


def _stop_under_load(run: Run, path: str) -> tuple[float, int]:
    """Returns the seconds that the stop took, and the number of requests without a response."""
    over = threading.Event()
    with ThreadPoolExecutor(_CLIENTS) as pool:
        clients = [pool.submit(_send_until, over, run.endpoint, path) for _ in range(_CLIENTS)]
        time.sleep(_RUN_UP_SECONDS)
        over.set()
        seconds = run.stop()
        return seconds, sum(client.result() for client in clients)
