"""The readiness probe of server processes. Runs in threads of the main process.

The rule: a server is up when it has answered a request. On an inherited socket a connect succeeds before
any server runs, so a connect proves nothing. The probe is a real request over the real socket, and the
response names the process, because the process being replaced may answer as well. A server of another
protocol cannot be told from its predecessor: there it is enough that the process reports that it accepts
connections, and that the port sends the greeting that its adapter declares, if any.
"""

from __future__ import annotations

import time

from webdemo.client import wire
from webdemo.client.connection import Deadline
from webdemo.client.endpoint import Endpoint
from webdemo.middleware.stack import ANSWERED_HEADER, PROBE_HEADER

ATTEMPT_SECONDS = 2.0
_MOST_BYTES = 65536


def answered_by(endpoint: Endpoint, token: str) -> int | None:
    """Send one probe, and return the number of the process that answered, or None."""
    request = wire.encode_request("/", f"{PROBE_HEADER}: {token}")
    try:
        exchange = wire.exchange(
            endpoint,
            [request],
            ["HEAD"],  # what matters is in the head: a body that is not the probe's may be endless
            seconds=ATTEMPT_SECONDS,
            most_bytes=_MOST_BYTES,
        )
        value = exchange.responses[0].header(ANSWERED_HEADER) if exchange.responses else None
        return None if value is None else int(value.partition(" ")[0])
    except (OSError, ValueError):
        return None


def _greets(endpoint: Endpoint, greeting: bytes) -> bool:
    """Whether the first bytes that the server sends begin so."""
    deadline = Deadline(ATTEMPT_SECONDS)
    received = b""
    try:
        with endpoint.connect(deadline.remaining()) as sock:
            while len(received) < len(greeting):
                sock.settimeout(deadline.remaining())
                if not (data := sock.recv(4096)):
                    break
                received += data
    except OSError:
        return False
    return received.startswith(greeting)


def wait_for_greeting(endpoint: Endpoint, greeting: bytes, *, give_up_at: float) -> bool:
    """Connect until the server greets; False if it has not by `give_up_at` (time.monotonic)."""
    while time.monotonic() < give_up_at:
        if not greeting or _greets(endpoint, greeting):
            return True
        time.sleep(0.02)
    return False


def wait_for(endpoint: Endpoint, token: str, process: int, *, alone: bool, give_up_at: float) -> bool:
    """Probe until `process` answers; False if it has not by `give_up_at` (time.monotonic).

    `alone`: no other process serves the socket, so any answer counts. Otherwise chance decides which
    process accepts a connection: after 200 answers from others, the process's own report that it accepts
    connections is trusted.
    """
    others = 0
    while time.monotonic() < give_up_at:
        who = answered_by(endpoint, token)
        if who == process or (alone and who is not None):
            return True
        if who is not None:
            others += 1
            if others == 200:
                return True
        time.sleep(0.002 if who is not None else 0.02)
    return False
