"""The events that the supervisor emits, in the main process; the printer writes them."""

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
    open_urls: tuple[str, ...] = ()  # those for other machines


class Started(NamedTuple):
    """Every service has answered a request or was given up."""

    rows: tuple[Row, ...]
    seconds: float
    app: str  # its name, or the folder that is served


class Loaded(NamedTuple):
    """The app was imported. `not_shared_because` says why each server imports its own copy, if it does."""

    seconds: float
    not_shared_because: str | None


class LoadFailed(NamedTuple):
    """The app cannot be loaded. After a reload the old code keeps serving."""

    error: WebdemoError
    old_code_serves: bool


class Up(NamedTuple):
    """A new service, or one that had died, answers requests."""

    service: str
    why: str  # "again", or the name of an action
    seconds: float
    pids: tuple[int, ...] = ()


class Died(NamedTuple):
    """A server process died unexpectedly."""

    service: str
    how: str
    again_in_seconds: float
    times: int  # how often processes of this service have died so far
    pid: int = 0  # 0: it could not be created


class Hung(NamedTuple):
    """A server process has completed no request for so long, while one waited; it is replaced."""

    service: str
    seconds: float
    pid: int = 0


class GivenUp(NamedTuple):
    """A service died too often and is not restarted; its sockets are closed."""

    service: str
    deaths: int
    last_lines: tuple[str, ...] = ()


class ReplaceFailed(NamedTuple):
    """A new server did not come up; the old one keeps serving."""

    service: str
    why: str
    last_lines: tuple[str, ...] = ()


class LoaderLost(NamedTuple):
    """A loader ended unexpectedly. The servers keep running; the app is loaded again."""

    how: str
    again_in_seconds: float


class StoppedService(NamedTuple):
    """The user stopped one service; its sockets are closed."""

    service: str


class Note(NamedTuple):
    """A plain message for the user."""

    text: str


class InternalError(NamedTuple):
    """A callback or thread of the supervisor raised an exception; everything else keeps running."""

    problem: str
    traceback: str


class Changed(NamedTuple):
    """Files changed; the app is reloaded, or pages show the change after so many seconds."""

    paths: tuple[str, ...]
    seconds: float | None = None


class Draining(NamedTuple):
    """Graceful shutdown has begun: the ports close after `delay_seconds`, and requests in flight then get
    `grace_seconds` to finish. `serves` tells whether there is a process that could have any."""

    why: str
    grace_seconds: float
    delay_seconds: float = 0.0
    serves: bool = True


class CutOff(NamedTuple):
    """Processes that did not finish within the grace time were killed."""

    grace_seconds: float
    pids: tuple[int, ...] = ()


class Stopped(NamedTuple):
    """No server process is left."""

    seconds: float


class Output(NamedTuple):
    """Lines written by a server or the app. `complete`: access log lines, to be printed unchanged."""

    source: str
    lines: list[str]
    complete: bool


class Dropped(NamedTuple):
    """Lines are missing from the log here."""

    lines: int
    why: str


Failure = LoadFailed | Died | Hung | GivenUp | ReplaceFailed | LoaderLost | InternalError | CutOff
Event = (
    Started | Loaded | Up | StoppedService | Note | Changed | Draining | Stopped | Output | Dropped | Failure
)
