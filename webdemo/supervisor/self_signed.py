"""Makes a self-signed TLS certificate for one run. Runs in the main process.

Certificate and key exist only in the memory of the run's processes: see webdemo.worker.pem_file.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from webdemo.errors import UsageError
from webdemo.net.addresses import machine_addresses
from webdemo.servers import MadeCertificate
from webdemo.syntax import is_address

ALWAYS_NAMED = ("localhost", "127.0.0.1", "::1")
WILDCARDS = ("*", "0.0.0.0", "::")
_VALID_FOR = timedelta(days=30)
_CLOCKS_DIFFER_BY = timedelta(hours=1)


class SelfSigned(NamedTuple):
    """A certificate made for one run."""

    certificate: MadeCertificate
    names: tuple[str, ...]
    fingerprint: str


def self_signed(hosts: Iterable[str] = ()) -> SelfSigned:
    """Make a certificate for `hosts` and the loopback names and addresses.

    A wildcard host stands for every address of this machine. Raises UsageError without the package
    `cryptography`.
    """
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
    except ImportError as exc:
        raise UsageError(
            "To make a certificate, webdemo needs cryptography, which is not installed.",
            remedy="Install it: pip install 'webdemo[tls]'",
        ) from exc

    names = _names_for(hosts)
    subject_names = [
        x509.IPAddress(ipaddress.ip_address(name)) if is_address(name) else x509.DNSName(name)
        for name in names
    ]
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "webdemo, self-signed")])
    now = datetime.now(UTC).replace(microsecond=0)
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.SubjectAlternativeName(subject_names), False),
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
    ]
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCKS_DIFFER_BY)
        .not_valid_after(now + _VALID_FOR)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    made = builder.sign(key, hashes.SHA256())

    pem = made.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    der = made.public_bytes(serialization.Encoding.DER)
    return SelfSigned(MadeCertificate(pem.decode()), names, fingerprint(der))


def _names_for(hosts: Iterable[str]) -> tuple[str, ...]:
    names = list(ALWAYS_NAMED)
    for host in hosts:
        if host in WILDCARDS:
            names += machine_addresses()
        else:
            names.append(host if is_address(host) else host.encode("idna").decode())
    return tuple(dict.fromkeys(names))


def fingerprint(der: bytes) -> str:
    """The SHA-256 fingerprint of a certificate, formatted as in browsers: AB:CD:..."""
    return hashlib.sha256(der).digest().hex(":").upper()
