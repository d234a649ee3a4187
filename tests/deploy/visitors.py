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

from tests.raw_http import LONGEST_IDLE_SECONDS


class _ClosedIdle(Exception):
    """The connection had been idle for so long that it may have been closed."""


@dataclass
class Count:
    """`lost`: everything but a complete response with status 200; `releases`: X-Release of each response.

    `idle`: on connections that a visitor, which did not run for a while, had left idle for so long that they
    may have been closed, by RFC 9112, 9.5. These are not lost.
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
        connection = self._connection()
        is_kept = self.kept and number % 2 == 1
        sent = 0
        answered_at = 0.0
        while not self._stop.is_set() and time.monotonic() < self._ends_at:
            began = time.monotonic()
            is_ending = self._is_ending
            sent += 1
            try:
                lost, release = self._request(
                    connection,
                    "POST" if self.posts and sent % 3 == 0 else "GET",
                    is_kept=is_kept,
                    answered_at=answered_at,
                )
            except _ClosedIdle:
                connection.close()
                with self._lock:
                    self.count.idle += 1
                continue
            answered_at = time.monotonic()
            seconds = answered_at - began
            if lost or not is_kept:
                connection.close()
            with self._lock:
                self.count.total += 1
                self.count.slowest_seconds = max(self.count.slowest_seconds, seconds)
                if lost:
                    self.count.lost.append(lost)
                self._releases[release] += 1
                if is_ending:
                    self._at_the_end[release] += 1
            self._stop.wait(max(0.0, 1 / self.per_second - seconds))
        connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.host, self.port, timeout=self.timeout_seconds)

    def _request(
        self, connection: http.client.HTTPConnection, method: str, *, is_kept: bool, answered_at: float
    ) -> tuple[str, str]:
        idle_since, sent_at = answered_at, 0.0
        try:
            if connection.sock is None:
                idle_since = time.monotonic()
                connection.connect()
            try:
                connection.request(
                    method,
                    self.path,
                    body=b"x" * 100 if method == "POST" else None,
                    headers={"Connection": "keep-alive" if is_kept else "close"},
                )
            finally:
                sent_at = time.monotonic()
            response = connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException) as exc:
            if isinstance(exc, ConnectionError) and sent_at - idle_since > LONGEST_IDLE_SECONDS:
                raise _ClosedIdle from exc
            return f"{method} {type(exc).__name__}: {exc}", ""
        release = response.getheader("X-Release", "")
        return ("" if response.status == 200 else f"{method} {response.status}"), release


def main() -> None:
    visitors = Visitors(**json.loads(sys.argv[1])).start()
    for line in sys.stdin:
        if line.strip() == "end":
            visitors.begin_end()
    print(json.dumps(dataclasses.asdict(visitors.stop())))


if __name__ == "__main__":
    main()
