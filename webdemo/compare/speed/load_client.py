"""Our own client: single requests, and a load of them where wrk is not installed. HTTP is done by h11.

The load runs in a separate process, `python -m webdemo.compare.speed.load_client`, so that its processor time
is measured separately. With one thread per connection it reaches a few thousand requests a second; beyond
that it is itself the limit, which the report then says.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from dataclasses import dataclass, field

import h11

ANSWER_SECONDS = 10.0
_CHUNK = 1 << 16


@dataclass(slots=True)
class Connection:
    """A connection that is opened when needed, and again after the server has closed it.

    A request without a complete response raises OSError or h11.RemoteProtocolError, and closes it.
    """

    port: int
    path: str
    timeout_seconds: float = ANSWER_SECONDS
    _sock: socket.socket | None = None
    _http: h11.Connection = field(default_factory=lambda: h11.Connection(h11.CLIENT))

    def ask(self) -> int:
        """GET the path, read the whole response, and return its status."""
        if self._sock is None:
            self._sock = socket.create_connection(("127.0.0.1", self.port), timeout=self.timeout_seconds)
            self._http = h11.Connection(h11.CLIENT)
        try:
            status = self._exchange(self._sock)
        except BaseException:
            self.close()
            raise
        if self._http.states == {h11.CLIENT: h11.DONE, h11.SERVER: h11.DONE}:
            self._http.start_next_cycle()
        else:
            self.close()
        return status

    def close(self) -> None:
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def _exchange(self, sock: socket.socket) -> int:
        headers = [("Host", f"127.0.0.1:{self.port}")]
        sock.sendall(self._http.send(h11.Request(method="GET", target=self.path, headers=headers)))
        self._http.send(h11.EndOfMessage())
        status = 0
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                self._http.receive_data(sock.recv(_CHUNK))
            elif isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.EndOfMessage):
                return status
            elif isinstance(event, h11.ConnectionClosed):
                raise ConnectionResetError("The server closed the connection without an answer.")


@dataclass(slots=True)
class _Tally:
    latencies: list[float] = field(default_factory=list)
    errors: int = 0


def load(port: int, path: str, *, connections: int, seconds: float) -> dict[str, float]:
    """Send requests on all connections for `seconds`; returns the figures to be printed as JSON."""
    tallies = [_Tally() for _ in range(connections)]
    began = time.perf_counter()
    threads = [
        threading.Thread(target=_keep_asking, args=(port, path, began + seconds, tally)) for tally in tallies
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
        "errors": sum(tally.errors for tally in tallies),
    }
    for percent in (50, 90, 99):
        rank = min(len(latencies) * percent // 100, len(latencies) - 1)
        figures[f"p{percent}_ms"] = latencies[rank] * 1000 if latencies else 0.0
    return figures


def _keep_asking(port: int, path: str, until: float, tally: _Tally) -> None:
    connection = Connection(port, path)
    try:
        while (began := time.perf_counter()) < until:
            # A response after the end does not count: the load must not last longer than requested.
            connection.timeout_seconds = max(until - began, 0.05)
            try:
                if connection.ask() >= 400:
                    tally.errors += 1
            except TimeoutError:
                return
            except (OSError, h11.RemoteProtocolError):
                tally.errors += 1
                time.sleep(0.001)
            else:
                tally.latencies.append(time.perf_counter() - began)
    finally:
        connection.close()


if __name__ == "__main__":
    _, port, path, connections, seconds = sys.argv
    print(json.dumps(load(int(port), path, connections=int(connections), seconds=float(seconds))))
