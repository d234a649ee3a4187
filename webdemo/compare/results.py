"""The results of a comparison: plain data for the report, convertible to JSON and back.

The JSON document is a `Comparison`: dataclasses are objects, tuples are lists, `None` is null. Adding a field
keeps SCHEMA; removing one or changing its meaning increments it. Times are in seconds and sizes in bytes,
unless a name says otherwise.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from dataclasses import dataclass
from typing import Any, Literal

from webdemo.errors import UsageError

SCHEMA = 1

Verdict = Literal["right", "differs", "wrong", "dropped", "hung", "missing"]
"""right: as the RFC section says. differs: a choice that it leaves open, or against a SHOULD. wrong: violates
a MUST, or data is lost or invented. dropped: the connection ended before or during the response. hung: no end
before the deadline. missing: the server did not run."""

State = Literal["up", "crashed", "hung", "missing"]
"""up: it responded. crashed: it died, or was given up, before that or during the comparison. hung: it
accepted connections but did not respond. missing: it is not installed, or cannot run here."""


@dataclass(frozen=True, slots=True)
class Machine:
    system: str  # "Linux 6.1 x86_64"
    python: str
    processor: str
    processors: int
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Server:
    """A column of the comparison: one server with its options."""

    label: str  # unique in the comparison: "gunicorn", "gunicorn?threads=1"
    name: str
    options: dict[str, str]
    version: str | None
    state: State
    problem: str | None = None  # why it is not up, or what happened to it meanwhile; one line


@dataclass(frozen=True, slots=True)
class Probe:
    """A row of the comparison: one request, or a few on one connection."""

    name: str  # unique: "both-lengths"; of the app's own paths "GET /about"
    group: str  # "framing", "targets" ...; "app" for the paths of the app
    layer: Literal["server", "app"]
    title: str  # what is tested, in a few words
    request: str  # the request as sent, made printable
    section: str  # "RFC 9112 section 6.3"; empty in layer "app", unless one applies
    expected: str  # the right response in words
    meaning: str  # what it means for an app if a server deviates


@dataclass(frozen=True, slots=True)
class Finding:
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


@dataclass(frozen=True, slots=True)
class Behaviour:
    probes: tuple[Probe, ...]
    findings: tuple[Finding, ...]  # one for each server and probe
    seconds: float


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured quantity: the median of the rounds, and its 95 % confidence interval."""

    value: float
    low: float
    high: float
    rounds: int


@dataclass(frozen=True, slots=True)
class Measurement:
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


@dataclass(frozen=True, slots=True)
class Ratio:
    """A server's throughput divided by the best one's in the same case."""

    server: str
    against: str
    case: str
    connections: int
    ratio: Figure
    is_significant: bool  # the interval excludes 1 and everything close to it


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """How a server starts, stops and recovers."""

    server: str
    start_seconds: Figure | None
    stop_seconds: Figure | None  # from the request to stop to the run's end, with requests in flight
    lost_at_stop: int | None  # requests in flight that got no response
    back_seconds: Figure | None  # from kill -9 to the next response


@dataclass(frozen=True, slots=True)
class Speed:
    path: str
    client: str  # "wrk 4.1.0"
    seconds_per_round: float
    measurements: tuple[Measurement, ...]
    ratios: tuple[Ratio, ...]
    lifecycles: tuple[Lifecycle, ...]
    notes: tuple[str, ...] = ()  # limitations of these figures
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Comparison:
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
        return json.dumps(dataclasses.asdict(self), indent=2, ensure_ascii=False) + "\n"


def from_json(text: str) -> Comparison:
    """Read the output of `to_json`; raises UsageError for anything else."""
    try:
        data = json.loads(text)
        if data["schema"] != SCHEMA:
            raise UsageError(
                f"The comparison has schema {data['schema']}; this webdemo reads {SCHEMA}.",
                remedy="Create it again: webdemo compare --json FILE",
            )
        comparison: Comparison = _read(Comparison, data)
    except (ValueError, KeyError, TypeError) as exc:
        raise UsageError(
            "The file is not a comparison.", remedy="Create one: webdemo compare --json FILE"
        ) from exc
    return comparison


def _read(kind: Any, data: Any) -> Any:
    """Convert JSON data to `kind`, a type used by this module's fields."""
    origin = typing.get_origin(kind)
    if origin in (types.UnionType, typing.Union):
        if data is None:
            return None
        [kind] = [k for k in typing.get_args(kind) if k is not type(None)]
        return _read(kind, data)
    if origin is tuple:
        return tuple(_read(typing.get_args(kind)[0], item) for item in data)
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return kind(**{name: _read(hints[name], value) for name, value in data.items() if name in hints})  # type: ignore[operator] # is_dataclass covers instances too
    return data
