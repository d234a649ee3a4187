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
from webdemo.portable import AF_UNIX
from webdemo.supervisor.control_messages import COMMANDS, Command, Refusal, Reply, RunStatus, Status
from webdemo.supervisor.loop import Loop
from webdemo.supervisor.stream_server import Connection, StreamServer
from webdemo.worker.codec import InvalidMessage, build, plain, read_object

Respond = Callable[[Reply | WebdemoError], None]
Obey = Callable[[Command, Respond], None]
R = TypeVar("R", bound=NamedTuple)

ANSWER_SECONDS = 5.0  # a healthy main process answers within this time


def folder() -> Path:
    """The user's private folder for control sockets, created if missing; raises ControlUnavailable."""
    if AF_UNIX is None:
        raise ControlUnavailable(
            "There are no control sockets on this system.", remedy="Stop webdemo where it was started."
        )
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
    """The supervisor's side, in its event loop. Raises ControlUnavailable if the socket cannot be made."""

    def __init__(self, loop: Loop, obey: Obey) -> None:
        self._obey = obey
        self.path = own_path()
        sock = socket.socket(AF_UNIX, socket.SOCK_STREAM)
        try:
            self.path.unlink(missing_ok=True)  # left behind by an earlier process with our pid
            sock.bind(str(self.path))
            self.path.chmod(0o600)
            sock.listen(128)
        except OSError as exc:
            sock.close()
            raise ControlUnavailable(
                f"The control socket {self.path} cannot be made: {exc.strerror or exc}.",
                remedy="Set XDG_RUNTIME_DIR to a folder of your own, with a short path.",
            ) from exc
        self._server = StreamServer(loop, sock, b"\n", self._take)

    def close(self) -> None:
        self._server.close()
        self.path.unlink(missing_ok=True)

    def _take(self, connection: Connection, line: bytes) -> None:
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
        with socket.socket(AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(timeout_seconds)
            try:
                sock.connect(str(self.path))
                sock.sendall(COMMANDS.encode(command) + b"\n")
                while not answer.endswith(b"\n"):
                    try:
                        received = sock.recv(65536)
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
        with socket.socket(AF_UNIX, socket.SOCK_STREAM) as sock:
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
