"""The results of a trace: frozen facts for each step, ready for JSON.

The rule: only facts; description.py makes sentences of them. Times are in milliseconds since the hop began.
Text from a server is stored unchanged: whatever shows it must escape it.
"""

from __future__ import annotations

import json
from typing import NamedTuple

from webdemo.client.greeting import GreetingFacts
from webdemo.client.http11 import ResponseHead
from webdemo.client.tls import TlsFacts
from webdemo.errors import TraceFailed
from webdemo.worker.codec import plain


class Failure(NamedTuple):
    """Why a step ended the hop, and what to do."""

    kind: str  # one or two words for programs: refused, timed out, name unknown, speaks tls ...
    problem: str
    remedy: str
    exit_code: int

    @classmethod
    def of(cls, error: TraceFailed) -> Failure:
        return cls(error.kind, error.problem, error.remedy, error.exit_code)


class UrlFacts(NamedTuple):
    scheme: str
    host: str  # a name or an address, IPv6 without brackets; "" for a Unix socket
    port: int | None  # None for a Unix socket
    port_given: bool  # False if it is the scheme's default
    socket_path: str | None
    request_target: str  # path and query; "" where no request is sent (smtp, ftp)
    fragment: str  # the part after #; like a browser, a trace does not send it


class NameFacts(NamedTuple):
    host: str
    is_address: bool  # True if no lookup was needed
    addresses: tuple[str, ...]  # in the order of attempts (RFC 6724; families alternate as in RFC 8305)
    withheld: int  # the number of further addresses that may not be contacted from here


class Attempt(NamedTuple):
    """One connection attempt to one address."""

    address: str
    start_ms: float
    duration_ms: float
    # connected, refused, timed out, unreachable, given up (another was faster) or failed; for a Unix socket
    # also missing or not permitted
    outcome: str
    detail: str  # the system's error text; "" when it connected or was given up


class ConnectFacts(NamedTuple):
    """Without a connection, only the attempts."""

    attempts: tuple[Attempt, ...]  # staggered by 250 ms, as in RFC 8305; only those that were begun
    local_address: str = ""
    local_port: int | None = None  # the client's ephemeral port; None for a Unix socket
    remote_address: str = ""  # the peer's address, or the Unix socket's path
    remote_port: int | None = None
    ephemeral_range: tuple[int, int] | None = None  # first and last port that the kernel assigns, if known


class RequestFacts(NamedTuple):
    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    size_bytes: int


class TransferFacts(NamedTuple):
    body_bytes: int
    bytes_per_second: float | None  # None if nothing arrived, or it took no measurable time
    is_whole: bool  # False if the trace stopped reading at its limit, or the connection ended early


Facts = (
    UrlFacts
    | NameFacts
    | ConnectFacts
    | TlsFacts
    | RequestFacts
    | ResponseHead
    | GreetingFacts
    | TransferFacts
)


class Step(NamedTuple):
    """One step; `name` is url, name, connect, tls, request, first byte, greeting or transfer."""

    name: str
    start_ms: float
    duration_ms: float
    facts: Facts | None
    failure: Failure | None


class AnsweredBy(NamedTuple):
    """The process at the other end, if it is on this machine."""

    pid: int | None  # None if the system hides it
    process: str
    is_exact: bool  # True if it holds this very connection, False if it holds the listening socket
    server: str = ""  # the server's name and version, if a webdemo of this user runs it
    webdemo_pid: int | None = None
    serves: str = ""  # the app or folder that this webdemo serves


class Redirect(NamedTuple):
    status: int
    location: str  # as sent by the server
    url: str = ""  # the absolute target; "" if it is not a valid URL
    is_followed: bool = False
    leaves_tls: bool = False
    failure: Failure | None = None


class Hop(NamedTuple):
    """The trace of one URL."""

    url: str
    start_ms: float  # since the trace began
    duration_ms: float  # until the last byte, without the search for the process that answered
    steps: tuple[Step, ...]
    answered_by: AnsweredBy | None  # None if it was not reached or is not on this machine
    redirect: Redirect | None

    def find(self, name: str) -> Step | None:
        return next((step for step in self.steps if step.name == name), None)

    @property
    def response(self) -> ResponseHead | None:
        return next((step.facts for step in self.steps if isinstance(step.facts, ResponseHead)), None)

    @property
    def greeting(self) -> GreetingFacts | None:
        return next((step.facts for step in self.steps if isinstance(step.facts, GreetingFacts)), None)

    @property
    def failure(self) -> Failure | None:
        failed = next((step.failure for step in self.steps if step.failure is not None), None)
        return failed or (self.redirect.failure if self.redirect is not None else None)


class Trace(NamedTuple):
    """The hops of a URL and its redirects."""

    hops: tuple[Hop, ...]

    @property
    def failure(self) -> Failure | None:
        return self.hops[-1].failure

    @property
    def exit_code(self) -> int:
        """0 if a response arrived, whatever its status."""
        return self.failure.exit_code if self.failure is not None else 0


def to_json(trace: Trace) -> str:
    """The trace as JSON, by field names; ASCII only, so that no text from a server can control a terminal."""
    return json.dumps({"exit_code": trace.exit_code, **plain(trace)}, indent=2)
