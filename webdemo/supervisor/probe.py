"""The readiness probe of server processes. Runs in threads of the main process.

The rule: a server is up when it has answered a request. On an inherited socket a connect succeeds before
any server runs, so a connect proves nothing. The probe is a real request over the real socket, and the
response names the process, because the process being replaced may answer as well. An SMTP or FTP server
speaks first and cannot be told from its predecessor: there it is enough that the process reports that it
accepts connections and that the port sends a greeting.
"""

from __future__ import annotations

import socket
import time
from typing import Any

from webdemo.middleware.stack import ANSWERED_HEADER, PROBE_HEADER

ATTEMPT_SECONDS = 2.0


# An address family, and an address as socket.connect takes it.
Place = tuple[int, Any]


def place_of(listener: socket.socket) -> Place:
    """The address at which the socket can be reached from this machine: loopback if it is a wildcard."""
    address = listener.getsockname()
    if isinstance(address, tuple):
        address = ({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address[0], address[0]), address[1])
    return listener.family, address


def answered_by(place: Place, token: str, *, tls: bool) -> int | None:
    """Send one probe, and return the number of the process that answered, or None.

    Each socket operation times out after ATTEMPT_SECONDS.
    """
    request = (
        f"GET / HTTP/1.1\r\nHost: localhost\r\n{PROBE_HEADER}: {token}\r\nConnection: close\r\n\r\n"
    ).encode()
    try:
        family, address = place
        with socket.socket(family, socket.SOCK_STREAM) as sock:
            sock.settimeout(ATTEMPT_SECONDS)
            sock.connect(address)
            if tls:
                import ssl

                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE  # it is our own port; the token says who answers
                with context.wrap_socket(sock) as wrapped:
                    return _exchange(wrapped, request)
            return _exchange(sock, request)
    except (OSError, ValueError):
        return None


def _exchange(sock: socket.socket, request: bytes) -> int | None:
    sock.sendall(request)
    head = b""
    while b"\r\n\r\n" not in head and len(head) < 65536 and (data := sock.recv(4096)):
        head += data
    for line in head.decode("latin-1").split("\r\n"):
        name, _, value = line.partition(":")
        if name.lower() == ANSWERED_HEADER.lower():
            return int(value.strip().partition(" ")[0])
    return None


def greets(place: Place) -> bool:
    """Whether the server there greets with 220 (RFC 5321 section 3.1, RFC 959 section 5.4).

    Each socket operation times out after ATTEMPT_SECONDS.
    """
    try:
        family, address = place
        with socket.socket(family, socket.SOCK_STREAM) as sock:
            sock.settimeout(ATTEMPT_SECONDS)
            sock.connect(address)
            greeting = sock.recv(4096)
            sock.sendall(b"QUIT\r\n")
            return greeting.startswith(b"220")
    except OSError:
        return False


def wait_for_greeting(place: Place, *, give_up_at: float) -> bool:
    while time.monotonic() < give_up_at:
        if greets(place):
            return True
        time.sleep(0.02)
    return False


def wait_for(place: Place, token: str, process: int, *, tls: bool, alone: bool, give_up_at: float) -> bool:
    """Probe until `process` answers; False if it has not by `give_up_at` (time.monotonic).

    `alone`: no other process serves the socket, so any answer counts. Otherwise chance decides which
    process accepts a connection: after 200 answers from others, the process's own report that it accepts
    connections is trusted.
    """
    others = 0
    while time.monotonic() < give_up_at:
        who = answered_by(place, token, tls=tls)
        if who == process or (alone and who is not None):
            return True
        if who is not None:
            others += 1
            if others == 200:
                return True
        time.sleep(0.002 if who is not None else 0.02)
    return False
