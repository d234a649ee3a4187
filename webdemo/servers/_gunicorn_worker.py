"""Gunicorn's threaded worker, extended beyond its public API; webdemo.servers.gunicorn uses it.

New connections occupy no thread until their first bytes arrive, slow and idle ones are closed, and the next
connection is left to a sibling that has fewer. What the last gains is in docs/performance.md.
"""

from __future__ import annotations

import selectors
import socket
import sys
import time
from functools import partial
from typing import Any

from gunicorn.workers.gthread import ThreadWorker

from webdemo.servers import LINGER_SECONDS, Job
from webdemo.servers._draining import LOOK_FOR_OLD_SECONDS, end_reading, is_readable
from webdemo.servers._fair_accept import Turns
from webdemo.servers._room import PAUSE_SECONDS, Room


def threaded_worker(job: Job, busy: set[int]) -> type:
    """The class for this job; `busy`: the descriptors of the connections whose request the app answers."""
    return type("Worker", (Worker,), {"job": job, "busy": busy})


class Worker(ThreadWorker):  # type: ignore[misc]
    job: Job
    busy: set[int]

    def init_process(self) -> None:
        self.siblings = None if self.job.siblings is None else self.job.siblings()
        self.turns = None if self.siblings is None else Turns(self.siblings)
        self.room = Room(lambda: self.nr_conns, self.close_idle, most=self.job.options.connections)
        self.worker_connections: int = sys.maxsize  # Room enforces the limit, and closes idle connections
        self.in_threads: dict[Any, float] = {}  # connections, and when each was passed to a thread
        self.look_at = 0.0
        super().init_process()

    def notify(self) -> None:  # called in every iteration of the worker's loop
        super().notify()
        now = time.monotonic()
        if now > self.look_at:
            self.look_at = now + LOOK_FOR_OLD_SECONDS
            for connection, since in self.in_threads.copy().items():
                if since > now - self.job.options.header_timeout:
                    break
                if connection.sock.fileno() not in self.busy:
                    end_reading(connection.sock)
        if self.siblings is None:
            return
        if self.alive:
            self.siblings.report(self.nr_conns)
        else:  # it is stopping, or has reached `max_requests`
            self.siblings.leave()

    def accept(self, listener: socket.socket) -> None:
        if not self.room.is_left():
            time.sleep(PAUSE_SECONDS)
            return
        if self.turns is not None:
            self.turns.wait()
        try:
            super().accept(listener)
        except OSError as exc:
            if not self.room.failed(exc):
                raise
            time.sleep(PAUSE_SECONDS)
        if self.siblings is not None:
            self.siblings.report(self.nr_conns)

    def enqueue_req(self, connection: Any) -> None:
        if not (connection.initialized or connection.data_ready):
            self.room.accepted(connection.sock)
            connection.data_ready = is_readable(connection.sock)  # else a thread would poll once more
            if not connection.data_ready:
                self.park(connection)
                return
        self.in_threads[connection] = time.monotonic()
        super().enqueue_req(connection)

    def park(self, connection: Any) -> None:
        """Wait for the first bytes in the poller, as Gunicorn does after a thread has waited in vain."""
        connection.sock.setblocking(False)
        connection.set_timeout()
        self.pending_conns.append(connection)
        self.poller.register(
            connection.sock, selectors.EVENT_READ, partial(self.on_pending_socket_readable, connection)
        )

    def finish_request(self, connection: Any, future: Any) -> None:
        self.in_threads.pop(connection, None)
        super().finish_request(connection, future)

    def close_idle(self) -> None:
        latest = time.monotonic() - LINGER_SECONDS + self.cfg.keepalive
        for waiting in (self.pending_conns, self.keepalived_conns):
            for connection in waiting:
                if connection.timeout > latest:
                    break
                connection.timeout = 0
