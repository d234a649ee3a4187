"""What is there: processes, loaders, ports, and changes that are not settled. Runs in the main process.

The rule: data, and nothing else. The reconciler alone writes it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from webdemo.errors import WebdemoError
from webdemo.supervisor.desired import Edit, Spec


class State(Enum):
    """The states of a server process; it is forgotten when it has ended, which it can at any time."""

    STARTING = "starting"
    READY = "ready"  # it reports that it accepts connections
    UP = "up"  # it has answered a probe
    DRAINING = "draining"
    KILLED = "killed"  # its end has not been seen yet


class LoaderState(Enum):
    LOADING = "loading"
    READY = "ready"
    CLOSING = "closing"
    KILLED = "killed"


class PortState(Enum):
    OPEN = "open"
    CLOSING = "closing"  # takes no new connections; those in the accept queue are still accepted
    CLOSED = "closed"
    OPENING = "opening"


ALIVE = (State.STARTING, State.READY, State.UP)
TRANSITIONS: dict[State, dict[State, str]] = {
    State.STARTING: {
        State.READY: "accepts connections",
        State.DRAINING: "not wanted any more",
        State.KILLED: "too slow",
    },
    State.READY: {
        State.UP: "has answered the probe",
        State.DRAINING: "not wanted any more",
        State.KILLED: "too slow",
    },
    State.UP: {State.DRAINING: "not wanted any more"},
    State.DRAINING: {State.KILLED: "the grace time is over"},
    State.KILLED: {State.KILLED: "still there"},
}
"""The states of a process, and why it leaves each; a stop at once kills it in every state."""


class Limits(NamedTuple):
    """How long things may take, and two policies of the run."""

    start_seconds: float = 60.0  # for importing the app, and again for starting a server
    grace_seconds: float = 8.0
    drain_delay_seconds: float = 0.0  # at a stop, from failing readiness until the ports close
    queue_seconds: float = 3.0  # in which the servers of a closing port must accept another connection
    loader_seconds: float = 2.0  # for a loader to exit when it has no children left
    waits_for_fix: bool = False  # with --reload, code that cannot be loaded does not end the run
    placeholder_at_start: frozenset[str] = frozenset()  # ports: 503 while the app is loaded the first time

    @property
    def change_seconds(self) -> float:
        return 2 * self.start_seconds + self.grace_seconds


@dataclass(slots=True, eq=False)
class Process:
    """A server process as far as its state matters here."""

    number: int
    spec: Spec
    loader: int
    ordered_at: float
    since: float
    state: State = State.STARTING
    is_hung: bool = False
    unwanted_since: float | None = None

    def enter(self, state: State, now: float) -> None:
        self.state, self.since = state, now


@dataclass(slots=True, eq=False)
class Loader:
    """A loader of a release; with `share` it imports the app."""

    number: int
    release: int
    share: bool
    since: float
    state: LoaderState = LoaderState.LOADING

    @property
    def can_fork(self) -> bool:
        return self.state is LoaderState.READY

    def enter(self, state: LoaderState, now: float) -> None:
        self.state, self.since = state, now


@dataclass(slots=True, eq=False)
class Port:
    """The sockets of one bind."""

    state: PortState
    since: float = 0.0
    queue: int | None = None  # the connections that wait to be accepted, while it is closing
    queue_since: float = 0.0

    def enter(self, state: PortState, now: float) -> None:
        self.state, self.since = state, now
        self.queue, self.queue_since = None, now


@dataclass(slots=True, eq=False)
class Change:
    """An edit that is not settled yet, and who waits for it."""

    edit: Edit
    wishes: list[int]
    since: float
    again: list[int] | None = None  # a later reload follows this one; the wishes that wait for it
    again_by: float = 0.0  # or replaces it at this time


class Answering(NamedTuple):
    """A change that is settled; its wishes are answered when clients meet the result."""

    edit: Edit
    wishes: list[int]
    ports: list[str]  # of its new processes
    old: list[Process]
    until: float


@dataclass(slots=True, eq=False)
class History:
    """What has happened to the processes of one spec."""

    deaths: int = 0
    quick_deaths: int = 0
    retry_at: float = 0.0
    ever_up: bool = False
    given_up: WebdemoError | None = None
    news: tuple[str, float] | None = None  # why it will be news that the service is up, and since when


@dataclass(slots=True)
class Retry:
    """How often something has failed in a row, and when it is tried again."""

    failures: int = 0
    at: float = 0.0


@dataclass(slots=True, eq=False)
class Release:
    """One state of the app's code."""

    shares: bool = True  # False: each process imports its own copy
    failed: WebdemoError | None = None
    is_lost: bool = False  # its loader has died; the code on disk may be different by now
    retry: Retry = field(default_factory=Retry)  # of the loader that does not import the app

    @property
    def is_gone(self) -> bool:
        """Whether it can only be loaded as another release."""
        return self.failed is not None or self.is_lost


class Stopping(NamedTuple):
    """Since when the run is being ended; an immediate end kills every process."""

    since: float
    is_immediate: bool = False
