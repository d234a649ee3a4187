"""The input of the reconciler (facts), and its output (actions). Runs in the main process."""

from __future__ import annotations

from typing import NamedTuple

from webdemo.errors import WebdemoError
from webdemo.supervisor.desired import Spec
from webdemo.supervisor.events import Event

# -- facts: what has happened ---------------------------------------------------------------------


class LoaderReady(NamedTuple):
    """The loader can fork server processes. `not_shared_because`: why they import their own copies."""

    loader: int
    not_shared_because: str | None = None


class LoaderEnded(NamedTuple):
    """The loader has exited, or could not be started; `how` in words."""

    loader: int
    how: str = "ended"
    error: WebdemoError | None = None  # why, if it could say so


class ProcessReady(NamedTuple):
    """The server process reports that it accepts connections."""

    process: int


class ProcessUp(NamedTuple):
    """The server process has answered the probe."""

    process: int


class ProcessEnded(NamedTuple):
    """The server process has exited, or could not be created (`has_begun` is False)."""

    process: int
    how: str = "ended"
    error: WebdemoError | None = None  # what it reported before
    has_begun: bool = True


class ProcessHung(NamedTuple):
    """The server process has stopped serving for so many seconds, though it is alive."""

    process: int
    seconds: float


class PortOpened(NamedTuple):
    port: str


class PortFailed(NamedTuple):
    """The port could not be opened."""

    port: str
    error: WebdemoError


class QueueLength(NamedTuple):
    """So many connections wait in the accept queue of a port that is being closed."""

    port: str
    connections: int


Fact = (
    LoaderReady
    | LoaderEnded
    | ProcessReady
    | ProcessUp
    | ProcessHung
    | ProcessEnded
    | PortOpened
    | PortFailed
    | QueueLength
)

# -- actions: what to do next ---------------------------------------------------------------------


class StartLoader(NamedTuple):
    """Start a loader; with `share` it imports the app."""

    loader: int
    release: int
    share: bool


class CloseLoader(NamedTuple):
    """Let the loader exit: it has no children left."""

    loader: int


class KillLoader(NamedTuple):
    loader: int


class Spawn(NamedTuple):
    """Have the loader fork a server process."""

    process: int
    spec: Spec
    loader: int


class Probe(NamedTuple):
    """Probe until this process answers."""

    process: int


class Drain(NamedTuple):
    """Send SIGTERM: finish the requests in flight, then exit."""

    process: int


class Kill(NamedTuple):
    """Send SIGKILL."""

    process: int


class WriteStacks(NamedTuple):
    """Have the process and its workers write the stacks of their threads to the log."""

    process: int


class OpenPort(NamedTuple):
    port: str


class DrainQueue(NamedTuple):
    """Take no new connections, and report the length of the accept queue until it is empty."""

    port: str


class ClosePort(NamedTuple):
    port: str


class FailReadiness(NamedTuple):
    """From now on /readyz says 503."""


class ServePlaceholder(NamedTuple):
    """On these ports the supervisor itself responds with 503; on all others it does not."""

    ports: frozenset[str]


class Answer(NamedTuple):
    """The wish has been fulfilled, or `error` says why not."""

    wish: int
    error: WebdemoError | None = None


class End(NamedTuple):
    """Nothing is left to wait for."""

    exit_code: int


class AnnounceStart(NamedTuple):
    """Every service is up or was given up, for the first time."""


class Tell(NamedTuple):
    """An event for the user; the executor adds the pids and the last lines of these processes."""

    event: Event
    processes: tuple[int, ...] = ()


Action = (
    StartLoader
    | CloseLoader
    | KillLoader
    | Spawn
    | Probe
    | Drain
    | Kill
    | WriteStacks
    | OpenPort
    | DrainQueue
    | ClosePort
    | FailReadiness
    | ServePlaceholder
    | Answer
    | End
    | AnnounceStart
    | Tell
)
