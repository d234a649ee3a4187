"""What a server sent back to a request, or how it failed, and both in words."""

from __future__ import annotations

import re
from typing import NamedTuple

from webdemo.client import wire
from webdemo.client.connection import Deadline
from webdemo.client.endpoint import Endpoint
from webdemo.client.wire import Exchange, Request, Response
from webdemo.compare.corpus.case import Judgement
from webdemo.text import terminal_line

LONGEST_SHOWN = 160
MOST_HEAD_BYTES = 64 * 1024

Headers = tuple[tuple[str, str], ...]


NO_CONNECTION = Judgement("dropped", "accepts no connection")


class Observation(NamedTuple):
    """One response, or the failure instead of one."""

    status: str  # "200", or the verdict of the failure
    headers: Headers = ()
    body: bytes = b""
    reason: str = ""
    is_cut: bool = False  # the body was longer, and the rest was not read
    failure: Judgement | None = None
    evidence: str = ""
    milliseconds: float = 0.0


def observe(
    endpoint: Endpoint, request: Request, host: str, *, seconds: float, most_body_bytes: int = wire.MOST_BYTES
) -> Observation:
    """Send a request, with this Host, on a new connection, and read the response within `seconds`."""
    deadline = Deadline(seconds)
    most_bytes = most_body_bytes + MOST_HEAD_BYTES
    try:
        exchange = wire.exchange(
            endpoint, [request.encode(host)], [request.method], seconds=seconds, most_bytes=most_bytes
        )
    except OSError as exc:
        found = Observation(NO_CONNECTION.verdict, failure=NO_CONNECTION, evidence=str(exc))
    else:
        found = _first_response(exchange, most_body_bytes)
    return found._replace(milliseconds=deadline.milliseconds())


def _first_response(exchange: Exchange, most_body_bytes: int) -> Observation:
    is_cut = bool(exchange.responses) and len(exchange.responses[0].body) > most_body_bytes
    if (failure := failure_of(exchange)) and not is_cut:
        return Observation(failure.verdict, failure=failure, evidence=evidence_of(exchange))
    response = exchange.responses[0]
    return Observation(
        str(response.status),
        response.headers,
        response.body[:most_body_bytes],
        response.reason,
        is_cut=is_cut,
        evidence=_described(response),
    )


def failure_of(exchange: Exchange) -> Judgement | None:
    """Why the exchange has fewer responses than requests; None if it is complete."""
    if exchange.is_answered:
        return None
    if not exchange.is_over:
        return Judgement("hung", "does not finish its response in time")
    if exchange.rest and not wire.is_response(exchange.rest):
        return Judgement("wrong", "responds with something that is not HTTP")  # RFC 9112 section 4
    if exchange.responses or exchange.rest:
        return Judgement("dropped", "closes the connection in the middle of its response")
    return Judgement("dropped", "closes the connection without a response")


def evidence_of(exchange: Exchange) -> str:
    """A summary of what came back: each response's status and first bytes, and how the connection ended."""
    parts = [*map(_described, exchange.responses)]
    if exchange.rest:
        parts.append(f"and then {escaped(exchange.rest[:LONGEST_SHOWN])}")
    ended = {"closed": "closed", "reset": "reset", "open": "left open"}[exchange.ended]
    return f"{'; '.join(parts) or 'nothing'}; {ended}"


def _described(response: Response) -> str:
    interim = "".join(f"{code}, then " for code in response.interim)
    unfinished = "" if response.is_whole else " (unfinished)"
    said = f"{interim}HTTP/{response.version} {response.status} {response.reason}".strip()
    return f"{said}{unfinished} {printable(response.body[:LONGEST_SHOWN])}".strip()


def printable(data: bytes) -> str:
    """UTF-8 on one line, with all that is not printable text escaped; long runs are shortened."""
    return _shortened(terminal_line(data.decode("utf-8", "backslashreplace")))


def escaped(data: bytes) -> str:
    """Bytes as printable text with Python's escapes; long runs of one character are shortened."""
    return _shortened(repr(data.decode("latin-1"))[1:-1])


def _shortened(text: str) -> str:
    return re.sub(r"(.)\1{40,}", lambda run: f"{run[1]}... ({len(run[0])} times)", text)
