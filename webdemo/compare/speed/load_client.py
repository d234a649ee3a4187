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
from itertools import chain

from webdemo.client.endpoint import Endpoint
from webdemo.client.http11 import KeepAliveClient

RESPONSE_SECONDS = 10.0


def load(port: int, path: str, *, connections: int, seconds: float) -> dict[str, float]:
    """Send requests on all connections for `seconds`; returns the figures to be printed as JSON."""
    began = time.perf_counter()
    with ThreadPoolExecutor(connections) as pool:
        running = [pool.submit(_send_requests, port, path, began + seconds) for _ in range(connections)]
        done, failed, refused = zip(*(one.result() for one in running), strict=True)
    took = time.perf_counter() - began
    latencies = sorted(chain.from_iterable(done))
    figures = {
        "requests": len(latencies),
        "seconds": took,
        "failed_connections": sum(failed),
        "error_responses": sum(refused),
    }
    for percent in (50, 90, 99):
        rank = min(len(latencies) * percent // 100, len(latencies) - 1)
        figures[f"p{percent}_ms"] = latencies[rank] * 1000 if latencies else 0.0
    return figures


def _send_requests(port: int, path: str, until: float) -> tuple[list[float], int, int]:
    """Send requests on one connection until then (time.perf_counter).

    Returns the latencies in seconds, and how many connections failed and how many responses were errors.
    """
    latencies: list[float] = []
    failed = refused = 0
    with closing(KeepAliveClient(Endpoint.of_port(port), path, RESPONSE_SECONDS)) as client:
        while (began := time.perf_counter()) < until:
            # A response after the end does not count: the load must not last longer than requested.
            client.timeout_seconds = max(until - began, 0.05)
            try:
                refused += client.get() >= 400
            except TimeoutError:
                break
            except OSError:
                failed += 1
                time.sleep(0.001)
            else:
                latencies.append(time.perf_counter() - began)
    return latencies, failed, refused


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
