"""The control socket: JSON lines over a Unix socket that only its user can open.

One line asks, one line answers: {"do": "swap", "port": "8000", "server": "gunicorn"}, and
{"ok": true, ...} or {"ok": false, "problem": ..., "remedy": ...}. The answer comes when what was
asked for has been done, or has failed.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from webdemo.errors import ControlUnavailable, UsageError, WebdemoError
from webdemo.run.loop import Loop

Reply = dict[str, Any]
Command = Callable[[dict[str, Any], Callable[[Reply], None]], None]

_LONGEST_LINE = 65536
_CONNECT_SECONDS = 5.0


def folder() -> Path:
    """The user's own folder of control sockets, made if need be; raises ControlUnavailable."""
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
    """Where the control socket of this process lies, or will lie; raises ControlUnavailable."""
    return folder() / f"{os.getpid()}.sock"


class ControlServer:
    """The supervisor's side; runs in its loop. Raises ControlUnavailable when there can be no socket."""

    def __init__(self, loop: Loop, command: Command) -> None:
        self._loop = loop
        self._command = command
        self.path = own_path()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.path.unlink(missing_ok=True)  # left by a process that had our number before
            self._socket.bind(str(self.path))
            self.path.chmod(0o600)
            self._socket.listen(16)
        except OSError as exc:
            self._socket.close()
            raise ControlUnavailable(
                f"The control socket {self.path} cannot be made: {exc.strerror or exc}.",
                remedy="Set XDG_RUNTIME_DIR to a folder of your own, with a short path.",
            ) from exc
        self._socket.setblocking(False)
        self._connections: dict[socket.socket, bytes] = {}
        loop.on_readable(self._socket, self._accept)

    def close(self) -> None:
        for connection in list(self._connections):
            self._hang_up(connection)
        self._loop.forget(self._socket)
        self._socket.close()
        self.path.unlink(missing_ok=True)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            connection, _ = self._socket.accept()
            connection.setblocking(False)
            self._connections[connection] = b""
            self._loop.on_readable(connection, partial(self._read, connection))

    def _read(self, connection: socket.socket) -> None:
        try:
            data = connection.recv(_LONGEST_LINE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        text = self._connections[connection] + data
        *lines, self._connections[connection] = text.split(b"\n")
        if not data or len(self._connections[connection]) > _LONGEST_LINE:
            self._hang_up(connection)
            return
        for line in lines:
            self._obey(connection, line)

    def _obey(self, connection: socket.socket, line: bytes) -> None:
        def reply(message: Reply) -> None:
            if connection in self._connections:
                connection.settimeout(_CONNECT_SECONDS)
                try:
                    connection.sendall(json.dumps(message).encode() + b"\n")
                    connection.setblocking(False)
                except OSError:
                    self._hang_up(connection)

        try:
            message = json.loads(line)
            if not isinstance(message, dict):
                raise UsageError("A command is a JSON object.", remedy='For example {"do": "status"}')
            self._command(message, reply)
        except ValueError:
            reply(refusal(UsageError("A command is a line of JSON.", remedy='For example {"do": "status"}')))
        except WebdemoError as exc:
            reply(refusal(exc))

    def _hang_up(self, connection: socket.socket) -> None:
        if self._connections.pop(connection, None) is not None:
            self._loop.forget(connection)
            connection.close()


def refusal(error: WebdemoError) -> Reply:
    return {"ok": False, "problem": error.problem, "remedy": error.remedy}


class Instance(NamedTuple):
    """A running webdemo of this user."""

    pid: int
    path: Path

    def call(self, message: dict[str, Any], *, timeout_seconds: float | None = 120.0) -> Reply:
        """Ask, and wait for the answer; raises ControlUnavailable, or UsageError if it was refused."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(timeout_seconds)
            try:
                sock.connect(str(self.path))
                sock.sendall(json.dumps(message).encode() + b"\n")
                with sock.makefile("rb") as lines:
                    answer = lines.readline()
            except OSError as exc:
                raise self._silent() from exc
        if not answer:
            raise self._silent()
        reply: Reply = json.loads(answer)
        if not reply["ok"]:
            raise UsageError(reply["problem"], remedy=reply["remedy"])
        return reply

    def _silent(self) -> ControlUnavailable:
        return ControlUnavailable(
            f"The webdemo with process {self.pid} does not answer.", remedy="See which run: webdemo ps"
        )


def instances() -> list[Instance]:
    """The webdemos of this user that run; control sockets of those that are gone are removed."""
    found = []
    for path in sorted(folder().glob("*.sock")):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(_CONNECT_SECONDS)
            try:
                sock.connect(str(path))
            except ConnectionRefusedError:
                path.unlink(missing_ok=True)
                continue
            except OSError:
                continue
        found.append(Instance(int(path.stem), path))
    return found
