"""The messages between the supervisor, its loaders and the server processes.

Orders go to a loader, reports come back from it and, through its own pipe, from each server process.
"""

from typing import NamedTuple

from webdemo.errors import AppImportFailed, UsageError, WebdemoError
from webdemo.middleware.stack import EdgeSettings
from webdemo.servers import Certificate, MadeCertificate
from webdemo.worker.app_import import Target
from webdemo.worker.codec import Codec

_LONGEST_LINE = 2000
_LONGEST_TRACEBACK = 32_000

# -- orders to a loader ---------------------------------------------------------------------------


class Load(NamedTuple):
    """The first order: import the app and the servers (`share`), or leave that to each server process."""

    target: Target
    folder: str  # to do that in; "": the current one
    servers: tuple[str, ...]
    share: bool
    reload: bool  # report the sources of the app, and what it writes
    grace_seconds: float


class Spawn(NamedTuple):
    """Fork a server process. Its descriptors come with the message; see server_process.serve."""

    process: int  # the supervisor's number for it, not a pid
    own_import: bool  # it imports its own copy of the app
    server: str
    options: dict[str, str]
    workers: int
    has_siblings: bool  # other processes serve on the same sockets
    cpus: tuple[int, ...]  # pin it to these processors
    worker_cpus: tuple[int, ...]  # pin each of its workers to one of these
    certificate: Certificate | None
    made_certificate: MadeCertificate | None  # instead of `certificate`
    grace_seconds: float
    writes_stacks: bool  # of its threads, when asked to
    reload: bool  # report what the app writes
    settings: EdgeSettings
    target: Target


class Signal(NamedTuple):
    """Send a signal to a server process."""

    process: int
    number: int


Order = Load | Spawn | Signal
ORDERS: Codec[Order] = Codec("do", Load, Spawn, Signal)

# -- reports of loaders and server processes ------------------------------------------------------


class Sources(NamedTuple):
    """The folders of the app's code, and those of files that it reads anew for each page."""

    folders: tuple[str, ...] = ()
    reread: tuple[str, ...] = ()


class Wrote(NamedTuple):
    """The app is about to write these files."""

    paths: tuple[str, ...]


class Loaded(NamedTuple):
    """The app is imported, or the loader is ready to fork processes that import it themselves."""

    seconds: float
    not_shared_because: str | None  # why the app cannot be shared by fork
    sources: Sources
    versions: dict[str, str | None]  # of the servers, by distribution
    app: str | None = None  # the whole name under which it was found
    ahead: tuple[str, ...] = ()  # webdemo's own modules that it needs: the next loader may import them first


class Failed(NamedTuple):
    """The app cannot be loaded, or the server cannot serve."""

    problem: str
    remedy: str
    traceback: str | None  # of the app's own failure
    exit_code: int

    @classmethod
    def of(cls, error: WebdemoError) -> "Failed":
        """The report of this error, of bounded length."""
        traceback = error.traceback if isinstance(error, AppImportFailed) else None
        return cls(
            _shortened(error.problem, _LONGEST_LINE),
            _shortened(error.remedy, _LONGEST_LINE),
            traceback and _shortened(traceback, _LONGEST_TRACEBACK),
            error.exit_code,
        )

    def error(self) -> WebdemoError:
        if self.traceback:
            return AppImportFailed(self.problem, remedy=self.remedy, traceback=self.traceback)
        kind = UsageError if self.exit_code == UsageError.exit_code else WebdemoError
        return kind(self.problem, remedy=self.remedy)


class Spawned(NamedTuple):
    """The process exists; with a descriptor that stands for it, because a pid could be reused."""

    process: int


class Refused(NamedTuple):
    """The process could not be created."""

    process: int
    failure: Failed


class Exited(NamedTuple):
    process: int
    code: int | None  # None if unknown


class Began(NamedTuple):
    """The first report of a server process: its loader may be dead by now."""

    pid: int


class Ready(NamedTuple):
    """The server is about to accept connections."""

    sources: Sources  # if this process has imported the app


class Dropped(NamedTuple):
    """Lines of the access log, or of the app's output, did not fit into their pipe."""

    lines: int


class Hint(NamedTuple):
    """A line for the user, to be printed once in a run."""

    text: str


LoaderReport = Loaded | Failed | Wrote | Spawned | Refused | Exited
LOADER_REPORTS: Codec[LoaderReport] = Codec("event", Loaded, Failed, Wrote, Spawned, Refused, Exited)
ServerReport = Began | Ready | Failed | Wrote | Dropped | Hint
SERVER_REPORTS: Codec[ServerReport] = Codec("event", Began, Ready, Failed, Wrote, Dropped, Hint)


def _shortened(text: str, most: int) -> str:
    left_out = len(text) - most
    if left_out <= 0:
        return text
    return f"{text[: most // 2]} ... ({left_out} characters left out) ... {text[-(most // 2) :]}"
