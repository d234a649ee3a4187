"""The TLS handshake, what was negotiated, and whether the certificate is trusted.

The rule: trust is always decided as a browser does, by the machine's own store (or SSL_CERT_FILE). An
untrusted certificate is described with the reason; whether to go on is the caller's decision. `ssl` decodes
only certificates that it trusts, so an untrusted one is fetched again by a context that trusts just this one.
"""

from __future__ import annotations

import hashlib
import ipaddress
import socket
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from webdemo.client.connection import Deadline

Reconnect = Callable[[Deadline], socket.socket]
"""Opens a new connection to the same address; raises OSError."""

# X509_V_FLAG_NO_CHECK_TIME in OpenSSL's x509_vfy.h; `ssl` has no name for it. Without it we could not
# show the dates of an expired certificate.
_NO_CHECK_TIME = 0x200000


class CertificateFacts(NamedTuple):
    """Fields are empty if the certificate cannot be decoded; the fingerprint is always present."""

    subject: str
    issuer: str
    names: tuple[str, ...]
    valid_from: str  # ISO 8601, UTC
    valid_until: str
    fingerprint: str  # SHA-256, formatted as in browsers: AB:CD:...

    @property
    def is_self_signed(self) -> bool:
        return bool(self.subject) and self.subject == self.issuer


class TlsFacts(NamedTuple):
    version: str
    cipher: str
    alpn: str | None  # the negotiated protocol; http/1.1 is offered
    certificate: CertificateFacts
    is_trusted: bool
    why_not_trusted: str  # OpenSSL's error text; "" if it is trusted


def unverified_context() -> ssl.SSLContext:
    """A context that accepts any certificate: to inspect one, and to connect to webdemo's own ports."""
    context = _context()
    context.verify_mode = ssl.CERT_NONE
    return context


def handshake(
    sock: socket.socket, host: str, reconnect: Reconnect, deadline: Deadline
) -> tuple[ssl.SSLSocket, TlsFacts]:
    """Do the TLS handshake on the connection, which is closed if it fails. Raises OSError and ssl.SSLError.

    If the certificate is not trusted, the returned socket is a new one, made by `reconnect`.
    """
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    try:
        secured = _wrap(sock, context, host, deadline)
    except ssl.SSLCertVerificationError as exc:
        return _inspect_untrusted(exc.verify_message, host, reconnect, deadline)
    return secured, _facts(secured, "")


def _inspect_untrusted(
    why: str, host: str, reconnect: Reconnect, deadline: Deadline
) -> tuple[ssl.SSLSocket, TlsFacts]:
    """Connect again, trusting just this certificate, so that `ssl` decodes it."""
    with _wrap(reconnect(deadline), unverified_context(), host, deadline) as probe:
        der = probe.getpeercert(binary_form=True) or b""
    trusting = _context()
    trusting.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | _NO_CHECK_TIME
    try:
        trusting.load_verify_locations(cadata=der)
        secured = _wrap(reconnect(deadline), trusting, host, deadline)
    except (ssl.SSLCertVerificationError, ValueError):  # not a server certificate, or not readable
        secured = _wrap(reconnect(deadline), unverified_context(), host, deadline)
    return secured, _facts(secured, why)


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.set_alpn_protocols(["http/1.1"])
    return context


def _wrap(sock: socket.socket, context: ssl.SSLContext, host: str, deadline: Deadline) -> ssl.SSLSocket:
    try:
        sock.settimeout(deadline.remaining())
        return context.wrap_socket(sock, server_hostname=host)
    except BaseException:
        sock.close()
        raise


def _facts(secured: ssl.SSLSocket, why_not_trusted: str) -> TlsFacts:
    cipher = secured.cipher()
    return TlsFacts(
        version=secured.version() or "",
        cipher=cipher[0] if cipher else "",
        alpn=secured.selected_alpn_protocol(),
        certificate=_certificate(secured.getpeercert() or {}, secured.getpeercert(binary_form=True) or b""),
        is_trusted=not why_not_trusted,
        why_not_trusted=why_not_trusted,
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
