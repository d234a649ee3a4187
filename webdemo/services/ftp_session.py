"""The FTP sessions of webdemo.services.ftp, on pyftpdlib. Runs in a server process.

Imported only to serve, because pyftpdlib comes with an extra.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.exceptions import AuthenticationFailed
from pyftpdlib.filesystems import AbstractedFS
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.ioloop import IOLoop
from pyftpdlib.servers import FTPServer

from webdemo.servers import LINGER_SECONDS, Job
from webdemo.servers._draining import SIGNALS
from webdemo.text import format_duration, log_field, plain_field, terminal_line
from webdemo.web.static.tree import Folder, Node, Tree, is_served, open_file

# Above Linux's default ephemeral range (32768-60999), so that no outgoing connection occupies one of them.
_PASSIVE_PORTS = range(61000, 61200)
_SECONDS_BETWEEN_LOOKS = 0.05
_READABLE = re.compile(r"[^\udc80-\udcff]+")
_NOT_FOR_READERS = {"STOU", "PORT", "EPRT"}  # the other write commands fail for lack of permission


def serve_folder(job: Job, root: Path) -> None:
    """Serve until `job.stopping`, then until the last transfer has ended."""
    users = _Anonymous()
    users.add_anonymous(str(root))

    class Session(_Session):
        authorizer = users
        timeout = job.options.timeout

    loop = IOLoop()
    servers = [_Server(listener, Session, loop, job, root) for listener in job.sockets]
    with job.stopping.signals() as signals:
        loop.register(signals.fileno(), _Signals(signals), loop.READ)
        job.ready()
        next_task_seconds = None
        while not job.stopping.is_set():
            next_task_seconds = loop.loop(next_task_seconds, blocking=False)
        loop.unregister(signals.fileno())
    for server in servers:
        server.close()
    hang_up_at = time.monotonic() + LINGER_SECONDS
    while sessions := [session for server in servers for session in server.sessions]:
        if time.monotonic() >= hang_up_at:
            for session in [session for session in sessions if not session.is_transferring()]:
                session.dismiss()
        loop.loop(_SECONDS_BETWEEN_LOOKS, blocking=False)
    loop.close()


class _Server(FTPServer):  # type: ignore[misc]  # pyftpdlib has no types
    """A listening socket, with its open sessions."""

    def __init__(self, listener: Any, handler: type[_Session], loop: IOLoop, job: Job, root: Path) -> None:
        super().__init__(listener, handler, ioloop=loop)
        self.max_cons = job.options.max_connections
        self.sessions: set[_Session] = set()
        self.job = job
        self.root = root


class _Anonymous(DummyAuthorizer):  # type: ignore[misc]
    def validate_authentication(self, username: str, password: str, handler: Any) -> None:
        if username != "anonymous":
            raise AuthenticationFailed("Log in as anonymous.")


class _Signals:
    """Wakes pyftpdlib's loop at each signal, so that it looks whether it is one to stop."""

    def __init__(self, signals: socket.socket) -> None:
        self._signals = signals

    def readable(self) -> bool:
        return True

    def handle_read_event(self) -> None:
        self._signals.recv(SIGNALS)


class _Folder(AbstractedFS):  # type: ignore[misc]
    """The file system as pyftpdlib sees it; paths are absolute file system paths, as str.

    Every access goes through Tree, which finds what may be served and nothing else.
    """

    root: str
    cwd: str

    def validpath(self, path: str) -> bool:
        return True  # pyftpdlib asks whether the path is inside the root; Tree decides that at each access

    def open(self, filename: str, mode: str) -> io.BufferedReader:
        if mode != "rb":
            raise PermissionError(errno.EROFS, os.strerror(errno.EROFS))
        with self._enter(filename) as node:
            if not node.is_file:
                raise _not_found()
            descriptor = open_file(node.name, folder_fd=node.folder_fd)
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):  # it was replaced just now
                os.close(descriptor)
                raise _not_found()
            return open(filename, "rb", opener=lambda *_: descriptor)

    def chdir(self, path: str) -> None:
        if not self.isdir(path):
            raise _not_found()
        inner = os.path.relpath(path, self.root)
        self.cwd = "/" if inner == "." else f"/{inner}"

    def listdir(self, path: str) -> list[str]:
        with (
            self._enter(path) as node,
            contextlib.closing(Folder.open(node)) as folder,
            folder.scan() as found,
        ):
            names = [entry.name for entry in found]
        return [name for name in names if self.isfile(inner := os.path.join(path, name)) or self.isdir(inner)]  # noqa: PTH118

    def basename_of(self, path: str) -> str:
        """The last component of an existing path; raises OSError."""
        self.stat(path)
        return os.path.basename(path)  # noqa: PTH119

    def stat(self, path: str) -> os.stat_result:
        with self._enter(path) as node:
            return node.status

    lstat = stat  # a symlink that may be served looks like its target

    def isfile(self, path: str) -> bool:
        with contextlib.suppress(OSError), self._enter(path) as node:
            return node.is_file
        return False

    def isdir(self, path: str) -> bool:
        with contextlib.suppress(OSError), self._enter(path) as node:
            return node.is_folder
        return False

    def getsize(self, path: str) -> int:
        return self.stat(path).st_size

    def getmtime(self, path: str) -> float:
        return self.stat(path).st_mtime

    def realpath(self, path: str) -> str:
        return path

    def format_list(self, *arguments: Any, **more: Any) -> Iterator[bytes]:
        return map(_harmless_entry, super().format_list(*arguments, **more))

    def format_mlsx(self, *arguments: Any, **more: Any) -> Iterator[bytes]:
        return map(_harmless_entry, super().format_mlsx(*arguments, **more))

    @contextlib.contextmanager
    def _enter(self, path: str) -> Iterator[Node]:
        inner = os.fsencode(os.path.relpath(path, self.root))
        names = [] if inner == b"." else inner.split(b"/")
        if b"\0" in inner or not all(is_served(name, at_root=not i) for i, name in enumerate(names)):
            raise _not_found()
        try:
            with Tree(self.root).enter(names) as node:
                if not node.is_file and not node.is_folder:
                    raise _not_found()
                yield node
        except OSError as exc:
            raise exc if exc.errno else _not_found() from exc  # pyftpdlib replies with the errno's text


class _Session(FTPHandler):  # type: ignore[misc]
    abstracted_fs = _Folder
    proto_cmds = {name: c for name, c in FTPHandler.proto_cmds.items() if name not in _NOT_FOR_READERS}  # noqa: RUF012
    banner = "webdemo: files to read. Log in as anonymous."
    passive_ports = _PASSIVE_PORTS
    unicode_errors = "surrogateescape"  # file names are bytes: any name can be requested
    is_announced = False
    is_dismissed = False

    def on_connect(self) -> None:
        self.server.sessions.add(self)

    def on_disconnect(self) -> None:
        self.server.sessions.discard(self)

    def respond(self, resp: str, **more: Any) -> None:
        """Track whether a transfer is in progress (1yz: begun, 226, 4yz: ended; RFC 959 section 4.2)."""
        if resp[0] in "14" or resp.startswith("226"):
            self.is_announced = resp[0] == "1"
        super().respond(resp, **more)

    def push(self, data: str | bytes) -> None:
        """Send a reply, with unsafe characters replaced: it may quote the client or a file name."""
        lines = data.split("\r\n") if isinstance(data, str) else []
        super().push("\r\n".join(map(_harmless, lines)) or data)

    def log(self, msg: str, **more: Any) -> None:
        super().log(terminal_line(msg), **more)

    def ftp_NLST(self, path: str) -> str | None:  # noqa: N802
        try:
            listed = self.fs.listdir(path) if self.fs.isdir(path) else [self.fs.basename_of(path)]
        except OSError as exc:
            self.respond(f"550 {exc.strerror}.")
            return None
        names = "".join(f"{_harmless(name)}\r\n" for name in sorted(listed))
        self.push_dtp_data(names.encode(self.encoding, self.unicode_errors), cmd="NLST")
        return path

    def is_transferring(self) -> bool:
        return self.is_announced or self.data_channel is not None

    def dismiss(self) -> None:
        if not self.is_dismissed:
            self.is_dismissed = True
            self.respond("421 The server is shutting down.")
            self.close_when_done()

    def ftp_PASV(self, line: str) -> None:  # noqa: N802
        if ":" in self.socket.getsockname()[0]:
            self.respond("522 PASV is for IPv4: use EPSV.")
        else:
            super().ftp_PASV(line)

    def log_transfer(
        self,
        cmd: str,
        filename: str,
        receive: bool,
        completed: bool,
        elapsed: float,
        bytes: int,  # noqa: A002  called by name
    ) -> None:
        path = log_field("/" + os.path.relpath(filename, self.server.root))
        ending = "" if completed else ", not finished"
        self.server.job.log(
            f"{self.remote_ip} {cmd} {path}, {bytes} bytes, {format_duration(elapsed)}{ending}"
        )


def _harmless(text: str) -> str:
    """The text as a plain field. Bytes that are not UTF-8 stay, so that such names can be requested."""
    return _READABLE.sub(lambda run: plain_field(run[0]), text)


def _harmless_entry(line: bytes) -> bytes:
    """The same for a listing's line, which ends with CR LF; its bytes need not be UTF-8."""
    entry = line.removesuffix(b"\r\n").decode("utf-8", "surrogateescape")
    return _harmless(entry).encode("utf-8", "surrogateescape") + b"\r\n"


def _not_found() -> FileNotFoundError:
    return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
