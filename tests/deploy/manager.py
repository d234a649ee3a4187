"""A service manager in small: it holds listening sockets, and starts webdemo with them as systemd does."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SECONDS = 60.0

# It moves the sockets to descriptors 3, 4 ... and execs, so that its pid stays the one in LISTEN_PID.
_EXEC = """
import os, sys
given = [int(number) for number in sys.argv[1].split(",")]
for offset, number in enumerate(given):
    os.dup2(number, 100 + offset)
for offset in range(len(given)):
    os.dup2(100 + offset, 3 + offset, inheritable=True)
    os.close(100 + offset)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.executable, [sys.executable, "-m", "webdemo", *sys.argv[2:]])
"""


class Manager:
    """Starts, restarts and stops one webdemo on sockets that it keeps."""

    def __init__(self, folder: Path, *arguments: str, names: str = "", sockets: list[socket.socket]) -> None:
        self.sockets = sockets
        self.log_file = folder / "manager.log"
        self._folder = folder
        self._arguments = arguments
        self._names = names
        self._notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notices.bind(str(folder / "notify"))
        self._notices.settimeout(SECONDS)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        host, port = self.sockets[0].getsockname()[:2]
        return f"http://{host}:{port}"

    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def start(self, *, wait: bool = True) -> None:
        numbers = [sock.fileno() for sock in self.sockets]
        given = {"LISTEN_FDS": str(len(numbers)), "NOTIFY_SOCKET": str(self._folder / "notify")}
        if self._names:
            given["LISTEN_FDNAMES"] = self._names
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _EXEC, ",".join(map(str, numbers)), *self._arguments],
                cwd=self._folder,
                pass_fds=numbers,
                env=os.environ | given,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        if wait:
            self.wait_for(b"READY=1")

    def wait_for(self, notice: bytes) -> None:
        while not self._notices.recv(4096).startswith(notice):
            pass

    def stop(self) -> int:
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(SECONDS)

    def restart(self) -> None:
        assert self.stop() == 0, self.log()
        self.start()

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.stop()
        self._notices.close()
        for sock in self.sockets:
            sock.close()
        if self.log_file.exists():
            print(self.log())


@contextmanager
def managing(
    folder: Path, *arguments: str, names: str = "", sockets: list[socket.socket]
) -> Iterator[Manager]:
    """A manager of these sockets, which it closes at the end."""
    manager = Manager(folder, *arguments, names=names, sockets=sockets)
    try:
        yield manager
    finally:
        manager.close()


def queue_length(sock: socket.socket) -> int:
    """The longest accept queue that the system allows on a listening socket (tcpi_sacked of tcp_info)."""
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 32)
    return int.from_bytes(info[28:32], sys.byteorder)
