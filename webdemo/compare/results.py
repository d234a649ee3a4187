"""What a comparison found: plain data, from the runner to the report, and to JSON and back.

The JSON document is `Comparison` as it stands here: each dataclass an object, each tuple a list, and
`None` null. A field that is added leaves SCHEMA as it is; one that goes or changes its meaning
makes SCHEMA one more. Times are in seconds, sizes in bytes, unless a name says otherwise.
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
"""right: as the section says. differs: left open there, or only advised against. wrong: against a MUST,
or something is lost or made up. dropped: the connection ended without an answer, or in the middle of
one. hung: no end within the deadline. missing: the server did not run."""

State = Literal["up", "crashed", "hung", "missing"]
"""up: it answered. crashed: it ended, or gave up, before that or during the comparison. hung: it took
connections and did not answer. missing: it is not installed, or cannot do this here."""


@dataclass(frozen=True, slots=True)
class Machine:
    system: str  # "Linux 6.1 x86_64"
    python: str
    processor: str
    processors: int
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Server:
    """A row of the comparison: one server with its options."""

    label: str  # unique in the comparison: "gunicorn", "gunicorn?threads=1"
    name: str
    options: dict[str, str]
    version: str | None
    state: State
    problem: str | None = None  # why it is not up, or what befell it meanwhile; one line


@dataclass(frozen=True, slots=True)
class Probe:
    """A column: one request, or a few on one connection."""

    name: str  # unique: "both-lengths"; of the app's own paths "GET /about"
    group: str  # "framing", "targets" ...; "app" for the paths of the app
    layer: Literal["server", "app"]
    title: str  # what is asked, in half a line
    request: str  # as it was sent, printable
    section: str  # "RFC 9112 section 6.3"; empty in layer "app", unless one applies
    expected: str  # the right answer in words
    meaning: str  # what it means for an app when a server does otherwise


@dataclass(frozen=True, slots=True)
class Finding:
    """What one server did with one probe."""

    probe: str
    server: str  # its label
    verdict: Verdict
    evidence: str  # what came back, short
    what: str = ""  # one sentence each, empty where the verdict is right
    who_is_right: str = ""
    meaning: str = ""
    seen_in: str | None = None  # the version in which this was seen before; None: never
    is_new: bool = False  # not right, and not among the known quirks

    @property
    def key(self) -> str:
        """How a file of accepted differences names it."""
        return f"{self.server} {self.probe}"


@dataclass(frozen=True, slots=True)
class Behaviour:
    probes: tuple[Probe, ...]
    findings: tuple[Finding, ...]  # one for each server and probe
    seconds: float


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured quantity: the median of the rounds, and the interval that holds the true one (95 %)."""

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


@dataclass(frozen=True, slots=True)
class Ratio:
    """A server's requests per second as a share of the best one's in the same case."""

    server: str
    against: str
    case: str
    connections: int
    ratio: Figure
    is_significant: bool  # the interval leaves out 1 and what is as good as 1


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """How a server starts, stops and comes back."""

    server: str
    start_seconds: Figure | None
    stop_seconds: Figure | None  # from the signal to the last process's end, with requests in flight
    lost_at_stop: int | None  # requests in flight that were not answered
    back_seconds: Figure | None  # from kill -9 to the next answer


@dataclass(frozen=True, slots=True)
class Speed:
    path: str
    client: str  # "wrk 4.1.0"
    seconds_per_round: float
    measurements: tuple[Measurement, ...]
    ratios: tuple[Ratio, ...]
    lifecycles: tuple[Lifecycle, ...]
    notes: tuple[str, ...] = ()  # what limits what these figures say
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Comparison:
    """All of it. What was not asked for is None."""

    app: str  # as it was given: "shop:app"
    made_at: str  # ISO 8601, with the offset
    webdemo: str  # version
    machine: Machine
    servers: tuple[Server, ...]
    behaviour: Behaviour | None = None
    speed: Speed | None = None
    schema: int = SCHEMA

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=2, ensure_ascii=False) + "\n"


def from_json(text: str) -> Comparison:
    """Read what `to_json` wrote; raises UsageError for what is no such document."""
    try:
        data = json.loads(text)
        if data["schema"] != SCHEMA:
            raise UsageError(
                f"The comparison has schema {data['schema']}; this webdemo reads {SCHEMA}.",
                remedy="Make it again: webdemo compare --json FILE",
            )
        comparison: Comparison = _read(Comparison, data)
    except (ValueError, KeyError, TypeError) as exc:
        raise UsageError(
            "The file is no comparison.", remedy="Make one: webdemo compare --json FILE"
        ) from exc
    return comparison


def _read(kind: Any, data: Any) -> Any:
    """JSON data as an instance of `kind`, which is a type of this module's fields."""
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
