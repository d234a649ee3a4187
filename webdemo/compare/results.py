"""The results of a comparison: plain data for the report, convertible to JSON and back.

The JSON document is a `Comparison`: named tuples are objects, other tuples are lists, `None` is null. Adding
a field keeps SCHEMA; removing one or changing its meaning increments it. Times are in seconds and sizes in
bytes, unless a name says otherwise.
"""

from __future__ import annotations

import json
from typing import Literal, NamedTuple

from webdemo.errors import UsageError
from webdemo.worker.codec import InvalidMessage, build, plain, read_object, shown

SCHEMA = 1

Verdict = Literal["right", "differs", "wrong", "dropped", "hung", "missing"]
"""right: as the RFC section says. differs: a choice that it leaves open, or against a SHOULD. wrong: violates
a MUST, or data is lost or invented. dropped: the connection ended before or during the response. hung: no end
before the deadline. missing: the server did not run."""

State = Literal["up", "crashed", "hung", "missing"]
"""up: it responded. crashed: it died, or was given up, before that or during the comparison. hung: it
accepted connections but did not respond. missing: it is not installed, or cannot run here."""


class Machine(NamedTuple):
    system: str  # "Linux 6.1 x86_64"
    python: str
    processor: str
    processors: int
    memory_bytes: int


class Server(NamedTuple):
    """A column of the comparison: one server with its options."""

    label: str  # unique in the comparison: "gunicorn", "gunicorn?threads=1"
    name: str
    options: dict[str, str]
    version: str | None
    state: State
    problem: str | None = None  # why it is not up, or what happened to it meanwhile; one line


class Probe(NamedTuple):
    """A row of the comparison: one request, or a few on one connection."""

    name: str  # unique: "both-lengths"; of the app's own paths "GET /about"
    group: str  # "framing", "targets" ...; "app" for the paths of the app
    layer: Literal["server", "app"]
    title: str  # what is tested, in a few words
    request: str  # the request as sent, made printable
    section: str  # "RFC 9112 section 6.3"; empty in layer "app", unless one applies
    expected: str  # the right response in words
    meaning: str  # what it means for an app if a server deviates


class Finding(NamedTuple):
    """What one server did with one probe."""

    probe: str
    server: str  # its label
    verdict: Verdict
    evidence: str  # a summary of what came back
    what: str = ""  # this and the next two: a sentence each, empty if the verdict is right
    who_is_right: str = ""
    meaning: str = ""
    seen_in: str | None = None  # the version in which this was seen before; None if never
    is_new: bool = False  # not right, and not among the known quirks

    @property
    def differs(self) -> bool:
        """Whether the server ran and did not do what is right."""
        return self.verdict not in ("right", "missing")


class Behaviour(NamedTuple):
    probes: tuple[Probe, ...]
    findings: tuple[Finding, ...]  # one for each server and probe
    seconds: float


class Figure(NamedTuple):
    """A measured quantity: the median of the rounds, and its 95 % confidence interval."""

    value: float
    low: float
    high: float
    rounds: int


class Measurement(NamedTuple):
    """One server under one kind of load."""

    server: str  # its label
    case: str  # "steady", "slow clients"
    connections: int
    requests_per_second: Figure
    p50_ms: Figure
    p90_ms: Figure
    p99_ms: Figure
    errors: int
    cpu_us_per_request: Figure | None
    memory_bytes: Figure | None  # proportional set size of all its processes
    limited_by: Literal["server", "client", "unknown"]

    @property
    def load(self) -> tuple[str, int]:
        """The kind of load."""
        return self.case, self.connections


class Ratio(NamedTuple):
    """A server's throughput divided by the best one's in the same case."""

    server: str
    against: str
    case: str
    connections: int
    ratio: Figure
    is_significant: bool  # the interval excludes 1 and everything close to it

    @property
    def load(self) -> tuple[str, int]:
        """The kind of load."""
        return self.case, self.connections


class Lifecycle(NamedTuple):
    """How a server starts, stops and recovers."""

    server: str
    start_seconds: Figure | None
    stop_seconds: Figure | None  # from the request to stop to the run's end, with requests in flight
    lost_at_stop: int | None  # requests in flight that got no response
    back_seconds: Figure | None  # from kill -9 to the next response


class Speed(NamedTuple):
    path: str
    client: str  # "wrk 4.1.0"
    seconds_per_round: float
    measurements: tuple[Measurement, ...]
    ratios: tuple[Ratio, ...]
    lifecycles: tuple[Lifecycle, ...]
    notes: tuple[str, ...] = ()  # limitations of these figures
    seconds: float = 0.0


class Comparison(NamedTuple):
    """A whole comparison. Parts that were not requested are None."""

    app: str  # as given by the user: "shop:app"
    made_at: str  # ISO 8601, with UTC offset
    webdemo: str  # version
    machine: Machine
    servers: tuple[Server, ...]
    behaviour: Behaviour | None = None
    speed: Speed | None = None
    schema: int = SCHEMA

    @property
    def probes(self) -> tuple[Probe, ...]:
        return self.behaviour.probes if self.behaviour else ()

    @property
    def findings(self) -> tuple[Finding, ...]:
        return self.behaviour.findings if self.behaviour else ()

    @property
    def measurements(self) -> tuple[Measurement, ...]:
        return self.speed.measurements if self.speed else ()

    def to_json(self) -> str:
        return json.dumps(plain(self), indent=2, ensure_ascii=False) + "\n"


def from_json(text: str) -> Comparison:
    """Read the output of `to_json`; raises UsageError for anything else."""
    remedy = "Create it again: webdemo compare --json FILE"
    try:
        data = read_object(text.encode())
        if data.get("schema") == SCHEMA:
            return build(Comparison, data)
    except InvalidMessage as exc:
        raise UsageError(f"The file is not a comparison: {exc.problem}", remedy=remedy) from exc
    raise UsageError(
        f"The comparison has schema {shown(data.get('schema'))}; this webdemo reads {SCHEMA}.", remedy=remedy
    )
