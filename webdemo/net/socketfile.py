"""Unix sockets and their files.

The rule: a file is removed only if it is a socket on which nothing listens, or the file created here.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from pathlib import Path
from typing import NoReturn

from webdemo.errors import PortNotPermitted, PortUnavailable, WebdemoError
from webdemo.net import BACKLOG, doctor
from webdemo.portable import AF_UNIX

_CONNECT_SECONDS = 1.0


class UnixListener(socket.socket):
    """A listening Unix socket that removes its file when the process that created it closes it.

    Closing a copy in a forked child does not remove the file, and a file that has replaced it is kept.
    """

    _file: tuple[str, int, int, int] | None = None

    def own(self, path: str) -> None:
        """Record that this process created the file at `path` for this socket."""
        status = os.lstat(path)
        self._file = (path, status.st_dev, status.st_ino, os.getpid())

    def remove_file(self) -> None:
        """Refuse new connections; those in the accept queue can still be accepted."""
        if self._file is not None:
            path, device, inode, pid = self._file
            self._file = None
            if pid == os.getpid():
                _remove_if_same(path, device, inode)

    def close(self) -> None:
        self.remove_file()
        super().close()


def listen_on_path(path: str, *, mode: int) -> UnixListener:
    """Listen at `path` with the permissions `mode`; replaces a stale socket, but never a live one.

    Raises PortUnavailable, PortNotPermitted.
    """
    if AF_UNIX is None:
        raise PortUnavailable("There are no Unix sockets on this system.", remedy="Listen on a port.")
    sock = UnixListener(AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_stale(path)
        # By umask, because until a chmod the file would be accessible to more users than asked for.
        umask = os.umask(0o777 & ~mode)
        try:
            sock.bind(path)
        finally:
            os.umask(umask)
        sock.own(path)
        sock.listen(BACKLOG)
    except OSError as exc:
        sock.close()
        _explain(path, exc)
    except WebdemoError:
        sock.close()
        raise
    return sock


def _remove_stale(path: str) -> None:
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(status.st_mode):
        raise PortUnavailable(
            f"{path} exists and is not a socket.", remedy="Choose another path: the file is left as it is."
        )
    if _is_live(path):
        raise doctor.explain_live_socket(path)
    _remove_if_same(path, status.st_dev, status.st_ino)


def _is_live(path: str) -> bool:
    with socket.socket(AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(_CONNECT_SECONDS)
        try:
            client.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except PermissionError:
            raise  # it belongs to another user, and may be live
        except OSError:
            return True  # its backlog is full, or it is a datagram socket: it is in use
    return True


def _remove_if_same(path: str, device: int, inode: int) -> None:
    try:
        status = os.lstat(path)
        if (status.st_dev, status.st_ino) == (device, inode):
            Path(path).unlink()
    except FileNotFoundError:
        pass


def _explain(path: str, exc: OSError) -> NoReturn:
    folder = Path(path).parent
    if exc.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        raise PortNotPermitted(
            f"This user may not make the socket {path}.",
            remedy=f"Choose a folder of your own, or let this user write to {folder}.",
        ) from exc
    if exc.errno in (errno.ENOENT, errno.ENOTDIR):
        raise PortUnavailable(
            f"There is no folder {folder} for the socket.", remedy=f"Make it: mkdir -p {folder}"
        ) from exc
    if exc.errno in (errno.EMFILE, errno.ENFILE):
        raise doctor.explain_too_many_files(path) from exc
    raise PortUnavailable(
        f"The socket {path} cannot be made: {exc.strerror or exc}.", remedy="Choose another path."
    ) from exc
