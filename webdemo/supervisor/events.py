"""What happens in a run, as the supervisor tells it: the printer writes it, the dashboard shows it."""

from __future__ import annotations

from typing import NamedTuple

from webdemo.errors import WebdemoError


class Row(NamedTuple):
    """One service as the start table shows it."""

    server: str
    version: str
    urls: tuple[str, ...]
    pids: tuple[int, ...]
    workers: int
    state: str


class Started(NamedTuple):
    """Every service has answered a request, or was given up."""

    rows: tuple[Row, ...]
    seconds: float


class Loaded(NamedTuple):
    """The app is imported. `not_shared_because` says why each server imports its own copy."""

    seconds: float
    not_shared_because: str | None


class LoadFailed(NamedTuple):
    """The app cannot be loaded; the old code, if there is any, goes on serving."""

    error: WebdemoError
    old_code_serves: bool


class Up(NamedTuple):
    """A service answers again, or a new one does."""

    service: str
    pids: tuple[int, ...]
    why: str  # "again", "restart", "reload", "swap", "start"
    seconds: float


class Died(NamedTuple):
    """A server process ended that nobody had told to."""

    service: str
    pid: int
    how: str
    again_in_seconds: float


class GivenUp(NamedTuple):
    """A service died too often; its sockets are closed."""

    service: str
    deaths: int
    last_lines: tuple[str, ...]


class ReplaceFailed(NamedTuple):
    """A new server did not come up; the old one goes on serving."""

    service: str
    why: str
    last_lines: tuple[str, ...]


class StoppedService(NamedTuple):
    """One service was stopped by its user; its sockets are closed."""

    service: str


class Note(NamedTuple):
    """Something worth knowing."""

    text: str


class InternalError(NamedTuple):
    """A callback or a thread of the supervisor failed; everything else goes on."""

    problem: str
    traceback: str


class Changed(NamedTuple):
    """Files changed; the app is loaded anew."""

    paths: tuple[str, ...]


class Draining(NamedTuple):
    """The run ends: requests in flight are finished."""

    why: str
    grace_seconds: float


class CutOff(NamedTuple):
    """Processes that did not finish within the grace time were killed."""

    pids: tuple[int, ...]
    grace_seconds: float


class Stopped(NamedTuple):
    """No server process is left."""

    seconds: float


class Output(NamedTuple):
    """A line that a server or the app wrote. `complete`: one of the access log, to be printed as it is."""

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
    | InternalError
    | Changed
    | Draining
    | CutOff
    | Stopped
    | Output
)
