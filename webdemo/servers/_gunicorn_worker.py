"""Gunicorn's threaded worker, extended beyond its public API; webdemo.servers.gunicorn uses it.

New connections occupy no thread until their first bytes arrive, slow and idle ones are closed, no client that
keeps its end open holds up the others, and the next connection is left to a sibling that has fewer. What the
last gains is in docs/performance.md.
"""

from __future__ import annotations

import contextlib
import selectors
import signal
import socket
import sys
import time
from functools import partial
from typing import Any

from gunicorn.workers.gthread import ThreadWorker

from webdemo.portable import is_readable
from webdemo.servers import LINGER_SECONDS, Job
from webdemo.servers._draining import LOOK_FOR_OLD_SECONDS, end_reading
from webdemo.servers._fair_accept import Turns
from webdemo.servers._room import PAUSE_SECONDS, Room


def threaded_worker(job: Job, busy: set[int]) -> type:
    """The class for this job; `busy`: the descriptors of the connections whose request the app answers."""
    return type("Worker", (Worker,), {"job": job, "busy": busy})


_CLOSING_SECONDS = 2.0
_READ_BYTES = 65536


class Worker(ThreadWorker):  # type: ignore[misc]
    job: Job
    busy: set[int]

    def init_process(self) -> None:
        self.siblings = None if self.job.siblings is None else self.job.siblings()
        self.turns = None if self.siblings is None else Turns(self.siblings)
        self.room = Room(lambda: self.nr_conns, self.close_idle, most=self.job.options.connections)
        self.worker_connections: int = sys.maxsize  # Room enforces the limit, and closes idle connections
        self.in_threads: dict[Any, float] = {}  # connections, and when each was passed to a thread
        self.closing: dict[Any, float] = {}  # connections that the client should close now, and until when
        self.look_at = 0.0
        super().init_process()

    def notify(self) -> None:  # called in every iteration of the worker's loop
        super().notify()
        now = time.monotonic()
        for connection, until in self.closing.copy().items():
            if until > now:
                break
            self.close(connection)
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

    def is_parent_alive(self) -> bool:
        is_alive: bool = super().is_parent_alive()
        if not is_alive:  # Gunicorn would serve on kept connections until the grace time is over
            signal.raise_signal(signal.SIGTERM)
        return is_alive

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
        """Wait for the first bytes in the poller, as Gunicorn does after a thread has timed out waiting."""
        connection.sock.setblocking(False)
        connection.set_timeout()
        self.pending_conns.append(connection)
        self.poller.register(
            connection.sock, selectors.EVENT_READ, partial(self.on_pending_socket_readable, connection)
        )

    def finish_request(self, connection: Any, future: Any) -> None:
        self.in_threads.pop(connection, None)
        if future.cancelled() or future.exception() or future.result():
            super().finish_request(connection, future)
        else:
            self.wait_for_close(connection)

    def wait_for_close(self, connection: Any) -> None:
        """Close it when the client has, or after a while; unread data would make the system reset it.

        Gunicorn waits in the loop, in which all other connections then wait as well.
        """
        self.closing[connection] = time.monotonic() + _CLOSING_SECONDS
        try:
            connection.sock.shutdown(socket.SHUT_WR)
            connection.sock.setblocking(False)
            self.poller.register(connection.sock, selectors.EVENT_READ, partial(self.discard, connection))
        except (OSError, ValueError):  # the client has reset it, or it is closed already
            self.close(connection)

    def discard(self, connection: Any, sock: socket.socket) -> None:
        """Read what the client still sends, until it closes."""
        with contextlib.suppress(OSError):
            if sock.recv(_READ_BYTES):
                return
        self.close(connection)

    def close(self, connection: Any) -> None:
        del self.closing[connection]
        with contextlib.suppress(KeyError, ValueError):  # it was closed already
            self.poller.unregister(connection.sock)
        self.nr_conns -= 1
        connection.close()

    def close_idle(self) -> None:
        latest = time.monotonic() - LINGER_SECONDS + self.cfg.keepalive
        for waiting in (self.pending_conns, self.keepalived_conns):
            for connection in waiting:
                if connection.timeout > latest:
                    break
                connection.timeout = 0
