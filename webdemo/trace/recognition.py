"""Detects which protocol a server really speaks, if it is not the one of the URL.

The rule: each check uses its own connection and takes at most two seconds, because it only serves to
explain a failure.
"""

from __future__ import annotations

import socket
from collections.abc import Callable

from webdemo.trace.clock import Clock
from webdemo.trace.encryption import unverified_context

QUESTION_SECONDS = 2.0
Dial = Callable[[Clock], socket.socket]
"""Opens a new connection to the same address; raises OSError."""

_TLS_ALERT = b"\x15\x03"


def recognise(first: bytes) -> str:
    """The protocol of an answer's first bytes: tls, http, smtp, ftp, ssh, or "" if unknown."""
    text = first[:200].upper()
    if first.startswith(_TLS_ALERT):
        return "tls"
    if text.startswith(b"HTTP/"):
        return "http"
    if text.startswith(b"SSH-"):
        return "ssh"
    if text[:3].isdigit() and text[3:4] in (b" ", b"-"):
        return "smtp" if b"SMTP" in text else "ftp" if b"FTP" in text else ""
    return ""


def speaks_tls(dial: Dial, clock: Clock) -> bool:
    """Whether a TLS handshake succeeds, whatever the certificate."""
    try:
        clock = clock.at_most(QUESTION_SECONDS)
        with dial(clock) as sock:
            sock.settimeout(clock.remaining())
            with unverified_context().wrap_socket(sock):
                return True
    except OSError:
        return False


def speaks_plainly(dial: Dial, clock: Clock) -> str:
    """The protocol spoken without TLS: http, smtp, ftp, ssh, tls (an alert), or "" if unknown."""
    try:
        clock = clock.at_most(QUESTION_SECONDS)
        with dial(clock) as sock:
            sock.settimeout(clock.remaining())
            sock.sendall(b"HEAD / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return recognise(sock.recv(200))
    except OSError:
        return ""
