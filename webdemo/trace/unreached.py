"""Explains why no connection was made, and what to do about it.

The rule: every failure becomes one problem and one remedy. Other listeners on this machine are looked up
only now.
"""

from __future__ import annotations

from collections.abc import Iterable

from webdemo.errors import EndpointUnreachable
from webdemo.net.bindtext import authority, shown
from webdemo.net.holders import tcp_listeners
from webdemo.trace.answering import is_this_machine
from webdemo.trace.facts import ConnectFacts
from webdemo.trace.url import Url

_MOST_NEIGHBOURS = 3


def explain_no_connection(url: Url, facts: ConnectFacts, seconds: float) -> EndpointUnreachable:
    """Every connection attempt failed, or none did within so many seconds."""
    port = url.facts.port
    by_outcome = {attempt.outcome: attempt for attempt in reversed(facts.attempts)}
    tried = " and ".join(authority(attempt.address, port) for attempt in facts.attempts[:4])
    if "refused" in by_outcome:
        if is_this_machine(by_outcome["refused"].address):
            return _explain_no_listener(url, tried)
        return EndpointUnreachable(
            f"{tried} refused the connection: nothing listens there, or a firewall rejects it.",
            remedy=f"See what listens on that machine: webdemo port {port}",
            kind="refused",
        )
    if "timed out" in by_outcome or not by_outcome:
        return EndpointUnreachable(
            f"{tried or url.facts.host} did not answer within {seconds:g} s.",
            remedy="The machine is off, or a firewall drops what is sent to this port; "
            "or allow more time (--max-time).",
            kind="timed out",
        )
    remedy, kind = "Check the address and the network.", "failed"
    if "unreachable" in by_outcome:
        kind = "unreachable"
        if all(":" in attempt.address for attempt in facts.attempts):
            remedy = "This machine may have no IPv6: try -4 or another address."
    return EndpointUnreachable(
        f"{tried} cannot be reached from here: {facts.attempts[0].detail}.", remedy=remedy, kind=kind
    )


def explain_socket_file(path: str, facts: ConnectFacts, seconds: float) -> EndpointUnreachable:
    """The connection to a Unix socket failed, or was not accepted within so many seconds."""
    name = shown(path)
    [attempt] = facts.attempts
    problem, remedy = {
        "missing": (f"There is no {name}.", "Check the path, and that its server runs: webdemo port"),
        "refused": (
            f"Nothing listens on {name}: its server has gone, or it is not a socket.",
            "Start the server again; it replaces the file.",
        ),
        "not permitted": (
            f"This user may not connect to {name}.",
            "Its owner can allow it: the bind's option mode=660 lets the group, mode=666 everyone.",
        ),
        "timed out": (
            f"{name} did not accept the connection within {seconds:g} s.",
            "Its server is busy or stuck; see its log.",
        ),
    }.get(
        attempt.outcome,
        (f"No connection to {name}: {attempt.detail}.", "See what listens on Unix sockets: webdemo port"),
    )
    return EndpointUnreachable(problem, remedy=remedy, kind=attempt.outcome)


def _explain_no_listener(url: Url, tried: str) -> EndpointUnreachable:
    port = url.facts.port
    assert port is not None, "only TCP is refused by an address"
    listening = tcp_listeners()
    here = next((one for one in listening if one.port == port), None)
    webdemos = _nearest((one.port for one in listening if any(p.is_webdemo for p in one.processes)), port)
    problem = f"Nothing listens on {tried}."
    remedy = f"Start a server there: webdemo --port {port}"
    if here is not None:
        problem = f"Nothing listens on {tried}, but {here.place} is {here.describe()}."
        host = here.place
        if here.is_wildcard:
            host = authority("::1" if here.family == "ipv6" else "127.0.0.1", port)
        remedy = f"Use {url.facts.scheme}://{host}{url.facts.request_target}"
    elif webdemos:
        has = "has" if len(webdemos) == 1 else "have"
        problem = f"Nothing listens on {tried}, but {_join(webdemos)} {has} a webdemo."
        remedy = f"Use that port, or start one here: webdemo --port {port}"
    elif near := _nearest((one.port for one in listening), port):
        remedy += f". On this machine something listens on {_join(near)}."
    return EndpointUnreachable(problem, remedy=remedy, kind="refused")


def _join(ports: Iterable[int]) -> str:
    return ", ".join(map(str, ports))


def _nearest(ports: Iterable[int], port: int) -> list[int]:
    return sorted(sorted(set(ports), key=lambda other: abs(other - port))[:_MOST_NEIGHBOURS])
