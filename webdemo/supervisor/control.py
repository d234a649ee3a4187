"""The control socket: JSON lines over a Unix socket that only its owner can open.

Each command is one line, and so is each reply, which is sent when the command has completed or failed; see
control_messages. `ControlServer` runs in the main process, `Instance` in the process of a client.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

from webdemo.errors import ControlUnavailable, SystemRefusal, UsageError, WebdemoError
from webdemo.supervisor.control_messages import COMMANDS, Command, Refusal, Reply, RunStatus, Status
from webdemo.supervisor.loop import Loop
from webdemo.worker.codec import InvalidMessage, build, plain, read_object

Respond = Callable[[Reply | WebdemoError], None]
Obey = Callable[[Command, Respond], None]
R = TypeVar("R", bound=NamedTuple)

ANSWER_SECONDS = 5.0  # in which a main process that is well answers

_LONGEST_LINE = 65536
_MOST_CONNECTIONS = 64
_ACCEPTED_AT_ONCE = 16  # then clients that have sent a command get their turn


def folder() -> Path:
    """The user's private folder for control sockets, created if missing; raises ControlUnavailable."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime:
        path = Path(runtime, "webdemo")
    else:
        temporary = Path(os.environ.get("TMPDIR", ""))
        if not temporary.is_absolute() or not temporary.is_dir():
            temporary = Path("/tmp")
        path = temporary / f"webdemo-{os.getuid()}"
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        facts = path.lstat()
    except OSError as exc:
        raise ControlUnavailable(
            f"The folder for control sockets, {path}, cannot be made: {exc.strerror}.",
            remedy="Set XDG_RUNTIME_DIR to a folder of your own.",
        ) from exc
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.getuid() or facts.st_mode & 0o077:
        raise ControlUnavailable(
            f"The folder for control sockets, {path}, is not yours alone.",
            remedy="Remove it, or set XDG_RUNTIME_DIR to a folder of your own.",
        )
    return path


def own_path() -> Path:
    """The path of this process's control socket, whether or not it exists yet; raises ControlUnavailable."""
    return folder() / f"{os.getpid()}.sock"


class ControlServer:
    """The supervisor's side; runs in its event loop. Raises ControlUnavailable if the socket cannot be made.

    A client that connects and then neither writes nor reads delays nobody: nothing here blocks, and the
    number of connections is limited.
    """

    def __init__(self, loop: Loop, obey: Obey) -> None:
        self._loop = loop
        self._obey = obey
        self.path = own_path()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.path.unlink(missing_ok=True)  # left behind by an earlier process with our pid
            self._socket.bind(str(self.path))
            self.path.chmod(0o600)
            self._socket.listen(128)
        except OSError as exc:
            self._socket.close()
            raise ControlUnavailable(
                f"The control socket {self.path} cannot be made: {exc.strerror or exc}.",
                remedy="Set XDG_RUNTIME_DIR to a folder of your own, with a short path.",
            ) from exc
        self._socket.setblocking(False)
        self._connections: dict[_Connection, None] = {}  # least recently active first
        loop.on_readable(self._socket, self._accept)

    def close(self) -> None:
        for connection in list(self._connections):
            connection.hang_up()
        self._loop.forget(self._socket)
        self._socket.close()
        self.path.unlink(missing_ok=True)

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionAbortedError):
            for _ in range(_ACCEPTED_AT_ONCE):
                self._connected(self._socket.accept()[0])

    def _connected(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        if len(self._connections) >= _MOST_CONNECTIONS:
            idle = (connection for connection in self._connections if not connection.waits)
            next(idle, next(iter(self._connections))).hang_up()
        connection = _Connection(self._loop, sock, self._take, self._connections.pop)
        self._connections[connection] = None

    def _take(self, connection: _Connection, line: bytes) -> None:
        self._connections[connection] = self._connections.pop(connection)  # most recently active
        connection.waits += 1

        def respond(reply: Reply | WebdemoError) -> None:
            connection.waits -= 1
            if isinstance(reply, WebdemoError):
                fields = {"ok": False, **plain(Refusal(reply.problem, reply.remedy))}
            else:
                fields = {"ok": True, **plain(reply)}
            connection.send(json.dumps(fields).encode() + b"\n")

        try:
            self._obey(COMMANDS.decode(line), respond)
        except WebdemoError as exc:
            respond(exc)
        except OSError as exc:
            respond(SystemRefusal("The command cannot be carried out", exc))
        except Exception as exc:
            respond(_Failed(exc))
            raise  # the loop reports it


class _Connection:
    """Commands from one client, one a line; none is read while output is waiting to be sent."""

    def __init__(
        self,
        loop: Loop,
        sock: socket.socket,
        obey: Callable[[_Connection, bytes], None],
        gone: Callable[[_Connection], object],
    ) -> None:
        self.waits = 0  # number of responses still owed to the client
        self._loop = loop
        self._socket = sock
        self._obey = obey
        self._gone = gone
        self._received = b""
        self._unsent = b""
        self._is_closed = False
        loop.on_readable(sock, self._read)

    def send(self, data: bytes) -> None:
        if not self._is_closed:
            was_sending = bool(self._unsent)
            self._unsent += data
            if not was_sending:
                self._write()
                if self._unsent and not self._is_closed:  # backpressure: read no more until it is sent
                    self._loop.forget(self._socket)
                    self._loop.on_writable(self._socket, self._go_on)

    def hang_up(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._loop.forget(self._socket)
            self._socket.close()
            self._gone(self)

    def _write(self) -> None:
        try:
            self._unsent = self._unsent[self._socket.send(self._unsent) :]
        except BlockingIOError:
            return
        except OSError:
            self.hang_up()

    def _go_on(self) -> None:
        self._write()
        if not self._unsent and not self._is_closed:
            self._loop.forget(self._socket)
            self._loop.on_readable(self._socket, self._read)
            self._obey_next()

    def _read(self) -> None:
        if b"\n" in self._received:  # a complete command is waiting already
            return
        try:
            data = self._socket.recv(_LONGEST_LINE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._received += data
        if not data or (len(self._received) > _LONGEST_LINE and b"\n" not in self._received):
            self.hang_up()
        self._obey_next()

    def _obey_next(self) -> None:
        """Carry out one command; the next one gets its turn in a later round of the loop."""
        if self._is_closed or self._unsent:
            return
        line, end, rest = self._received.partition(b"\n")
        if end:
            self._received = rest
            if b"\n" in rest:
                self._loop.after(0, self._obey_next)
            self._obey(self, line)


class _Failed(WebdemoError):
    """A command that failed because of a bug in webdemo."""

    def __init__(self, exc: Exception) -> None:
        super().__init__(
            f"The command failed: {type(exc).__name__}: {str(exc)[:200]}.",
            remedy="The log of webdemo has the traceback; please report it.",
        )


class Instance(NamedTuple):
    """A running webdemo of this user."""

    pid: int
    path: Path

    def status(self, *, timeout_seconds: float = ANSWER_SECONDS) -> RunStatus:
        return self._call(Status(), RunStatus, lambda: False, timeout_seconds)

    def call(self, command: Command, reply: type[R]) -> R:
        """Send a command and wait for its reply, which must be of this type.

        The supervisor limits how long a command may take; the wait ends early only if the main process
        answers nothing else either. Raises ControlUnavailable then, UsageError if the command was refused.
        """
        return self._call(command, reply, self._is_answering, ANSWER_SECONDS)

    def _is_answering(self) -> bool:
        with contextlib.suppress(ControlUnavailable):
            return bool(self.status())
        return False

    def _call(
        self, command: Command, reply: type[R], may_wait: Callable[[], bool], timeout_seconds: float
    ) -> R:
        answer = b""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(timeout_seconds)
            try:
                sock.connect(str(self.path))
                sock.sendall(COMMANDS.encode(command) + b"\n")
                while not answer.endswith(b"\n"):
                    try:
                        received = sock.recv(_LONGEST_LINE)
                    except TimeoutError:
                        if may_wait():
                            continue
                        raise
                    if not received:
                        break
                    answer += received
            except OSError as exc:
                raise self._silent() from exc
        if not answer:
            raise self._silent()
        try:
            fields = read_object(answer)
            if fields.pop("ok", None) is True:
                return build(reply, fields)
            refusal = build(Refusal, fields)
        except InvalidMessage as exc:
            raise ControlUnavailable(
                f"The webdemo with process {self.pid} is of another version: {exc.problem}",
                remedy="Use the command `webdemo` of the environment that it runs in.",
            ) from exc
        raise UsageError(refusal.problem, remedy=refusal.remedy)

    def _silent(self) -> ControlUnavailable:
        import psutil

        problem = f"The webdemo with process {self.pid} does not answer"
        with contextlib.suppress(psutil.Error):
            if psutil.Process(self.pid).status() == psutil.STATUS_STOPPED:
                return ControlUnavailable(
                    f"{problem}: the process is stopped.", remedy=f"Continue it: kill -CONT {self.pid}"
                )
        return ControlUnavailable(
            f"{problem}.", remedy=f"If it still runs, end it together with its servers: kill -9 {self.pid}"
        )


def instances() -> list[Instance]:
    """This user's running webdemos; control sockets left behind by dead ones are removed."""
    found = []
    for path in sorted(folder().glob("*.sock")):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(ANSWER_SECONDS)
            try:
                sock.connect(str(path))
            except ConnectionRefusedError:
                path.unlink(missing_ok=True)
                continue
            except OSError:
                continue
        found.append(Instance(int(path.stem), path))
    return found


def statuses() -> tuple[list[RunStatus], list[ControlUnavailable]]:
    """The status of each of this user's webdemos, and why others have given none."""
    found, silent = [], []
    for instance in instances():
        try:
            found.append(instance.status())
        except ControlUnavailable as exc:
            if instance.path.exists():  # it has not just ended
                silent.append(exc)
    return found, silent
