"""Describes the facts of a trace in sentences, for the terminal and for pages.

The rule: text from a server is escaped and truncated here.
"""

from __future__ import annotations

from webdemo.client.greeting import GreetingFacts
from webdemo.client.http11 import ResponseHead
from webdemo.client.tls import TlsFacts
from webdemo.net.bindtext import authority
from webdemo.text import format_duration, format_size, terminal_line
from webdemo.trace.facts import (
    AnsweredBy,
    Attempt,
    ConnectFacts,
    Facts,
    NameFacts,
    Redirect,
    RequestFacts,
    TransferFacts,
    UrlFacts,
)

_LONGEST = 300
_MOST_LINES = 8


def describe(facts: Facts) -> list[str]:
    """One or more sentences about a step."""
    match facts:
        case UrlFacts():
            return _url(facts)
        case NameFacts():
            return _name(facts)
        case ConnectFacts():
            return _connect(facts)
        case TlsFacts():
            return _tls(facts)
        case RequestFacts():
            return [f"{facts.method} {clean(facts.target)}, {format_size(facts.size_bytes)}"]
        case ResponseHead():
            return _response(facts)
        case GreetingFacts():
            return [f"{facts.code} {clean(line)}" for line in facts.lines[:_MOST_LINES]]
        case TransferFacts():
            return [_transfer(facts)]


def describe_answering(who: AnsweredBy) -> list[str]:
    """Sentences about who answered; the webdemo server, if it is one, instead of its process."""
    how = "" if who.is_exact else " (it holds the port)"
    if who.server:
        pid = f", pid {who.pid}" if who.pid is not None and who.is_exact else ""
        return [
            f"{who.server}{pid}, with {clean(who.serves)}",
            f"of the webdemo with pid {who.webdemo_pid}",
        ]
    return [f"{clean(who.process)}{how}"]


def describe_redirect(redirect: Redirect) -> list[str]:
    target = clean(redirect.url or redirect.location)
    lines = [f"{redirect.status} redirects to {target}{'' if redirect.is_followed else ', not followed'}"]
    if redirect.leaves_tls:
        lines.append("from TLS to plain HTTP: from here on, others can read and change the traffic")
    return lines


def clean(text: str) -> str:
    return terminal_line(text, limit=_LONGEST)


def _url(facts: UrlFacts) -> list[str]:
    if facts.socket_path is not None:
        lines = [
            f"the Unix socket {clean(facts.socket_path)}: a path of this machine, no address and no port"
        ]
    else:
        origin = "given" if facts.port_given else f"the default of {facts.scheme}"
        lines = [f"scheme {facts.scheme}, host {facts.host}, port {facts.port} ({origin})"]
    if facts.fragment:
        lines.append(f"#{clean(facts.fragment)} is not sent: a fragment stays in the browser")
    return lines


def _name(facts: NameFacts) -> list[str]:
    if facts.is_address:
        lines = [f"{facts.host} is an address: nothing to look up"]
    else:
        lines = [f"{facts.host} is {', then '.join(facts.addresses[:_MOST_LINES])}"]
    if facts.withheld:
        lines.append(f"{facts.withheld} more may not be contacted from here")
    return lines


def _connect(facts: ConnectFacts) -> list[str]:
    lines = [_attempt(one) for one in facts.attempts if one.outcome != "connected"]
    if facts.remote_port is None:
        return lines or [f"to {clean(facts.remote_address)}"]
    near = authority(facts.local_address, facts.local_port)
    far = authority(facts.remote_address, facts.remote_port)
    lines.append(f"from your port {facts.local_port} ({near}) to {far}")
    if facts.ephemeral_range is not None:
        low, high = facts.ephemeral_range
        lines.append(f"the kernel chose it from {low}-{high}, for this connection only")
    return lines


def _attempt(attempt: Attempt) -> str:
    outcome = "given up, another was faster" if attempt.outcome == "given up" else attempt.outcome
    return f"{clean(attempt.address)}: {outcome} after {format_duration(attempt.duration_ms / 1000)}"


def _tls(facts: TlsFacts) -> list[str]:
    certificate = facts.certificate
    agreed = f", {facts.alpn}" if facts.alpn else ""
    lines = [f"{facts.version}, {facts.cipher}{agreed}"]
    if certificate.subject or certificate.names:
        issuer = "itself" if certificate.is_self_signed else f"“{clean(certificate.issuer)}”"
        lines += [
            f"certificate of “{clean(certificate.subject)}”, signed by {issuer}",
            f"for {clean(', '.join(certificate.names)) or 'no name'}",
            f"valid {certificate.valid_from[:10]} to {certificate.valid_until[:10]}",
        ]
    half = len(certificate.fingerprint) // 2 + 1  # two lines fit where one would be broken anywhere
    lines += [f"SHA-256 {certificate.fingerprint[:half]}", certificate.fingerprint[half:]]
    lines.append("trusted" if facts.is_trusted else f"not trusted: {facts.why_not_trusted}")
    return lines


def _response(facts: ResponseHead) -> list[str]:
    lines = [f"{facts.status} {clean(facts.reason)}".rstrip() + f", HTTP/{facts.http_version}"]
    for name in ("server", "content-type"):
        value = facts.header(name)
        if value is not None:
            lines.append(f"{name}: {clean(value)}")
    return lines


def _transfer(facts: TransferFacts) -> str:
    rate = f", {format_size(facts.bytes_per_second)}/s" if facts.bytes_per_second is not None else ""
    rest = "" if facts.is_whole else ", incomplete"
    return f"{format_size(facts.body_bytes)} of body{rate}{rest}"
