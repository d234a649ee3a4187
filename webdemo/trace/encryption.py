"""The TLS handshake, and whether the certificate is trusted.

The rule: trust is always decided as a browser does, by the machine's own store (or SSL_CERT_FILE). An
untrusted certificate is shown with the reason; the trace continues only if the caller says so. `ssl` decodes
only certificates that it trusts, so an untrusted one is fetched again by a context that trusts just this one.
"""

from __future__ import annotations

import hashlib
import ipaddress
import socket
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from webdemo.trace.clock import Clock
from webdemo.trace.facts import CertificateFacts, TlsFacts

Reconnect = Callable[[Clock], socket.socket]
ALPN = ["http/1.1"]

# X509_V_FLAG_NO_CHECK_TIME in OpenSSL's x509_vfy.h; `ssl` has no name for it. Without it we could not
# show the dates of an expired certificate.
_NO_CHECK_TIME = 0x200000


def shake_hands(
    sock: socket.socket, host: str, reconnect: Reconnect, clock: Clock
) -> tuple[ssl.SSLSocket, TlsFacts]:
    """Do the TLS handshake on the connection, which is closed if it fails. Raises OSError and ssl.SSLError.

    If the certificate is not trusted, the returned socket is a new one, made by `reconnect`.
    """
    context = ssl.create_default_context()
    context.set_alpn_protocols(ALPN)
    try:
        secured = _wrap(sock, context, host, clock)
    except ssl.SSLCertVerificationError as exc:
        return _look_again(exc.verify_message, host, reconnect, clock)
    return secured, _facts(secured, secured.getpeercert(), "")


def unverified_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(ALPN)
    return context


def _look_again(why: str, host: str, reconnect: Reconnect, clock: Clock) -> tuple[ssl.SSLSocket, TlsFacts]:
    with _wrap(reconnect(clock), unverified_context(), host, clock) as glance:
        der = glance.getpeercert(binary_form=True) or b""
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname = False
    trusting.set_alpn_protocols(ALPN)
    trusting.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | _NO_CHECK_TIME
    try:
        trusting.load_verify_locations(cadata=der)
        secured = _wrap(reconnect(clock), trusting, host, clock)
    except (ssl.SSLCertVerificationError, ValueError):  # not a server certificate, or not readable
        secured = _wrap(reconnect(clock), unverified_context(), host, clock)
    return secured, _facts(secured, secured.getpeercert(), why)


def _wrap(sock: socket.socket, context: ssl.SSLContext, host: str, clock: Clock) -> ssl.SSLSocket:
    try:
        sock.settimeout(clock.remaining())
        return context.wrap_socket(sock, server_hostname=host)
    except BaseException:
        sock.close()
        raise


def _facts(secured: ssl.SSLSocket, decoded: dict[str, Any] | None, why_not: str) -> TlsFacts:
    cipher = secured.cipher()
    return TlsFacts(
        version=secured.version() or "",
        cipher=cipher[0] if cipher else "",
        alpn=secured.selected_alpn_protocol(),
        certificate=_certificate(decoded or {}, secured.getpeercert(binary_form=True) or b""),
        is_trusted=not why_not,
        why_not_trusted=why_not,
    )


def _certificate(decoded: dict[str, Any], der: bytes) -> CertificateFacts:
    return CertificateFacts(
        subject=_name(decoded.get("subject", ())),
        issuer=_name(decoded.get("issuer", ())),
        names=tuple(
            str(ipaddress.ip_address(value.strip())) if kind == "IP Address" else str(value)
            for kind, value in decoded.get("subjectAltName", ())
        ),
        valid_from=_date(decoded.get("notBefore")),
        valid_until=_date(decoded.get("notAfter")),
        fingerprint=hashlib.sha256(der).digest().hex(":").upper(),
    )


def _name(parts: tuple[tuple[tuple[str, str], ...], ...]) -> str:
    """The common name of a distinguished name, or all its values if it has none."""
    pairs = [pair for part in parts for pair in part]
    common = [value for key, value in pairs if key == "commonName"]
    return ", ".join(common or [value for _, value in pairs])


def _date(text: str | None) -> str:
    if text is None:
        return ""
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(text), UTC).isoformat()
