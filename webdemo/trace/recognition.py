"""Detects which protocol a server really speaks, if it is not the one of the URL.

The rule: each check uses its own connection and takes at most two seconds, because it only serves to
explain a failure.
"""

from __future__ import annotations

from webdemo.client.connection import Deadline
from webdemo.client.tls import Reconnect, unverified_context
from webdemo.client.wire import encode_request

QUESTION_SECONDS = 2.0

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


def speaks_tls(reconnect: Reconnect, deadline: Deadline) -> bool:
    """Whether a TLS handshake succeeds, whatever the certificate."""
    try:
        deadline = deadline.at_most(QUESTION_SECONDS)
        with reconnect(deadline) as sock:
            sock.settimeout(deadline.remaining())
            with unverified_context().wrap_socket(sock):
                return True
    except OSError:
        return False


def speaks_plainly(reconnect: Reconnect, deadline: Deadline) -> str:
    """The protocol spoken without TLS: http, smtp, ftp, ssh, tls (an alert), or "" if unknown."""
    try:
        deadline = deadline.at_most(QUESTION_SECONDS)
        with reconnect(deadline) as sock:
            sock.settimeout(deadline.remaining())
            sock.sendall(encode_request(method="HEAD"))
            return recognise(sock.recv(200))
    except OSError:
        return ""
