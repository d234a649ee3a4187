"""Explains why no connection was made, and what to do about it.

The rule: every failure becomes one problem and one remedy. Other listeners on this machine are looked up
only now.
"""

from __future__ import annotations

from webdemo.client.connection import Deadline
from webdemo.errors import PlaceNotAllowed, PlaceUnreachable, TraceFailed
from webdemo.net.bindtext import shown
from webdemo.net.holders import Listening, tcp_listeners
from webdemo.trace.answering import is_this_machine
from webdemo.trace.facts import ConnectFacts
from webdemo.trace.url import Url, write_place

_MOST_NEIGHBOURS = 3


def explain_no_connection(url: Url, facts: ConnectFacts, deadline: Deadline) -> TraceFailed:
    """Every connection attempt failed."""
    port = url.facts.port
    outcomes = {attempt.outcome for attempt in facts.attempts}
    tried = " and ".join(write_place(attempt.address, port) for attempt in facts.attempts[:4])
    if "refused" in outcomes:
        refusing = next(one.address for one in facts.attempts if one.outcome == "refused")
        if is_this_machine(refusing):
            return _explain_nobody_listens(url, tried)
        return PlaceUnreachable(
            f"{tried} refuses: nothing listens there, or a firewall says so.",
            remedy=f"See on that machine what listens: webdemo port {port}",
            kind="refused",
        )
    if "timed out" in outcomes or not outcomes:
        return PlaceUnreachable(
            f"{tried or url.facts.host} did not answer within {deadline.seconds:g} s.",
            remedy="The machine is off, or a firewall drops what is sent to this port; "
            "or allow more time (--max-time).",
            kind="timed out",
        )
    if "unreachable" in outcomes:
        is_ipv6 = all(":" in attempt.address for attempt in facts.attempts)
        return PlaceUnreachable(
            f"There is no way from here to {tried}: {facts.attempts[0].detail}.",
            remedy="This machine may have no IPv6: try -4 or another address."
            if is_ipv6
            else "Check that this machine is on that network.",
            kind="unreachable",
        )
    return PlaceUnreachable(
        f"No connection to {tried}: {facts.attempts[0].detail}.",
        remedy="Check the address and the network.",
        kind="failed",
    )


def explain_forbidden_socket() -> PlaceNotAllowed:
    return PlaceNotAllowed(
        "Unix sockets may not be contacted from here.",
        remedy="Trace it from a terminal of your own: webdemo trace URL",
        kind="not allowed",
    )


def _explain_nobody_listens(url: Url, tried: str) -> PlaceUnreachable:
    port = url.facts.port or 0
    listening = tcp_listeners()
    here = [one for one in listening if one.port == port]
    webdemos = _nearest({one.port for one in listening if any(p.is_webdemo for p in one.processes)}, port)
    if here:
        problem = f"Nothing listens on {tried}, but {here[0].place} is {here[0].describe()}."
        scheme, path = url.facts.scheme, url.facts.request_target
        host = here[0].place if not here[0].is_wildcard else f"{_loopback(here[0])}:{port}"
        remedy = f"Use {scheme}://{host}{path}"
    elif webdemos:
        problem = f"Nothing listens on {tried}, but {_ports(webdemos)} a webdemo."
        remedy = f"Use that port, or start one here: webdemo --port {port}"
    else:
        near = _nearest({one.port for one in listening}, port)
        problem = f"Nothing listens on {tried}."
        remedy = f"Start a server there: webdemo --port {port}"
        if near:
            remedy += f". On this machine something listens on {', '.join(map(str, near))}."
    return PlaceUnreachable(problem, remedy=remedy, kind="refused")


def explain_socket_file(path: str, facts: ConnectFacts, deadline: Deadline) -> PlaceUnreachable:
    attempt = facts.attempts[0]
    if attempt.outcome == "missing":
        problem, remedy = (
            f"There is no {shown(path)}.",
            "Check the path, and that its server runs: webdemo port",
        )
    elif attempt.outcome == "refused":
        problem = f"Nobody listens on {shown(path)}: its server is gone, or it is no socket."
        remedy = "Start the server again; it replaces the file."
    elif attempt.outcome == "not permitted":
        problem = f"This user may not connect to {shown(path)}."
        remedy = "Its owner can allow it: the bind's option mode=660 lets the group, mode=666 everyone."
    elif attempt.outcome == "timed out":
        problem = f"{shown(path)} did not take the connection within {deadline.seconds:g} s."
        remedy = "Its server is busy or stuck; see its log."
    else:
        problem = f"No connection to {shown(path)}: {attempt.detail}."
        remedy = "See what listens on Unix sockets: webdemo port"
    return PlaceUnreachable(problem, remedy=remedy, kind=attempt.outcome)


def _loopback(listening: Listening) -> str:
    return "[::1]" if listening.family == "ipv6" else "127.0.0.1"


def _ports(ports: list[int]) -> str:
    text = ", ".join(map(str, ports))
    return f"{text} has" if len(ports) == 1 else f"{text} have"


def _nearest(ports: set[int], port: int) -> list[int]:
    return sorted(sorted(ports, key=lambda other: abs(other - port))[:_MOST_NEIGHBOURS])
