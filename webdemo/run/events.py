"""What happens in a run, as the supervisor tells it: the printer writes it, the dashboard shows it."""

from __future__ import annotations

from dataclasses import dataclass

from webdemo.errors import WebdemoError


@dataclass(frozen=True, slots=True)
class Row:
    """One service as the start table shows it."""

    server: str
    version: str
    urls: tuple[str, ...]
    pids: tuple[int, ...]
    workers: int
    state: str


@dataclass(frozen=True, slots=True)
class Started:
    """Every service has answered a request, or was given up."""

    rows: tuple[Row, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class Loaded:
    """The app is imported. `not_shared_because` says why each server imports its own copy."""

    seconds: float
    not_shared_because: str | None


@dataclass(frozen=True, slots=True)
class LoadFailed:
    """The app cannot be loaded; the old code, if there is any, goes on serving."""

    error: WebdemoError
    old_code_serves: bool


@dataclass(frozen=True, slots=True)
class Up:
    """A service answers again, or a new one does."""

    service: str
    pids: tuple[int, ...]
    why: str  # "again", "restart", "reload", "swap", "start"
    seconds: float


@dataclass(frozen=True, slots=True)
class Died:
    """A server process ended that nobody had told to."""

    service: str
    pid: int
    how: str
    again_in_seconds: float


@dataclass(frozen=True, slots=True)
class GivenUp:
    """A service died too often; its sockets are closed."""

    service: str
    deaths: int
    last_lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReplaceFailed:
    """A new server did not come up; the old one goes on serving."""

    service: str
    why: str
    last_lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StoppedService:
    """One service was stopped by its user; its sockets are closed."""

    service: str


@dataclass(frozen=True, slots=True)
class Note:
    """Something worth knowing."""

    text: str


@dataclass(frozen=True, slots=True)
class Changed:
    """Files changed; the app is loaded anew."""

    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Draining:
    """The run ends: requests in flight are finished."""

    why: str
    grace_seconds: float


@dataclass(frozen=True, slots=True)
class CutOff:
    """Processes that did not finish within the grace time were killed."""

    pids: tuple[int, ...]
    grace_seconds: float


@dataclass(frozen=True, slots=True)
class Stopped:
    """No server process is left."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Output:
    """A line that a server or the app wrote. `complete`: an access log line, to be printed as it is."""

    source: str
    line: str
    complete: bool


Event = (
    Started
    | Loaded
    | LoadFailed
    | Up
    | Died
    | GivenUp
    | ReplaceFailed
    | StoppedService
    | Note
    | Changed
    | Draining
    | CutOff
    | Stopped
    | Output
)
