"""Certificates with one fault each, made for these tests; and the self-signed one made at start."""

from __future__ import annotations

import shutil
import socket
import ssl
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.net.programs import NOBODY, needs_root, program
from webdemo.errors import (
    UsageError,
)
from webdemo.net.addresses import machine_addresses
from webdemo.servers import Certificate
from webdemo.supervisor.certificates import CertificateFacts, check
from webdemo.supervisor.self_signed import self_signed
from webdemo.worker.pem_file import as_file

NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)
Make = Callable[..., Certificate]


CHECK_AS_NOBODY = f"""
import os, pathlib, sys
from webdemo.errors import WebdemoError
from webdemo.supervisor.certificates import check
from webdemo.servers import Certificate
os.setresuid({NOBODY}, {NOBODY}, {NOBODY})
try:
    check(Certificate(*map(pathlib.Path, sys.argv[1:])))
except WebdemoError as error:
    print(type(error).__name__, error.problem)
"""


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Makes a certificate for www.example.com and *.example.org, with one thing changed."""

    def make(
        *,
        begins: datetime = NOW - DAY,
        expires: datetime = NOW + DAY,
        usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.SERVER_AUTH,
        encryption: serialization.KeySerializationEncryption | None = None,
        key_form: serialization.PrivateFormat = serialization.PrivateFormat.PKCS8,
        encoding: serialization.Encoding = serialization.Encoding.PEM,
    ) -> Certificate:
        key = ec.generate_private_key(ec.SECP256R1())
        authority = ec.generate_private_key(ec.SECP256R1())
        names = [x509.DNSName("www.example.com"), x509.DNSName("*.example.org")]
        made = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "server")]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins)
            .not_valid_after(expires)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .sign(authority, hashes.SHA256())
        )
        chain, key_file = tmp_path / "site.pem", tmp_path / "site.key"
        chain.write_bytes(made.public_bytes(encoding))
        key_file.write_bytes(
            key.private_bytes(encoding, key_form, encryption or serialization.NoEncryption())
        )
        return Certificate(chain, key_file)

    return make


@pytest.mark.process
def test_a_good_certificate_tells_its_fingerprint(make: Make) -> None:
    certificate = make()
    facts = check(certificate)
    shown = subprocess.run(
        ["openssl", "x509", "-in", certificate.chain, "-noout", "-fingerprint", "-sha256"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    assert shown.strip().partition("=")[2] == facts.fingerprint


def test_hosts_that_the_certificate_does_not_cover_are_told_and_not_refused(make: Make) -> None:
    hosts = ["www.example.com", "a.example.org", "a.b.example.org", "127.0.0.1", "::1", "other.net", "*"]
    assert check(make(), hosts).not_named == ("a.b.example.org", "127.0.0.1", "::1", "other.net")


def test_a_certificate_that_is_not_there_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "none.pem"
    with pytest.raises(UsageError) as caught:
        check(Certificate(missing, missing))
    assert str(caught.value) == (
        f"There is no certificate {missing}.\n"
        "Check the path; without certificate= and key= one is made at start, self-signed."
    )
    assert caught.value.exit_code == 2


def test_a_key_that_is_not_there_is_named(make: Make) -> None:
    certificate = make()
    certificate.key.unlink()
    with pytest.raises(UsageError, match=f"^There is no key {certificate.key}\\."):
        check(certificate)


def test_a_folder_is_no_certificate(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        check(Certificate(tmp_path, tmp_path))
    assert str(caught.value) == (
        f"The certificate {tmp_path} cannot be read: Is a directory.\n"
        "Let the user that runs webdemo read it, or give another file."
    )


@pytest.mark.process
@needs_root
def test_a_key_that_may_not_be_read_is_named(make: Make) -> None:
    certificate = make()
    certificate.key.chmod(0o600)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        key = Path(shutil.move(certificate.key, folder))
        chain = Path(shutil.move(certificate.chain, folder))
        with program(CHECK_AS_NOBODY, str(chain), str(key)) as (_, line):
            assert line == f"UsageError The key {key} cannot be read: Permission denied."


def test_a_file_that_is_not_pem_is_named(make: Make) -> None:
    certificate = make()
    certificate.chain.write_text("hello\n")
    with pytest.raises(UsageError) as caught:
        check(certificate)
    assert str(caught.value) == (
        f"The certificate {certificate.chain} is no PEM file.\n"
        "A PEM file has a line -----BEGIN CERTIFICATE-----."
    )
    certificate = make()
    certificate.key.write_bytes(b"")
    with pytest.raises(UsageError, match=f"^The key {certificate.key} is no PEM file\\."):
        check(certificate)


def test_der_files_are_told_how_to_convert(make: Make) -> None:
    certificate = make(encoding=serialization.Encoding.DER)
    with pytest.raises(UsageError) as caught:
        check(certificate)
    assert str(caught.value) == (
        f"The certificate {certificate.chain} is in DER form, not PEM.\n"
        f"Convert it: openssl x509 -inform der -in {certificate.chain} -out FILE.pem"
    )


def test_certificate_and_key_given_the_wrong_way_round_are_told_so(make: Make) -> None:
    good = make()
    with pytest.raises(UsageError, match="holds a private key, not a certificate"):
        check(Certificate(good.key, good.chain))
    with pytest.raises(UsageError, match="holds a certificate, not a private key"):
        check(Certificate(good.chain, good.chain))


def test_a_pem_file_with_nonsense_in_it_is_named(make: Make) -> None:
    certificate = make()
    certificate.chain.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    with pytest.raises(UsageError, match=f"^The certificate {certificate.chain} with the key"):
        check(certificate)


def test_a_certificate_for_clients_is_not_served(make: Make) -> None:
    with pytest.raises(UsageError, match="cannot be used: unsuitable certificate purpose\\."):
        check(make(usage=ExtendedKeyUsageOID.CLIENT_AUTH))


def test_a_key_of_another_certificate_is_named(make: Make) -> None:
    first = make()
    other = first.key.read_bytes()
    second = make()
    second.key.write_bytes(other)
    with pytest.raises(UsageError) as caught:
        check(second)
    assert caught.value.problem == f"The key {second.key} does not belong to the certificate {second.chain}."


@pytest.mark.parametrize("form", ["PKCS8", "TraditionalOpenSSL"])
def test_an_encrypted_key_is_named_and_its_password_is_not_asked_for(make: Make, form: str) -> None:
    certificate = make(
        encryption=serialization.BestAvailableEncryption(b"secret"),
        key_form=getattr(serialization.PrivateFormat, form),
    )
    with pytest.raises(UsageError) as caught:
        check(certificate)
    assert str(caught.value) == (
        f"The key {certificate.key} is encrypted, and a server cannot be asked for its password.\n"
        f"Store it decrypted, readable to its owner only: openssl pkey -in {certificate.key} -out FILE"
    )


def test_an_expired_certificate_is_refused_with_its_last_day(make: Make) -> None:
    certificate = make(begins=NOW - 3 * DAY, expires=NOW - DAY)
    with pytest.raises(UsageError) as caught:
        check(certificate)
    assert str(caught.value) == (
        f"The certificate {certificate.chain} expired on {NOW - DAY:%Y-%m-%d at %H:%M} UTC.\n"
        "Renew it; browsers refuse an expired one."
    )


def test_a_certificate_of_tomorrow_is_refused_and_the_clock_is_shown(make: Make) -> None:
    certificate = make(begins=NOW + DAY, expires=NOW + 2 * DAY)
    with pytest.raises(UsageError) as caught:
        check(certificate)
    assert caught.value.problem == (
        f"The certificate {certificate.chain} is not valid before {NOW + DAY:%Y-%m-%d at %H:%M} UTC."
    )
    assert caught.value.remedy.startswith("Check this machine's clock (")


def test_the_self_signed_certificate_is_fit_to_serve_and_names_loopback_and_the_hosts() -> None:
    made = self_signed(["box.example", "192.0.2.7", "localhost", "bücher.example"])
    with as_file(made.certificate) as certificate:
        assert made.names == (
            "localhost", "127.0.0.1", "::1", "box.example", "192.0.2.7", "xn--bcher-kva.example",
        )  # fmt: skip
        assert check(certificate, made.names) == CertificateFacts(made.fingerprint, not_named=())
    expires = x509.load_pem_x509_certificate(made.certificate.pem.encode()).not_valid_after_utc
    assert timedelta(days=2) < expires - datetime.now(UTC) < timedelta(days=90)


def test_a_wildcard_host_stands_for_the_machines_addresses() -> None:
    made = self_signed(["*"])
    assert made.names == ("localhost", "127.0.0.1", "::1", *machine_addresses())


def test_a_made_certificate_is_a_file_that_lies_nowhere_and_its_key_is_not_shown() -> None:
    made = self_signed()
    with as_file(made.certificate) as certificate:
        for _ in range(2):  # some servers read it more than once
            assert certificate.chain.read_text() == certificate.key.read_text() == made.certificate.pem
        assert "memfd:" in str(certificate.key.readlink()) or sys.platform != "linux"
    assert not certificate.key.exists()
    assert "PRIVATE" not in repr(made)


def test_without_a_file_in_memory_only_the_owner_can_read_it_and_it_goes_in_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("webdemo.worker.pem_file._OPEN_FILES", Path("/nowhere"))
    with as_file(self_signed().certificate) as certificate:
        folder = certificate.key.parent
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert not folder.exists()


def test_a_client_that_trusts_the_self_signed_certificate_connects_by_every_name() -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with as_file(self_signed().certificate) as certificate:
        server.load_cert_chain(certificate.chain, certificate.key)
        client = ssl.create_default_context(cafile=str(certificate.chain))
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    for name in ("localhost", "127.0.0.1", "::1"):
        ours, theirs = socket.socketpair()
        ours.settimeout(20)
        theirs.settimeout(20)

        def accept(sock: socket.socket = theirs) -> None:
            with sock, server.wrap_socket(sock, server_side=True) as tls:
                tls.sendall(b"hello")

        thread = threading.Thread(target=accept)
        thread.start()
        with ours, client.wrap_socket(ours, server_hostname=name) as tls:
            assert tls.recv(5) == b"hello"
        thread.join()


@pytest.mark.process
def test_without_cryptography_the_extra_that_installs_it_is_named_and_given_ones_still_work(
    make: Make,
) -> None:
    certificate = make()
    code = f"""
import pathlib, sys
sys.modules["cryptography"] = None
from webdemo.errors import WebdemoError
from webdemo.supervisor.certificates import check
from webdemo.supervisor.self_signed import self_signed
from webdemo.servers import Certificate
chain, key = pathlib.Path({str(certificate.chain)!r}), pathlib.Path({str(certificate.key)!r})
print(check(Certificate(chain, key)).not_named)
try:
    self_signed()
except WebdemoError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines() == [
        "()",
        "To make a certificate, webdemo needs cryptography, which is not installed.",
        "Install it: pip install 'webdemo[tls]'",
    ]
