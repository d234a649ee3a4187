"""The messages of the control socket: the commands, and what the supervisor replies.

On the wire a command names itself in `do`: {"do": "swap", "port": "8000", "server": "gunicorn"}. A reply has
"ok": true and its fields, or "ok": false with a problem and a remedy. docs/metrics.md documents those for
programs.
"""

from typing import Annotated, NamedTuple

from webdemo.stats.figures import INTERVAL_SECONDS, KEPT_SAMPLES, Sample, ServiceHistory
from webdemo.worker.codec import Codec, FieldType

KEPT_LINES = 200

_MOST = 10**9  # larger than any count that makes sense
_LONGEST_PATH = 200  # of a Unix socket; systems allow about 100 bytes


def _port(_: str, value: str | int) -> str:
    if len(value) > _LONGEST_PATH if isinstance(value, str) else value not in range(65536):
        raise ValueError
    return str(value)


def _count(_: str, value: float) -> float:
    if not 0 <= value < float("inf"):
        raise ValueError
    return min(value, _MOST)


Port = Annotated[str, FieldType("a port number, or the path of a Unix socket", (str, int), _port)]
Count = Annotated[float, FieldType("a number, 0 or more", (int, float), _count)]

# -- commands -------------------------------------------------------------------------------------


class Status(NamedTuple):
    """Describe the run; the reply is a RunStatus."""


class History(NamedTuple):
    """The samples of the last `seconds`; the reply is a RunHistory."""

    seconds: Count = KEPT_SAMPLES * INTERVAL_SECONDS


class Log(NamedTuple):
    """The last log lines of the service on the port; the reply is LogLines."""

    port: Port
    lines: Count = KEPT_LINES


class Reload(NamedTuple):
    """Import the app again, then replace every server process."""


class Restart(NamedTuple):
    """Replace the processes of the service on the port, or of all services, with the same code."""

    port: Port | None = None


class Stop(NamedTuple):
    """Drain the service on the port and close the port, or end the run."""

    port: Port | None = None


class Start(NamedTuple):
    """Start a service that was stopped or given up."""

    port: Port


class Swap(NamedTuple):
    """Put another server, `gunicorn` or `gunicorn?workers=2`, behind the port."""

    port: Port
    server: str


class Kill(NamedTuple):
    """Send SIGKILL to the server processes behind the port; the reply is Killed."""

    port: Port


Query = Status | History | Log
ActionCommand = Reload | Restart | Stop | Start | Swap | Kill
Command = Query | ActionCommand
COMMANDS: Codec[Command] = Codec("do", Status, History, Log, Reload, Restart, Swap, Stop, Start, Kill)

# -- replies --------------------------------------------------------------------------------------


class Completed(NamedTuple):
    """The command's work is done; `note` is a line for the user."""

    note: str = ""


class Refusal(NamedTuple):
    """The command cannot be carried out."""

    problem: str
    remedy: str


class ProcessStatus(NamedTuple):
    pid: int | None
    state: str
    since: float  # epoch seconds


class ServiceStatus(NamedTuple):
    server: str
    version: str
    state: str
    dashboard: bool  # it is the dashboard's own service
    ports: tuple[str, ...]
    urls: tuple[str, ...]
    workers: int
    restarts: int
    processes: tuple[ProcessStatus, ...]
    figures: Sample | None  # None in the first second of a run
    other_processes: tuple[ProcessStatus, ...] = ()  # on its ports, and about to take over or to end
    problem: str = ""  # why it is given up


class ChangeStatus(NamedTuple):
    """Something that is wished, and not yet so."""

    what: str  # such as "swap 8000 to gunicorn"
    for_seconds: float
    waits_for: str


class RunStatus(NamedTuple):
    pid: int
    target: str
    since: float  # epoch seconds
    stopping: bool
    services: tuple[ServiceStatus, ...]
    changes: tuple[ChangeStatus, ...] = ()


class RunHistory(NamedTuple):
    time: float
    interval_seconds: float
    services: tuple[ServiceHistory, ...]


class LogLine(NamedTuple):
    time: float
    access: bool  # a line of the access log
    text: str


class LogLines(NamedTuple):
    lines: tuple[LogLine, ...]


class Killed(NamedTuple):
    pids: tuple[int, ...]


Reply = Completed | RunStatus | RunHistory | LogLines | Killed
