"""Is it up? Up is a first answer: with an inherited socket a connect succeeds before any server runs.

The probe is a real request over the real socket. Its answer names the process, because the one that
is about to be replaced may answer as well. A server of another protocol speaks first, and cannot be told
from its predecessor: that it has said that it accepts, and that the port greets, must do.
"""

from __future__ import annotations

import socket
import time
from typing import Any

from webdemo.middleware.stack import ANSWERED_HEADER, PROBE_HEADER

ATTEMPT_SECONDS = 2.0


# A family and an address, as socket.connect takes it.
Place = tuple[int, Any]


def place_of(listener: socket.socket) -> Place:
    """Where the socket can be reached from this machine."""
    address = listener.getsockname()
    if isinstance(address, tuple):
        address = ({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address[0], address[0]), address[1])
    return listener.family, address


def answered_by(place: Place, token: str, *, tls: bool) -> int | None:
    """Send one probe; the number of the process that answered, or None. Blocks for two seconds at most."""
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
    """Whether the server there says 220 (RFC 5321 3.1, RFC 959 5.4). Blocks for two seconds at most."""
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
    """Probe until `process` answers. `alone`: nobody else serves there, so any answer will do.

    With somebody else on the same socket chance decides who takes a connection; after 200 answers
    by others the process, which has said that it accepts, is believed.
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
