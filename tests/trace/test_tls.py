"""What a trace shows about TLS: version, certificate, and whether it is trusted or why not."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from tests.client.peers import OK, Made, make_certificate, speaking
from webdemo.client.tls import TlsFacts
from webdemo.trace import Failure, Trace, trace


def tls_of(found: Trace) -> TlsFacts:
    step = found.hops[-1].find("tls")
    assert step is not None
    assert isinstance(step.facts, TlsFacts)
    return step.facts


def distrust(made: Made, url_host: str = "127.0.0.1") -> tuple[TlsFacts, Failure]:
    """The facts and the failure for a server with this certificate, which must not be trusted."""
    with speaking(OK, context=made.context()) as peer:
        found = trace(f"https://{url_host}:{peer.port}/")
    assert [step.name for step in found.hops[0].steps][-1] == "tls"
    assert found.failure is not None
    assert (found.failure.kind, found.exit_code) == ("not trusted", 1)
    facts = tls_of(found)
    assert not facts.is_trusted
    assert facts.certificate.fingerprint == made.fingerprint
    return facts, found.failure


def test_trusted_certificate_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make_certificate(tmp_path, "localhost", "127.0.0.1", subject="my server")
    monkeypatch.setenv("SSL_CERT_FILE", str(made.chain))
    with speaking(OK, context=made.context()) as peer:
        found = trace(f"https://127.0.0.1:{peer.port}/")
        assert peer.connections == 1
    assert found.exit_code == 0
    names = [step.name for step in found.hops[0].steps]
    assert names == ["url", "name", "connect", "tls", "request", "first byte", "transfer"]
    facts = tls_of(found)
    assert facts.is_trusted
    assert facts.why_not_trusted == ""
    assert facts.version == "TLSv1.3"
    assert facts.cipher.startswith("TLS_")
    assert facts.alpn == "http/1.1"
    certificate = facts.certificate
    assert (certificate.subject, certificate.issuer) == ("my server", "my server")
    assert certificate.is_self_signed
    assert certificate.names == ("localhost", "127.0.0.1")
    assert certificate.valid_from == made.certificate.not_valid_before_utc.isoformat()
    assert certificate.valid_until == made.certificate.not_valid_after_utc.isoformat()
    assert certificate.fingerprint == made.fingerprint


def test_self_signed_certificate_ends_the_trace_with_its_reason(tmp_path: Path) -> None:
    facts, failure = distrust(make_certificate(tmp_path, "127.0.0.1", subject="me"))
    assert facts.why_not_trusted == "self-signed certificate"
    assert facts.certificate.subject == "me"
    assert facts.certificate.names == ("127.0.0.1",)
    assert failure.problem.startswith("The certificate is not trusted: it is self-signed")
    assert "--insecure" in failure.remedy


def test_certificate_that_webdemo_made_is_recognised(tmp_path: Path) -> None:
    made = make_certificate(tmp_path, "127.0.0.1", subject="webdemo, self-signed")
    _, failure = distrust(made)
    assert failure.problem == "The certificate is not trusted: a webdemo signed it itself when it started."
    assert failure.remedy == (
        "Compare its fingerprint with the one that was printed there, then continue with --insecure."
    )


def test_expired_certificate_shows_its_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make_certificate(tmp_path, "127.0.0.1", begins_days=-20, ends_days=-10)
    monkeypatch.setenv("SSL_CERT_FILE", str(made.chain))
    facts, failure = distrust(made)
    assert facts.why_not_trusted == "certificate has expired"
    assert f"expired on {made.certificate.not_valid_after_utc:%Y-%m-%d}." in failure.problem


def test_self_signed_and_expired_is_shown_as_well(tmp_path: Path) -> None:
    facts, _ = distrust(make_certificate(tmp_path, "127.0.0.1", begins_days=-20, ends_days=-10))
    assert facts.certificate.valid_until


def test_certificate_of_another_host_names_those_it_is_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make_certificate(tmp_path, "other.example", "10.0.0.1")
    monkeypatch.setenv("SSL_CERT_FILE", str(made.chain))
    _, failure = distrust(made)
    assert failure.problem == "The certificate is not for 127.0.0.1: it names other.example, 10.0.0.1."
    _, failure = distrust(made, "localhost")
    assert failure.problem == "The certificate is not for localhost: it names other.example, 10.0.0.1."


def test_certificate_of_an_unknown_issuer_is_reported(tmp_path: Path) -> None:
    facts, failure = distrust(make_certificate(tmp_path, "127.0.0.1", issuer="nobody's authority"))
    assert facts.certificate.issuer == "nobody's authority"
    assert not facts.certificate.is_self_signed
    assert failure.problem == "The certificate is not trusted: unable to get local issuer certificate."


def test_insecure_shows_the_reason_and_continues(tmp_path: Path) -> None:
    made = make_certificate(tmp_path, "127.0.0.1")
    with speaking(OK, context=made.context()) as peer:
        found = trace(f"https://127.0.0.1:{peer.port}/", verify=False)
    assert found.exit_code == 0
    facts = tls_of(found)
    assert not facts.is_trusted
    assert facts.why_not_trusted == "self-signed certificate"
    assert facts.certificate.fingerprint == made.fingerprint
    assert found.hops[0].response is not None
    assert found.hops[0].response.status == 200


def test_server_that_accepts_only_an_older_tls_is_traced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make_certificate(tmp_path, "127.0.0.1")
    monkeypatch.setenv("SSL_CERT_FILE", str(made.chain))
    context = made.context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with speaking(OK, context=context) as peer:
        assert tls_of(trace(f"https://127.0.0.1:{peer.port}/")).version == "TLSv1.2"


def test_server_that_requires_a_client_certificate_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make_certificate(tmp_path, "127.0.0.1")
    monkeypatch.setenv("SSL_CERT_FILE", str(made.chain))
    context = made.context()
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(made.chain)
    with speaking(OK, context=context) as peer:
        found = trace(f"https://127.0.0.1:{peer.port}/")
    assert found.failure is not None
    assert found.failure.kind == "tls failed"
    assert found.failure.problem == "The server aborted TLS: tlsv13 alert certificate required."
