"""Explains why a server that was reached did not answer as the URL asks, and what to do about it.

The rule: every failure becomes one problem and one remedy. Only now is it checked which protocol the other
end really speaks.
"""

from __future__ import annotations

import ssl

from webdemo.client.connection import Deadline, NoResponse
from webdemo.client.tls import Reconnect, TlsFacts
from webdemo.errors import TraceFailed
from webdemo.net.bindtext import authority, shown
from webdemo.net.holders import tcp_listeners
from webdemo.trace.answering import is_this_machine
from webdemo.trace.recognition import recognise, speaks_plainly, speaks_tls
from webdemo.trace.url import HTTP, Url

_SELF_SIGNED = "webdemo, self-signed"  # the common name of certificates that webdemo makes at start
_LANGUAGES = {"https": "TLS", "smtp": "SMTP", "ftp": "FTP"}  # of URL schemes; all others speak HTTP
_SERVERS = {"smtp": "a mail server (SMTP)", "ftp": "an FTP server", "ssh": "an SSH server"}


def explain(url: Url, cause: OSError, reconnect: Reconnect, deadline: Deadline) -> TraceFailed:
    """The connection was made, but the request, the response or the greeting failed.

    To explain a silence takes a few seconds more than the deadline.
    """
    if isinstance(cause, TimeoutError):
        return _explain_silence(url, reconnect, deadline)
    if isinstance(cause, ssl.SSLError) and "ALERT" in (cause.reason or ""):
        return _explain_alert(cause)
    first = cause.first if isinstance(cause, NoResponse) else b""
    spoken = recognise(first)
    if not first and url.facts.scheme != "https" and speaks_tls(reconnect, deadline):
        spoken = "tls"
    if spoken and spoken != url.facts.scheme:
        return _explain_plain(url, spoken)
    if not first:
        return TraceFailed(
            f"{_server(url)} accepted the connection and closed it without a response.",
            remedy="See the server's log: its process may have died over the request, or refuse this client.",
            kind="closed",
        )
    return TraceFailed(
        f"{_server(url)} does not speak {_language(url)}: it sent {_quoted(first)}",
        remedy=f"Another service holds this port{_holder(url)}; check the port.",
        kind="not understood",
    )


def explain_tls(url: Url, cause: OSError, reconnect: Reconnect, deadline: Deadline) -> TraceFailed:
    """The TLS handshake failed."""
    reason = cause.reason or "" if isinstance(cause, ssl.SSLError) else ""
    spoken = speaks_plainly(reconnect, deadline)
    if spoken not in ("", "tls"):
        return _explain_plain(url, spoken)
    if isinstance(cause, TimeoutError):
        return TraceFailed(
            f"Port {url.facts.port} accepted the connection, but did not answer the TLS handshake.",
            remedy=f"It may not speak TLS: try {url.with_scheme('http')}",
            kind="timed out",
        )
    if isinstance(cause, ssl.SSLError) and "ALERT" in reason:
        return _explain_alert(cause)
    return TraceFailed(
        f"The TLS handshake failed: {_words(reason) or 'the connection was closed'}.",
        remedy=f"Does the port speak TLS? Without it the URL would be {url.with_scheme('http')}",
        kind="tls failed",
    )


def explain_distrust(url: Url, facts: TlsFacts) -> TraceFailed:
    """The certificate is not trusted."""
    certificate = facts.certificate
    problem = f"The certificate is not trusted: {facts.why_not_trusted}."
    remedy = "Trust its issuer (SSL_CERT_FILE=FILE), or continue with --insecure."
    if "expired" in facts.why_not_trusted:
        problem = f"The certificate is not trusted: it expired on {certificate.valid_until[:10]}."
        remedy = "Its owner has to renew it (or this machine's clock is wrong); or continue with --insecure."
    elif "mismatch" in facts.why_not_trusted:
        names = ", ".join(certificate.names[:8]) or "no name at all"
        problem = f"The certificate is not for {url.facts.host}: it names {names}."
        remedy = "Use one of its names, or continue with --insecure."
    elif certificate.subject == _SELF_SIGNED:
        problem = "The certificate is not trusted: a webdemo signed it itself when it started."
        remedy = "Compare its fingerprint with the one that was printed there, then continue with --insecure."
    elif certificate.is_self_signed:
        problem = "The certificate is not trusted: it is self-signed."
        remedy = "If the fingerprint is right, continue with --insecure, or trust it: SSL_CERT_FILE=FILE."
    return TraceFailed(problem, remedy=remedy, kind="not trusted")


def explain_tls_port(url: Url) -> TraceFailed:
    """A plain-text protocol was tried on a port that speaks TLS."""
    is_web = url.facts.scheme == "http"
    return TraceFailed(
        f"Port {url.facts.port} speaks TLS, not {'plain ' if is_web else ''}{_language(url)}.",
        remedy=f"Use https: {url.with_scheme('https')}"
        if is_web
        else "Use the port without TLS; for the web the URL begins with https://",
        kind="speaks tls",
    )


def _explain_silence(url: Url, reconnect: Reconnect, deadline: Deadline) -> TraceFailed:
    extra = Deadline(deadline.seconds)
    if url.facts.scheme == "http" and speaks_tls(reconnect, extra):
        return explain_tls_port(url)
    if url.facts.scheme not in HTTP and (spoken := speaks_plainly(reconnect, extra)):
        return _explain_plain(url, spoken)
    return TraceFailed(
        f"{_server(url)} accepted the connection, but did not answer within {deadline.seconds:g} s.",
        remedy=f"Its server is busy or stuck, or does not speak {_language(url)}; --max-time allows more.",
        kind="timed out",
    )


def _explain_alert(cause: ssl.SSLError) -> TraceFailed:
    return TraceFailed(
        f"The server aborted TLS: {_words(cause.reason or '')}.",
        remedy="It may want another TLS version, another name or a client certificate.",
        kind="tls failed",
    )


def _explain_plain(url: Url, spoken: str) -> TraceFailed:
    if spoken == "tls":
        return explain_tls_port(url)
    if spoken == "http":
        problem = f"Port {url.facts.port} speaks plain HTTP, not {_language(url)}."
        remedy = f"Use http: {url.with_scheme('http')}"
    else:
        problem = f"{_server(url)} is {_SERVERS[spoken]}, and does not speak {_language(url)}."
        remedy = "Use ssh, or check the port." if spoken == "ssh" else f"Use {spoken}://{_server(url)}"
    return TraceFailed(problem, remedy=remedy, kind=f"speaks {spoken}")


def _language(url: Url) -> str:
    return _LANGUAGES.get(url.facts.scheme, "HTTP")


def _server(url: Url) -> str:
    return url.facts.socket_path or authority(url.facts.host, url.facts.port)


def _holder(url: Url) -> str:
    """In parentheses, what holds the port on this machine; "" if it is another machine's or hidden."""
    try:
        is_here = is_this_machine(url.facts.host)
    except ValueError:  # a name
        is_here = url.facts.host == "localhost"
    holders = tcp_listeners(url.facts.port) if is_here and url.facts.port is not None else []
    return f" ({holders[0].describe()})" if holders else ""


def _words(reason: str) -> str:
    return reason.replace("_", " ").lower()


def _quoted(data: bytes) -> str:
    """The first line of the data, truncated and safe to print."""
    line = data.decode("utf-8", "replace").splitlines()[0][:80] if data.strip() else ""
    return f"“{shown(line)}”"
