"""The servers: one small file each, and the contract between them and the run layer.

An adapter imports its server inside `serve`, so that looking up a server is cheap, and uses its public
API only. It gets sockets that already listen: it neither opens one nor removes the file of a Unix socket,
because the next process will serve on the same sockets.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import importlib.util
import signal
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from webdemo.errors import (
    ServerUnavailable,
    UsageError,
)
from webdemo.portable import is_readable

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

# The version of this contract: what an Adapter declares, what a Job contains, what `serve` must do.
# Incremented for changes that could break an existing plug-in, not for a new field with a default.
CONTRACT = 1

# How long a connection without a request stays open while its server drains: a client that is about to
# send one gets its response.
LINGER_SECONDS = 0.5

HTTP = "http"


class Stopping:
    """Tells a server to drain: a flag that a signal handler can set and a selector can wait for."""

    def __init__(self) -> None:
        self._read, self._write = socket.socketpair()  # not a pipe: Windows can wait for sockets only
        self._write.setblocking(False)
        self._read.setblocking(False)
        self._is_set = False

    def set(self) -> None:
        """Set the flag; may be called in a signal handler, and more than once."""
        if not self._is_set:
            self._is_set = True
            self._write.send(b"!")

    def is_set(self) -> bool:
        return self._is_set

    def fileno(self) -> int:
        """A descriptor that becomes readable, and stays so, when the flag is set."""
        return self._read.fileno()

    def wake_for_signals(self) -> None:
        """Have each signal wake who waits, on Windows, where it does not interrupt a wait for sockets."""
        signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)

    @contextlib.contextmanager
    def signals(self) -> Iterator[socket.socket]:
        """A socket that each signal makes readable, to be read empty; for a selector.

        A signal that comes just before a wait of the main thread, or in another thread, does not interrupt
        it: without this socket its handler would run when something else ends the wait. Other threads run no
        handlers, so their waits need not end.
        """
        if threading.current_thread() is not threading.main_thread():
            yield self._write
            return
        previous = signal.set_wakeup_fd(self._read.fileno(), warn_on_full_buffer=False)
        try:
            yield self._write
        finally:
            signal.set_wakeup_fd(previous)

    def wait(self, timeout_seconds: float | None = None) -> bool:
        """Block until the flag is set or the timeout has passed; returns whether it is set."""
        return is_readable(self._read, timeout_seconds)

    def close(self) -> None:
        self._is_set = True
        self._read.close()
        self._write.close()

    def __del__(self) -> None:
        if hasattr(self, "_write"):  # else no descriptor was left for it
            self.close()


class Certificate(NamedTuple):
    """A TLS certificate chain and its private key, both PEM files."""

    chain: Path
    key: Path


class MadeCertificate(NamedTuple):
    """A certificate and its private key generated for one run, as PEM text."""

    pem: str

    def __repr__(self) -> str:
        return "MadeCertificate()"  # never print the private key


class Siblings(Protocol):
    """The connection counts of a service's processes, which share its sockets, as seen by one of them."""

    def report(self, connections: int) -> None:
        """Publish the number of open connections of this process."""

    def have_fewer(self) -> bool:
        """Whether a sibling has fewer connections, and should take the next one."""

    def leave(self) -> None:
        """Publish that this process accepts no more connections."""


class Job(NamedTuple):
    """Everything a server process needs in order to serve."""

    app: WSGIApplication  # not used by a server that runs no app
    sockets: list[socket.socket]  # listening, non-blocking
    options: Any  # an instance of the adapter's `options`
    workers: int  # for a server that forks its own workers; 1 for the others
    certificate: Certificate | None
    ready: Callable[[], None]  # to be called when the server is about to accept
    stopping: Stopping  # when set: stop accepting, finish the requests in flight, return
    grace_seconds: float  # after which the process is killed if it has not returned
    worker_cpus: Sequence[int] = ()  # pin each of the server's own workers to one of these
    directory: str | None = None  # the folder of --directory, for a server that runs no app
    log: Callable[[str], None] = lambda line: None  # writes to the access log, for a server that runs no app
    load_in_worker: Callable[[], WSGIApplication] | None = None  # for `own_workers`: the app, in each worker
    siblings: Callable[[], Siblings] | None = None  # called in the accepting process; None: it has none


class Serve(Protocol):
    def __call__(self, job: Job) -> None:
        """Serve until `job.stopping` is set, then finish the requests in flight and return."""


@dataclass(frozen=True, slots=True)
class NoOptions:
    pass


MOST = 1_000_000
"""Of a number, unless its option says otherwise: epoll_wait(2) overflows at 2,147,484 seconds."""
LEAST_SECONDS = 0.1
"""Of a time that ends a connection: with 0, connections end before their request is read."""
MOST_THREADS = 10_000
MOST_BYTES = 1 << 50


def option(default: Any, text: str, *, least: float = 0, most: int = MOST) -> Any:
    """An option of a server, as a dataclass field whose annotation is its type; numbers have a range."""
    return field(default=default, metadata={"help": text, "least": least, "most": most})


@dataclass(frozen=True, slots=True)
class ConnectionOptions:
    """The options of servers whose threads or greenlets wait for one connection each."""

    connections: int = option(
        1000, "Connections open at once; further ones wait, and idle ones are closed.", least=1
    )
    header_timeout: float = option(
        20.0,
        "Seconds in which a request's header must arrive; idle connections are closed after as long.",
        least=LEAST_SECONDS,
    )
    body_timeout: float = option(
        60.0,
        "Seconds for which a client may pause while it sends a body or reads a response.",
        least=LEAST_SECONDS,
    )


# Whether a server keeps a promise: True, False, or a tuple of the exceptions, as predicates of a sentence
# about the server ("accepts a bare LF in a trailer").
Keeps = bool | tuple[str, ...]

# The promises of docs/servers.md that not every server keeps, by the name of their field in Adapter.
PROMISES = ("drain", "spread", "bounds", "framing", "fields")


class Adapter(NamedTuple):
    """A server: how to run it, what it supports, and what it keeps. Plug-ins provide an instance."""

    name: str
    serve: Serve
    summary: str  # its concurrency model, in half a line
    distribution: str | None = None  # the package that provides it; None: the standard library
    extra: str | None = None  # the extra of webdemo that installs it
    options: type = NoOptions  # a frozen dataclass of `option` fields
    modules: tuple[str, ...] = ()  # modules that `serve` imports and that may be imported before the fork
    before_import: Callable[[], None] | None = None  # must run before the app is imported
    io_modules: tuple[str, ...] = ()  # that read requests and write responses; (): those of `distribution`

    # What it supports. A bind or a command that asks for more is refused.
    tls: bool = False
    unix: bool = True
    several_sockets: bool = True  # else each bind has its own process, and one address
    own_workers: bool = False  # forks its worker processes itself
    opens_own_sockets: bool = False  # cannot serve on an inherited socket: one process, and no swap

    # What it keeps of docs/servers.md; shown by `webdemo servers`.
    drain: Keeps = True  # finishes the requests in flight when it is stopped
    spread: Keeps = False  # its workers share lasting connections evenly
    bounds: Keeps = False  # limits connections, sizes, and the time that a client may take
    framing: Keeps = False  # refuses ambiguous and malformed requests (RFC 9112)
    fields: Keeps = False  # passes header fields on in the form of the other servers

    # A server of another protocol than HTTP runs no app.
    protocol: str = HTTP  # the scheme of its URLs
    greeting: bytes = b""  # how its first bytes to each client begin; the supervisor waits for them
    contract: int = 1  # the contract that the plug-in was made for; not CONTRACT, which may be newer

    @property
    def runs_app(self) -> bool:
        """Whether it serves a WSGI app; a mail or FTP server does not."""
        return self.protocol == HTTP

    @property
    def modules_of_client_io(self) -> tuple[str, ...]:
        """Modules and packages in which an OSError is about the client's connection, not the app's."""
        by_name = (self.distribution or self.name).lower().replace("-", "_")
        return (
            __name__,
            getattr(self.serve, "func", self.serve).__module__,
            *(self.io_modules or (by_name,)),
        )

    @property
    def lapses(self) -> tuple[str, ...]:
        """The exceptions of the promises that it keeps otherwise."""
        kept = (getattr(self, promise) for promise in PROMISES)
        return tuple(lapse for lapses in kept if isinstance(lapses, tuple) for lapse in lapses)

    def version(self) -> str | None:
        """The installed version, or None."""
        if self.distribution is None:
            import platform

            return f"Python {platform.python_version()}"
        return _version(self.distribution)

    def is_installed(self) -> bool:
        # Most distributions have the name of their module, which is faster to find than a version.
        name = self.distribution
        return name is None or importlib.util.find_spec(name) is not None or self.version() is not None

    def import_modules(self) -> None:
        """Import `modules`. Raises ServerUnavailable."""
        for module in self.modules:
            try:
                importlib.import_module(module)
            except ImportError as exc:
                raise not_loadable(self.name, module, str(exc)) from exc

    def install_command(self) -> str:
        what = f"'webdemo[{self.extra}]'" if self.extra else str(self.distribution)
        return f"pip install {what}"

    def parse_options(self, given: Mapping[str, str]) -> Any:
        """Parse options into an instance of `self.options`. Raises UsageError."""
        fields = {f.name: f for f in dataclasses.fields(self.options)}
        values = {}
        for name, text in given.items():
            if name not in fields:
                raise unknown_option(self.name, name, fields)
            values[name] = parse_option(f"{self.name}'s option {name}", fields[name], text)
        return self.options(**values)


def unknown_option(server: str, name: str, known: Iterable[str]) -> UsageError:
    names = sorted(known)
    if similar := nearest(name, names):
        remedy = f"Did you mean {similar}?"
    elif names:
        remedy = f"It has {', '.join(names)}."
    else:
        remedy = f"It has none; see: webdemo servers {server}"
    return UsageError(f"The server {server} has no option {name!r}.", remedy=remedy)


def parse_option(what: str, option: dataclasses.Field[Any], text: str) -> Any:
    """Parse the value of an option declared with `option`, or otherwise as a dataclass field."""
    least, most = option.metadata.get("least", 0), option.metadata.get("most", MOST)
    return parse_value(what, str(option.type), text, least=least, most=most)


def parse_value(what: str, kind: str, text: str, *, least: float = 0, most: int = MOST) -> Any:
    """Parse text as `kind`: "int", "float", "bool" or "str". Raises UsageError, which names `what`."""
    try:
        if kind == "bool":
            return {"1": True, "true": True, "yes": True, "on": True,
                    "0": False, "false": False, "no": False, "off": False}[text.lower()]  # fmt: skip
        if kind in ("int", "float"):
            number = int(text) if kind == "int" else float(text)
            if not least <= number <= most:  # also NaN
                raise ValueError
            return number
    except (KeyError, ValueError):
        numbers = f"number from {least} to {most:,}"
        form = {"bool": "true or false", "int": f"a whole {numbers}", "float": f"a {numbers}"}
        shown = text if len(text) <= 100 else f"{text[:99]}…"
        raise UsageError(f"{what} cannot be {shown!r}.", remedy=f"It is {form[kind]}.") from None
    return text


def nearest(word: str, candidates: Iterable[str]) -> str | None:
    """The candidate that `word` is probably a misspelling of, in any case, or None."""
    import difflib

    by_lower = {candidate.lower(): candidate for candidate in candidates}
    found = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[found[0]] if found else None


_versions: dict[str, str | None] = {}


def remember_versions(found: Mapping[str, str | None]) -> None:
    """Take over versions, by distribution, that another process has looked up, which is slow."""
    _versions.update(found)


def _version(distribution: str) -> str | None:
    if distribution not in _versions:
        import importlib.metadata  # slower to import than most servers

        try:
            _versions[distribution] = importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            _versions[distribution] = None
    return _versions[distribution]


def not_loadable(
    name: str,
    origin: str,
    why: str,
    remedy: str = "Install what it needs, report it to its authors, or choose another server.",
) -> ServerUnavailable:
    return ServerUnavailable(f"The server {name} cannot be loaded from {origin}: {why}.", remedy=remedy)
