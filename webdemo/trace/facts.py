"""What a trace found: frozen facts, step by step, ready to become JSON.

The rule: facts only, in fields; sentences about them are made in description.py. Times are
milliseconds since the hop began. Text that a server sent stands here as it came: whoever shows it
makes it harmless.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

from webdemo.errors import TraceFailed


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a step ended the hop, and what to do."""

    kind: str
    """One word or two for programs: refused, timed out, name unknown, speaks TLS ..."""
    problem: str
    remedy: str
    exit_code: int

    @classmethod
    def of(cls, error: TraceFailed) -> Failure:
        return cls(error.kind, error.problem, error.remedy, error.exit_code)


@dataclass(frozen=True, slots=True)
class UrlFacts:
    scheme: str
    host: str
    """A name or an address, IPv6 without brackets; "" for a Unix socket."""
    port: int | None
    """None for a Unix socket."""
    port_given: bool
    """False: the scheme's default."""
    socket_path: str | None
    request_target: str
    """What the request asks for, path and query; "" where none is sent (smtp, ftp)."""
    fragment: str
    """What stands behind #: a browser keeps it to itself, and so does a trace."""


@dataclass(frozen=True, slots=True)
class NameFacts:
    host: str
    is_address: bool
    """Nothing had to be looked up."""
    addresses: tuple[str, ...]
    """In the order in which they are tried (RFC 6724, families in turn as of RFC 8305)."""
    withheld: int
    """How many more there are that may not be contacted from here."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try to connect to one address."""

    address: str
    start_ms: float
    duration_ms: float
    outcome: str
    """connected, refused, timed out, unreachable, given up (another was faster) or failed."""
    detail: str
    """The system's own words; "" when it connected or was given up."""


@dataclass(frozen=True, slots=True)
class ConnectFacts:
    attempts: tuple[Attempt, ...]
    """Staggered by 250 ms, as of RFC 8305; those that were never needed are not among them."""
    local_address: str
    local_port: int | None
    """Yours, for this connection only; None without one."""
    remote_address: str
    """The address, or the Unix socket's path, that the connection leads to; "" without one."""
    remote_port: int | None
    ephemeral_range: tuple[int, int] | None
    """Where the kernel took the local port from, when it tells."""


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """Fields are empty when a certificate cannot be read; the fingerprint is always there."""

    subject: str
    issuer: str
    names: tuple[str, ...]
    valid_from: str
    """ISO 8601, UTC; as is valid_until."""
    valid_until: str
    fingerprint: str
    """SHA-256 as browsers print it: AB:CD:..."""

    @property
    def is_self_signed(self) -> bool:
        return bool(self.subject) and self.subject == self.issuer


@dataclass(frozen=True, slots=True)
class TlsFacts:
    version: str
    cipher: str
    alpn: str | None
    """What was agreed on; http/1.1 is what a trace offers."""
    certificate: CertificateFacts
    is_trusted: bool
    why_not_trusted: str
    """In OpenSSL's words; "" when it is trusted."""


@dataclass(frozen=True, slots=True)
class RequestFacts:
    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    size_bytes: int


@dataclass(frozen=True, slots=True)
class AnswerFacts:
    status: int
    reason: str
    http_version: str
    headers: tuple[tuple[str, str], ...]
    """As they came, in their order; names in lower case."""
    interim: tuple[int, ...]
    """1xx answers that came before it."""

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)


@dataclass(frozen=True, slots=True)
class GreetingFacts:
    """The first thing that an SMTP or FTP server says."""

    code: int
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TransferFacts:
    body_bytes: int
    bytes_per_second: float | None
    """None when it took no time that can be measured, or nothing came."""
    is_whole: bool
    """False: the trace had seen enough, or the connection ended early."""


Facts = (
    UrlFacts
    | NameFacts
    | ConnectFacts
    | TlsFacts
    | RequestFacts
    | AnswerFacts
    | GreetingFacts
    | TransferFacts
)


@dataclass(frozen=True, slots=True)
class Step:
    """url, name, connect, tls, request, first byte, greeting or transfer."""

    name: str
    start_ms: float
    duration_ms: float
    facts: Facts | None
    failure: Failure | None


@dataclass(frozen=True, slots=True)
class AnsweredBy:
    """Who was at the other end, on this machine."""

    pid: int | None
    """None when the system hides it."""
    process: str
    is_exact: bool
    """It held this very connection; otherwise it is the holder of the listening socket."""
    server: str
    """The server's name and version when a webdemo of this user runs it; otherwise ""."""
    webdemo_pid: int | None
    serves: str
    """What that webdemo serves: an app or a folder."""


@dataclass(frozen=True, slots=True)
class Redirect:
    status: int
    location: str
    """As the server sent it."""
    url: str
    """Where it leads; "" when that is no URL."""
    is_followed: bool
    leaves_tls: bool
    failure: Failure | None


@dataclass(frozen=True, slots=True)
class Hop:
    """The way of one URL."""

    url: str
    start_ms: float
    """Since the trace began."""
    duration_ms: float
    """Until the last byte; the search for the process that answered is not counted."""
    steps: tuple[Step, ...]
    answered_by: AnsweredBy | None
    """None when it is not on this machine, or was not reached."""
    redirect: Redirect | None

    def find(self, name: str) -> Step | None:
        return next((step for step in self.steps if step.name == name), None)

    @property
    def answer(self) -> AnswerFacts | None:
        step = self.find("first byte")
        return step.facts if step is not None and isinstance(step.facts, AnswerFacts) else None

    @property
    def greeting(self) -> GreetingFacts | None:
        step = self.find("greeting")
        return step.facts if step is not None and isinstance(step.facts, GreetingFacts) else None

    @property
    def failure(self) -> Failure | None:
        failed = next((step.failure for step in self.steps if step.failure is not None), None)
        return failed or (self.redirect.failure if self.redirect is not None else None)


@dataclass(frozen=True, slots=True)
class Trace:
    """The way of a URL, and of those that it was redirected to."""

    hops: tuple[Hop, ...]

    @property
    def failure(self) -> Failure | None:
        return self.hops[-1].failure

    @property
    def exit_code(self) -> int:
        """0 when an answer came, whatever its status."""
        return self.failure.exit_code if self.failure is not None else 0


def to_json(trace: Trace) -> str:
    """The trace with the names of its fields; escaped, so that no terminal obeys what a server sent."""
    plain: dict[str, Any] = {"exit_code": trace.exit_code, **dataclasses.asdict(trace)}
    return json.dumps(plain, indent=2)
