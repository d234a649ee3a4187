"""The load generator for machines without wrk.

The load runs in a separate process, `python -m webdemo.compare.speed.load_client`, so that its processor time
is measured separately. With one thread per connection it reaches a few thousand requests a second; beyond
that it is itself the limit, which the report then says.
"""

from __future__ import annotations

import json
import sys
import threading
import time
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
    tallies = [_Tally() for _ in range(connections)]
    began = time.perf_counter()
    threads = [
        threading.Thread(target=_send_requests, args=(port, path, began + seconds, tally))
        for tally in tallies
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
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


def _send_requests(port: int, path: str, until: float, tally: _Tally) -> None:
    client = KeepAliveClient(Endpoint.of_port(port), path, RESPONSE_SECONDS)
    try:
        while (began := time.perf_counter()) < until:
            # A response after the end does not count: the load must not last longer than requested.
            client.timeout_seconds = max(until - began, 0.05)
            try:
                if client.get() >= 400:
                    tally.error_responses += 1
            except TimeoutError:
                return
            except OSError:
                tally.failed_connections += 1
                time.sleep(0.001)
            else:
                tally.latencies.append(time.perf_counter() - began)
    finally:
        client.close()


def is_answered(port: int, path: str, seconds: float) -> bool:
    """Wait until a request for the path is answered; False if that takes longer."""
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        client = KeepAliveClient(Endpoint.of_port(port), path, left)
        try:
            client.get()
        except OSError:
            time.sleep(0.01)
        else:
            return True
        finally:
            client.close()
    return False


if __name__ == "__main__":
    _, port, path, connections, seconds = sys.argv
    print(json.dumps(load(int(port), path, connections=int(connections), seconds=float(seconds))))
