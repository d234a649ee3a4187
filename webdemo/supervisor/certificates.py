"""Validates TLS certificates before any server starts, and makes self-signed ones. Runs in the main process.

The rule: whatever would make every client reject the certificate is an error before a server starts. A
missing host name is only reported, because the machine may be reached by other names as well. The
certificate is verified as a client would do it: with a TLS handshake in memory.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from webdemo.errors import UsageError
from webdemo.servers import Certificate, MadeCertificate
from webdemo.supervisor.plan import Plan, Service
from webdemo.supervisor.self_signed import WILDCARDS, fingerprint, self_signed

# X509_V_FLAG_NO_CHECK_TIME in OpenSSL's x509_vfy.h; `ssl` has no name for it. Without it the handshake
# fails on an expired certificate, and we could not say when it expired. `check` compares the dates itself.
_NO_CHECK_TIME = 0x200000
_NAME_MISMATCHES = (62, 64)  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH


class CertificateFacts(NamedTuple):
    """What the user is told of a certificate that has passed `check`."""

    fingerprint: str  # SHA-256 as browsers print it: AB:CD:...
    not_named: tuple[str, ...]  # requested hosts that it does not cover: clients will warn


def check(certificate: Certificate, hosts: Iterable[str] = ()) -> CertificateFacts:
    """Return the certificate's facts, and which of `hosts` (names or addresses) it does not cover.

    Raises a subclass of UsageError if it cannot be served or no client would accept it today.
    """
    _check_file(certificate.chain, _CHAIN, _KEY)
    _check_file(certificate.key, _KEY, _CHAIN)
    server = _server_context(certificate)
    try:
        facts, der = _handshake(server, certificate.chain, None)
    except ssl.SSLError as exc:
        raise _malformed(certificate, exc) from exc
    begins, expires = _date(facts["notBefore"]), _date(facts["notAfter"])
    now = datetime.now(UTC)
    if now > expires:
        raise UsageError(
            f"The certificate {certificate.chain} expired on {expires:%Y-%m-%d at %H:%M} UTC.",
            remedy="Renew it; browsers refuse an expired one.",
        )
    if now < begins:
        raise UsageError(
            f"The certificate {certificate.chain} is not valid before {begins:%Y-%m-%d at %H:%M} UTC.",
            remedy=f"Check this machine's clock ({now:%Y-%m-%d %H:%M} UTC), or use another certificate.",
        )
    not_named = tuple(
        host
        for host in dict.fromkeys(hosts)
        if host not in WILDCARDS and not _covers(server, certificate.chain, host)
    )
    return CertificateFacts(fingerprint(der), not_named)


# -- checks of the files --------------------------------------------------------------------------


class _Kind(NamedTuple):
    """What one of the two files must hold."""

    option: str
    holds: str
    marker: str  # in the first line of its PEM form
    command: str  # of openssl


_CHAIN = _Kind("certificate", "a certificate", "CERTIFICATE", "x509")
_KEY = _Kind("key", "a private key", "PRIVATE KEY", "pkey")


def _check_file(path: Path, kind: _Kind, other: _Kind) -> None:
    what = kind.option
    content = _read(path, what)
    is_encrypted = b"-----BEGIN ENCRYPTED PRIVATE KEY-----" in content or b"Proc-Type: 4,ENCRYPTED" in content
    if kind is _KEY and is_encrypted:
        raise UsageError(
            f"The key {path} is encrypted, and a server cannot be asked for its password.",
            remedy=f"Store it decrypted, readable to its owner only: openssl pkey -in {path} -out FILE",
        )
    if f"{kind.marker}-----".encode() in content:
        return
    if f"{other.marker}-----".encode() in content:
        raise UsageError(
            f"{path} holds {other.holds}, not {kind.holds}.",
            remedy="Give the certificate as certificate=FILE, its key as key=FILE.",
        )
    if content.startswith(b"\x30\x82"):
        raise UsageError(
            f"The {what} {path} is in DER form, not PEM.",
            remedy=f"Convert it: openssl {kind.command} -inform der -in {path} -out FILE.pem",
        )
    raise UsageError(
        f"The {what} {path} is no PEM file.", remedy=f"A PEM file has a line -----BEGIN {kind.marker}-----."
    )


def _read(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise UsageError(
            f"There is no {what} {path}.",
            remedy="Check the path; without certificate= and key= one is made at start, self-signed.",
        ) from exc
    except OSError as exc:
        raise UsageError(
            f"The {what} {path} cannot be read: {exc.strerror}.",
            remedy="Let the user that runs webdemo read it, or give another file.",
        ) from exc


def _malformed(certificate: Certificate, exc: ssl.SSLError) -> UsageError:
    reason = getattr(exc, "verify_message", "") or (exc.reason or "not understood").replace("_", " ").lower()
    return UsageError(
        f"The certificate {certificate.chain} with the key {certificate.key} cannot be used: {reason}.",
        remedy=f"Look at it: openssl x509 -in {certificate.chain} -noout -text",
    )


# -- the client's view ----------------------------------------------------------------------------


def _server_context(certificate: Certificate) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate.chain, certificate.key, password=_no_password)
    except ssl.SSLError as exc:
        if exc.reason == "KEY_VALUES_MISMATCH" or exc.reason == "KEY_TYPE_MISMATCH":
            raise UsageError(
                f"The key {certificate.key} does not belong to the certificate {certificate.chain}.",
                remedy="Give the key it was made for; in a chain the server's own certificate comes first.",
            ) from exc
        raise _malformed(certificate, exc) from exc
    return context


def _no_password() -> str:
    return ""  # without this OpenSSL would ask the terminal


def _handshake(server: ssl.SSLContext, chain: Path, host: str | None) -> tuple[dict[str, Any], bytes]:
    """Return the certificate, decoded and as DER, as received by a client that trusts exactly this one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = host is not None
    context.load_verify_locations(chain)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | _NO_CHECK_TIME
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(to_client, to_server, server_hostname=host)
    serving = server.wrap_bio(to_server, to_client, server_side=True)
    waiting: list[Callable[[], None]] = [client.do_handshake, serving.do_handshake]
    while waiting:
        step = waiting.pop(0)
        try:
            step()
        except ssl.SSLWantReadError:
            waiting.append(step)
    decoded, der = client.getpeercert(), client.getpeercert(binary_form=True)
    assert decoded is not None
    assert der is not None
    return decoded, der


def _covers(server: ssl.SSLContext, chain: Path, host: str) -> bool:
    try:
        _handshake(server, chain, host)
    except ssl.SSLCertVerificationError as exc:
        if exc.verify_code not in _NAME_MISMATCHES:
            raise
        return False
    except ValueError:  # not a name that a client could ask for
        return False
    return True


def _date(text: str) -> datetime:
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(text), UTC)


def with_certificates(plan: Plan, before: Iterable[Service] = ()) -> tuple[Plan, list[str]]:
    """Return the plan with a valid certificate for each TLS service, and notes to print about them.

    One self-signed certificate is made per run for all services that have none of their own; if a service
    of `before` has it already, they get that one. Raises UsageError.
    """
    notes = []
    for service in plan.services:
        if isinstance(service.certificate, Certificate):
            facts = check(service.certificate, _hosts([service]))
            notes.append(f"TLS: {service.certificate.chain}, SHA-256 {facts.fingerprint}")
            if facts.not_named:
                notes.append(f"It does not name {', '.join(facts.not_named)}: clients will warn there.")
    bare = [service for service in plan.services if service.tls and service.certificate is None]
    made = next((s.certificate for s in before if isinstance(s.certificate, MadeCertificate)), None)
    if bare and made is None:
        signed = self_signed(_hosts(bare))
        made = signed.certificate
        names = ", ".join(signed.names)
        notes.append(f"TLS: a self-signed certificate for {names}, SHA-256 {signed.fingerprint}")
    services = (s._replace(certificate=made) if s in bare else s for s in plan.services)
    return plan._replace(services=tuple(services)), notes


def _hosts(services: Iterable[Service]) -> list[str]:
    return [bind.host or "localhost" for service in services for bind in service.binds]
