"""The load generator for machines without wrk.

The load runs in a separate process, `python -m webdemo.compare.speed.load_client`, so that its processor time
is measured separately. With one thread per connection it reaches a few thousand requests a second; beyond
that it is itself the limit, which the report then says.
"""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field

from webdemo.client.endpoint import Endpoint
from webdemo.client.http11 import KeepAliveClient

RESPONSE_SECONDS = 10.0


@dataclass(slots=True)
class _Tally:
    latencies: list[float] = field(default_factory=list)
    failed_connections: int = 0
    error_responses: int = 0


def load(port: int, path: str, *, connections: int, seconds: float) -> dict[str, float]:
    """Send requests on all connections for `seconds`; returns the figures to be printed as JSON."""
    began = time.perf_counter()
    with ThreadPoolExecutor(connections) as pool:
        running = [pool.submit(_send_requests, port, path, began + seconds) for _ in range(connections)]
        tallies = [one.result() for one in running]
    took = time.perf_counter() - began
    latencies = sorted(latency for tally in tallies for latency in tally.latencies)
    figures = {
        "requests": len(latencies),
        "seconds": took,
        "failed_connections": sum(tally.failed_connections for tally in tallies),
        "error_responses": sum(tally.error_responses for tally in tallies),
    }
    for percent in (50, 90, 99):
        rank = min(len(latencies) * percent // 100, len(latencies) - 1)
        figures[f"p{percent}_ms"] = latencies[rank] * 1000 if latencies else 0.0
    return figures


def _send_requests(port: int, path: str, until: float) -> _Tally:
    """Send requests on one connection until then (time.perf_counter)."""
    tally = _Tally()
    client = KeepAliveClient(Endpoint.of_port(port), path, RESPONSE_SECONDS)
    with closing(client):
        while (began := time.perf_counter()) < until:
            # A response after the end does not count: the load must not last longer than requested.
            client.timeout_seconds = max(until - began, 0.05)
            try:
                if client.get() >= 400:
                    tally.error_responses += 1
            except TimeoutError:
                break
            except OSError:
                tally.failed_connections += 1
                time.sleep(0.001)
            else:
                tally.latencies.append(time.perf_counter() - began)
    return tally


def is_answered(port: int, path: str, seconds: float) -> bool:
    """Wait until a request for the path is answered; False if that takes longer."""
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        with suppress(OSError), closing(KeepAliveClient(Endpoint.of_port(port), path, left)) as client:
            client.get()
            return True
        time.sleep(0.01)
    return False


if __name__ == "__main__":
    _, port, path, connections, seconds = sys.argv
    print(json.dumps(load(int(port), path, connections=int(connections), seconds=float(seconds))))
