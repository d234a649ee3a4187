"""The listening sockets of this machine: address, processes, users, start times.

The rule: report only what the system shows, and say so where it hides something. On Linux the source is
/proc, which names a socket's owner even if the process is hidden; on other systems it is psutil.
"""

from __future__ import annotations

import os
import re
import socket
import struct
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from webdemo.net.bindtext import authority
from webdemo.portable import is_root
from webdemo.syntax import parse_address
from webdemo.text import format_duration, terminal_line

if TYPE_CHECKING:
    import psutil

_ESTABLISHED = "01"
_LISTEN = "0A"
_ACCEPTS = 0x10000  # __SO_ACCEPTON in the flags of /proc/net/unix
_COMMAND_LENGTH = 80
# A path may contain anything, newlines included, so lines that do not match are skipped.
_UNIX_LINE = re.compile(
    r"[0-9a-f]+: [0-9A-F]{8} [0-9A-F]{8} (?P<flags>[0-9A-F]{8}) "
    r"[0-9A-F]{4} [0-9A-F]{2} +(?P<inode>\d+) (?P<path>.+)"
)


@dataclass(frozen=True, slots=True)
class Process:
    """A process that has a listening socket open."""

    pid: int
    parent: int
    command: str
    user: str
    started: float
    """Seconds since the epoch."""
    is_mine: bool
    """Whether it runs as the current user."""
    is_webdemo: bool

    def describe(self, *, now: float | None = None) -> str:
        """The process for a message: `python3 app.py (pid 12, yours, started 3 h ago)`."""
        age = format_duration((time.time() if now is None else now) - self.started)
        if self.is_webdemo:
            who = "you" if self.is_mine else self.user
            return f"a webdemo that {who} started {age} ago (pid {self.pid})"
        whose = "yours" if self.is_mine else f"of user {self.user}"
        return f"{self.command} (pid {self.pid}, {whose}, started {age} ago)"


@dataclass(frozen=True, slots=True)
class Listening:
    """A listening socket and the processes that have it open, oldest first."""

    family: str
    """ipv4, ipv6 or unix."""
    host: str
    port: int
    """0 for a Unix socket."""
    path: str
    processes: tuple[Process, ...]
    user: str
    """The owner, known even if no process is visible; "" if unknown."""

    @property
    def place(self) -> str:
        if self.path:
            return self.path
        return authority(self.host, self.port)

    @property
    def is_wildcard(self) -> bool:
        return self.host in ("0.0.0.0", "::")

    def describe(self) -> str:
        """The process that holds the socket, for a message; says so if it is hidden."""
        if self.processes:
            return self.processes[0].describe()
        if self.user:
            return f"a program of user {self.user} ({hidden_hint()})"
        return f"a program that is not visible ({hidden_hint()})"


@dataclass(frozen=True, slots=True)
class _Socket:
    family: str
    host: str
    port: int
    path: str
    inode: int
    uid: int | None
    peer: tuple[str, int] = ("", 0)


def tcp_listeners(port: int | None = None) -> list[Listening]:
    """The listening TCP sockets of this machine (of one port, if given), sorted by port."""
    if sys.platform != "linux":
        return _ask_psutil(port)
    sockets = [found for found in _read_tcp(_LISTEN) if port is None or found.port == port]
    return _with_processes(sockets)


def connected_processes(port: int) -> tuple[Process, ...]:
    """The processes with a connection from this local port, oldest first: it can block listening there.

    Linux only; () on other systems.
    """
    if sys.platform != "linux":
        return ()
    sockets = [found for found in _read_tcp(_ESTABLISHED) if found.port == port]
    return _oldest_first(process for found in _with_processes(sockets) for process in found.processes)


def connection_holder(near: tuple[str, int], far: tuple[str, int]) -> Process | None:
    """A process with the connection from local `near` to remote `far` (host, port), or None. Linux only."""
    if sys.platform != "linux":
        return None
    sockets = [one for one in _read_tcp(_ESTABLISHED) if (one.host, one.port) == near and one.peer == far]
    processes = [process for found in _with_processes(sockets) for process in found.processes]
    return processes[0] if processes else None


def unix_listeners() -> list[Listening]:
    """The listening Unix sockets that have a path. Linux only; [] on other systems."""
    if sys.platform != "linux":
        return []
    return _with_processes(list(_read_unix()))


def hidden_hint() -> str:
    """Why a process is hidden, and what would show it."""
    if is_root():
        return "it is not visible from here, perhaps in another container"
    return "only its owner or root can see which"


def inspect_process(pid: int) -> Process | None:
    """The process, or None if it has ended or is hidden."""
    import psutil

    try:
        process = psutil.Process(pid)
        with process.oneshot():
            words = process.cmdline() or [process.name()]
            user, is_mine = _owner(process)
            return Process(
                pid=pid,
                parent=process.ppid(),
                command=_shown(words),
                user=user,
                started=process.create_time(),
                is_mine=is_mine,
                is_webdemo=_is_webdemo(words),
            )
    except psutil.Error:
        return None


def _read_tcp(state: str) -> Iterator[_Socket]:
    for name, family in (("tcp", "ipv4"), ("tcp6", "ipv6")):
        for line in _lines(Path("/proc/net") / name):
            fields = line.split()
            if len(fields) < 10 or fields[3] != state:
                continue
            host, port = _place(fields[1])
            yield _Socket(
                family=family if ":" in host else "ipv4",
                host=host,
                port=port,
                path="",
                inode=int(fields[9]),
                uid=int(fields[7]),
                peer=_place(fields[2]),
            )


def _read_unix() -> Iterator[_Socket]:
    for line in _lines(Path("/proc/net/unix")):
        entry = _UNIX_LINE.match(line)
        if entry and int(entry["flags"], 16) & _ACCEPTS and not entry["path"].startswith("@"):
            yield _Socket("unix", "", 0, entry["path"], int(entry["inode"]), None)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").split("\n")[1:]
    except OSError:
        return []


def _place(text: str) -> tuple[str, int]:
    """An address and a port from /proc/net; an IPv4-mapped IPv6 address becomes IPv4."""
    host, _, port = text.partition(":")
    # 32-bit words in the machine's byte order.
    words = [int(host[start : start + 8], 16) for start in range(0, len(host), 8)]
    return str(parse_address(struct.pack(f"={len(words)}I", *words))), int(port, 16)


def _with_processes(sockets: list[_Socket]) -> list[Listening]:
    owners = _pids_of({found.inode for found in sockets})
    known: dict[int, Process | None] = {}
    listening = []
    for found in sockets:
        for pid in owners.get(found.inode, ()):
            if pid not in known:
                known[pid] = inspect_process(pid)
        processes = _oldest_first(known[pid] for pid in owners.get(found.inode, ()))
        user = _user(found.uid) if found.uid is not None else processes[0].user if processes else ""
        listening.append(Listening(found.family, found.host, found.port, found.path, processes, user))
    return sorted(listening, key=lambda one: (one.port, one.path, one.family, one.host))


def _pids_of(inodes: set[int]) -> dict[int, list[int]]:
    """The processes that have each socket open, as far as they are visible to this user."""
    wanted = {f"socket:[{inode}]": inode for inode in inodes}
    found: dict[int, list[int]] = {}
    for name in os.listdir("/proc") if wanted else ():  # noqa: PTH208  pathlib would take twice as long
        if not name.isdigit():
            continue
        folder = f"/proc/{name}/fd"
        try:
            descriptors = os.listdir(folder)  # noqa: PTH208  the same
        except OSError:
            continue  # it has ended, or belongs to another user
        for descriptor in descriptors:
            try:
                inode = wanted.get(os.readlink(f"{folder}/{descriptor}"))  # noqa: PTH115  the same
            except OSError:
                continue
            if inode is not None and int(name) not in found.setdefault(inode, []):
                found[inode].append(int(name))
    return found


def _ask_psutil(port: int | None) -> list[Listening]:
    import psutil

    found: list[tuple[int | None, Any]] = []
    try:
        found.extend((connection.pid, connection) for connection in psutil.net_connections(kind="tcp"))
    except psutil.AccessDenied:  # macOS shows users only their own processes
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                found.extend((process.pid, connection) for connection in process.net_connections(kind="tcp"))
    listening = []
    for pid, connection in found:
        if connection.status != psutil.CONN_LISTEN or port not in (None, connection.laddr.port):
            continue
        family = "ipv6" if connection.family == socket.AF_INET6 else "ipv4"
        processes = _oldest_first([inspect_process(pid)] if pid else [])
        user = processes[0].user if processes else ""
        listening.append(Listening(family, connection.laddr.ip, connection.laddr.port, "", processes, user))
    return sorted(listening, key=lambda one: (one.port, one.family, one.host))


def _oldest_first(processes: Iterable[Process | None]) -> tuple[Process, ...]:
    seen = [process for process in processes if process is not None]
    return tuple(sorted(seen, key=lambda process: (process.started, process.pid)))


def _owner(process: psutil.Process) -> tuple[str, bool]:
    """The user of the process, and whether this process is the same user's."""
    if hasattr(os, "geteuid"):
        uid = process.uids().effective
        return _user(uid), uid == os.geteuid()
    name = process.username()  # Windows
    return name, name == type(process)().username()


def _user(uid: int) -> str:
    try:
        import pwd

        return pwd.getpwuid(uid).pw_name
    except (ImportError, KeyError):
        return str(uid)


def _shown(words: list[str]) -> str:
    """A command line for a message: without the program's folder, cut."""
    text = " ".join([Path(words[0]).name or words[0], *words[1:]]).strip()
    return terminal_line(text, limit=_COMMAND_LENGTH)


def _is_webdemo(words: list[str]) -> bool:
    """Whether it is `python -m webdemo[.module]`, or the installed command, run directly or by Python."""
    modules = [module for flag, module in pairwise(words) if flag == "-m"]
    return any(module == "webdemo" or module.startswith("webdemo.") for module in modules) or "webdemo" in (
        Path(word).name for word in words[:2]
    )
