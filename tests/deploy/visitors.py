"""Visitors of a site: a bounded load that counts what was lost, and which release answered.

Runs in a test's process, or as a program in a network namespace:
    python -m tests.deploy.visitors '{"host": "10.0.0.1", "port": 8080, "clients": 10, ...}'
It ends when its standard input is closed or its time is over, and prints a `Count` as JSON.
"""

from __future__ import annotations

import dataclasses
import http.client
import json
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

from tests.raw_http import ClosedIdle, Connection, Cut


@dataclass
class Count:
    """`lost`: everything but a complete response with status 200; `releases`: X-Release of each response.

    `idle`: requests on connections that were closed while they were idle, because the visitor did not run
    for a while. They are not lost.
    """

    total: int = 0
    idle: int = 0
    lost: list[str] = field(default_factory=list)
    releases: dict[str, int] = field(default_factory=dict)
    releases_at_the_end: dict[str, int] = field(default_factory=dict)
    slowest_seconds: float = 0.0


@dataclass
class Visitors:
    """`clients` threads that send `per_second` requests each. Every second client keeps its connection if
    `kept`, and every third request of a client is a POST if `posts`."""

    host: str
    port: int
    clients: int = 10
    per_second: float = 25.0
    kept: bool = False
    posts: bool = False
    most_seconds: float = 120.0
    timeout_seconds: float = 60.0
    path: str = "/"

    def __post_init__(self) -> None:
        self.count = Count()
        self._releases: Counter[str] = Counter()
        self._at_the_end: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._is_ending = False
        self._url = f"http://{self.host}:{self.port}"
        self._ends_at = time.monotonic() + self.most_seconds
        self._threads = [threading.Thread(target=self._visit, args=(n,)) for n in range(self.clients)]

    def start(self) -> Visitors:
        for thread in self._threads:
            thread.start()
        return self

    def begin_end(self) -> None:
        """From now on the releases that answer are counted apart."""
        self._is_ending = True

    def stop(self) -> Count:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self.count.releases = dict(self._releases)
        self.count.releases_at_the_end = dict(self._at_the_end)
        return self.count

    def _visit(self, number: int) -> None:
        connection: Connection | None = None
        is_kept = self.kept and number % 2 == 1
        sent = 0
        while not self._stop.is_set() and time.monotonic() < self._ends_at:
            began = time.monotonic()
            is_ending = self._is_ending
            sent += 1
            method = "POST" if self.posts and sent % 3 == 0 else "GET"
            lost, release, idle = "", "", 0
            try:
                connection = connection or Connection(self._url, seconds=self.timeout_seconds)
                response = connection.request(
                    self.path,
                    method=method,
                    headers=[("Connection", "keep-alive" if is_kept else "close")],
                    body=b"x" * 100 if method == "POST" else b"",
                )
                release = response.headers.get("X-Release", "")
                lost = "" if response.status == 200 else f"{method} {response.status}"
                is_closing = not is_kept or response.is_last
            except ClosedIdle:
                idle, is_closing = 1, True
            except (OSError, Cut, http.client.HTTPException) as exc:
                lost, is_closing = f"{method} {type(exc).__name__}: {exc}", True
            seconds = time.monotonic() - began
            if connection is not None and is_closing:
                connection.close()
                connection = None
            with self._lock:
                self.count.idle += idle
                self.count.total += 1 - idle
                self.count.slowest_seconds = max(self.count.slowest_seconds, seconds)
                if lost:
                    self.count.lost.append(lost)
                self._releases[release] += 1 - idle
                if is_ending:
                    self._at_the_end[release] += 1 - idle
            self._stop.wait(max(0.0, 1 / self.per_second - seconds))
        if connection is not None:
            connection.close()


def main() -> None:
    visitors = Visitors(**json.loads(sys.argv[1])).start()
    for line in sys.stdin:
        if line.strip() == "end":
            visitors.begin_end()
    print(json.dumps(dataclasses.asdict(visitors.stop())))


if __name__ == "__main__":
    main()
