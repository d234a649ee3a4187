"""Explains why a server that was reached did not answer as the URL asks, and what to do about it.

The rule: every failure becomes one problem and one remedy. Only now is it checked which protocol the other
end really speaks.
"""

from __future__ import annotations

import ssl

from webdemo.client.connection import Deadline, NoResponse
from webdemo.client.tls import Reconnect, TlsFacts
from webdemo.errors import TraceFailed
from webdemo.net.bindtext import shown
from webdemo.net.holders import tcp_listeners
from webdemo.trace.answering import is_this_machine
from webdemo.trace.recognition import recognise, speaks_plainly, speaks_tls
from webdemo.trace.url import HTTP, Url, write_place

_SELF_SIGNED = "webdemo, self-signed"  # the common name of certificates that webdemo makes at start


def explain_tls(url: Url, cause: Exception, dial: Reconnect, deadline: Deadline) -> TraceFailed:
    """The TLS handshake failed with `cause`."""
    spoken = speaks_plainly(dial, deadline)
    if spoken:
        return _explain_plain(url, spoken)
    if isinstance(cause, TimeoutError):
        return TraceFailed(
            f"Port {url.facts.port} took the connection, but did not answer the TLS handshake.",
            remedy=f"It may not speak TLS: try {url.with_scheme('http')}",
            kind="timed out",
        )
    if isinstance(cause, ssl.SSLError) and "ALERT" in (cause.reason or ""):
        return _explain_alert(cause)
    why = _words(cause) if isinstance(cause, ssl.SSLError) and cause.reason else "the connection was closed"
    return TraceFailed(
        f"The TLS handshake failed: {why}.",
        remedy=f"Does the port speak TLS? Without it the URL would be {url.with_scheme('http')}",
        kind="tls failed",
    )


def explain_distrust(url: Url, facts: TlsFacts) -> TraceFailed:
    certificate = facts.certificate
    why = facts.why_not_trusted
    if "expired" in why:
        problem = f"The certificate is not trusted: it expired on {certificate.valid_until[:10]}."
        remedy = (
            "Its owner has to renew it (or this machine's clock is wrong); --insecure goes on all the same."
        )
    elif "mismatch" in why:
        names = ", ".join(certificate.names[:8]) or "no name at all"
        problem = f"The certificate is not for {url.facts.host}: it names {names}."
        remedy = "Use one of its names, or go on with --insecure."
    elif certificate.subject == _SELF_SIGNED:
        problem = "The certificate is not trusted: a webdemo signed it itself, at its start."
        remedy = "Compare its fingerprint with the one that was printed there, then go on with --insecure."
    elif certificate.is_self_signed:
        problem = (
            "The certificate is not trusted: it is signed by itself, not by anyone whom this machine trusts."
        )
        remedy = (
            "If its fingerprint is the right one, go on with --insecure, or trust it: SSL_CERT_FILE=FILE."
        )
    else:
        problem = f"The certificate is not trusted: {why}."
        remedy = "Trust its issuer (SSL_CERT_FILE=FILE), or go on with --insecure."
    return TraceFailed(problem, remedy=remedy, kind="not trusted")


def explain(url: Url, cause: OSError, dial: Reconnect, deadline: Deadline) -> TraceFailed:
    """The connection was made, but the request, the response or the greeting failed.

    To explain a silence takes a few seconds more than the deadline.
    """
    if isinstance(cause, TimeoutError):
        return _explain_silence(url, dial, deadline)
    if isinstance(cause, ssl.SSLError) and "ALERT" in (cause.reason or ""):
        return _explain_alert(cause)
    first = cause.first if isinstance(cause, NoResponse) else b""
    spoken = recognise(first)
    if spoken == "tls" or (not first and url.facts.scheme != "https" and speaks_tls(dial, deadline)):
        return explain_tls_port(url)
    if spoken and spoken != url.facts.scheme:
        return _explain_plain(url, spoken)
    if not first:
        return TraceFailed(
            f"{_authority(url)} took the connection and closed it without an answer.",
            remedy="See the server's log: its process may have died over the request, or refuse this client.",
            kind="closed",
        )
    return TraceFailed(
        f"{_authority(url)} does not answer in {_language(url)}: it said {_quoted(first)}",
        remedy=f"Another service holds this port{_what_holds(url)}; check the port.",
        kind="not understood",
    )


def _explain_silence(url: Url, dial: Reconnect, deadline: Deadline) -> TraceFailed:
    extra = Deadline(deadline.seconds)
    if url.facts.scheme == "http" and speaks_tls(dial, extra):
        return explain_tls_port(url)
    if url.facts.scheme not in HTTP and (spoken := speaks_plainly(dial, extra)):
        return _explain_plain(url, spoken)
    return TraceFailed(
        f"{_authority(url)} took the connection, but did not answer within {deadline.seconds:g} s.",
        remedy=f"Its server is busy or stuck, or does not speak {_language(url)}; --max-time allows more.",
        kind="timed out",
    )


def explain_tls_port(url: Url) -> TraceFailed:
    if url.facts.scheme != "http":
        return TraceFailed(
            f"Port {url.facts.port} speaks TLS, not {_language(url)}.",
            remedy="Use the port without TLS; for the web the URL begins with https://",
            kind="speaks tls",
        )
    return TraceFailed(
        f"Port {url.facts.port} speaks TLS, not plain HTTP.",
        remedy=f"Use https: {url.with_scheme('https')}",
        kind="speaks tls",
    )


def explain_cut(body_bytes: int) -> TraceFailed:
    return TraceFailed(
        f"The connection ended after {body_bytes} bytes of the body, before the body did.",
        remedy="See the server's log: its process may have died while it sent.",
        kind="cut",
    )


def explain_endless(body_bytes: int, deadline: Deadline) -> TraceFailed:
    return TraceFailed(
        f"After {deadline.seconds:g} s the body was not at its end; {body_bytes} bytes had come.",
        remedy="It may be a stream without an end; or allow more time (--max-time).",
        kind="timed out",
    )


def explain_loop(url: Url) -> TraceFailed:
    return TraceFailed(
        f"The redirects go in a circle: {url.text} has been there before.",
        remedy="The app sends its visitors back; it may want a cookie, which a trace does not keep.",
        kind="redirect loop",
    )


def explain_too_many_redirects(most: int) -> TraceFailed:
    return TraceFailed(
        f"There are more than {most} redirects, one after another.",
        remedy="Browsers give up as well: let the app lead there directly.",
        kind="too many redirects",
    )


def explain_refusal(code: int, text: str) -> TraceFailed:
    """An SMTP or FTP server greeted with a code of 400 or more."""
    return TraceFailed(
        f"The server does not serve this client now: {code} {_quoted(text.encode())}",
        remedy="Try again later; a code that begins with 5 is meant for good.",
        kind="refused service",
    )


def _explain_alert(cause: ssl.SSLError) -> TraceFailed:
    return TraceFailed(
        f"The server broke off TLS: {_words(cause)}.",
        remedy="It may want another TLS version, another name or a certificate of yours.",
        kind="tls failed",
    )


def _explain_plain(url: Url, spoken: str) -> TraceFailed:
    if spoken == "http":
        return TraceFailed(
            f"Port {url.facts.port} answers in plain HTTP, not {_language(url)}.",
            remedy=f"Use http: {url.with_scheme('http')}",
            kind="speaks http",
        )
    names = {"smtp": "a mail server (SMTP)", "ftp": "an FTP server", "ssh": "an SSH server"}
    remedy = f"Use {spoken}://{_authority(url)}" if spoken != "ssh" else "Use ssh, or check the port."
    return TraceFailed(
        f"{_authority(url)} is {names[spoken]}, and does not speak {_language(url)}.",
        remedy=remedy,
        kind=f"speaks {spoken}",
    )


def _language(url: Url) -> str:
    return {"https": "TLS", "smtp": "SMTP", "ftp": "FTP"}.get(url.facts.scheme, "HTTP")


def _authority(url: Url) -> str:
    return url.facts.socket_path or write_place(url.facts.host, url.facts.port)


def _what_holds(url: Url) -> str:
    if url.facts.port is None:
        return ""
    holders = tcp_listeners(url.facts.port) if _is_local(url) else []
    return f" ({holders[0].describe()})" if holders else ""


def _is_local(url: Url) -> bool:
    try:
        return is_this_machine(url.facts.host)
    except ValueError:
        return url.facts.host == "localhost"


def _words(error: ssl.SSLError) -> str:
    return (error.reason or str(error)).replace("_", " ").lower()


def _quoted(data: bytes) -> str:
    """The first line of the data, truncated and safe to print."""
    line = data.decode("utf-8", "replace").splitlines()[0][:80] if data.strip() else ""
    return f"“{shown(line)}”"
