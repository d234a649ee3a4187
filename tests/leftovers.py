"""Finds what this process leaves behind: child processes, listening sockets, files in shared folders.

tests/conftest.py compares this before and after each test, and fails a test that leaves anything. On Linux no
process escapes: this one adopts its orphaned descendants (PR_SET_CHILD_SUBREAPER), whatever their session or
process group.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import stat
import sys
import time
from collections.abc import Set as AbstractSet
from functools import cache
from pathlib import Path
from typing import NamedTuple, TypeAlias

import psutil

# What disappears on its own is not left behind; on a busy machine that may take long.
SETTLE_SECONDS = 30.0
KILL_SECONDS = 30.0

ROOT = Path(__file__).resolve().parents[1]
_WATCHED_IN_ROOT = (ROOT, ROOT / "static", ROOT / "templates")
_PR_SET_CHILD_SUBREAPER = 36


class ListeningSocket(NamedTuple):
    descriptor: int
    inode: int
    address: str


Holding: TypeAlias = "psutil.Process | ListeningSocket | Path"


def adopt_orphans() -> None:
    """Become the parent of all orphaned descendants: prctl(2), PR_SET_CHILD_SUBREAPER."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def holdings(*folders: Path) -> frozenset[Holding]:
    """The children, the listening sockets, and the files in these folders and the repository."""
    return frozenset([*_children(), *_listening_sockets(), *_files(folders)])


def wait_until_gone(before: AbstractSet[Holding], *folders: Path) -> frozenset[Holding]:
    """The holdings that are not in `before`, after SETTLE_SECONDS to disappear."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while left := holdings(*folders) - before:
        _reap(left)
        if time.monotonic() > deadline:
            break
        time.sleep(0.01)
    return left


def end_children(but: AbstractSet[Holding] = frozenset()) -> None:
    """Kill every child except `but`, with its descendants, until none is left."""
    deadline = time.monotonic() + KILL_SECONDS
    while left := _children() - but:
        assert time.monotonic() < deadline, f"these cannot be killed: {left}"
        for child in left:
            kill_tree(child)
        _reap(left)
        time.sleep(0.01)


def kill_tree(process: psutil.Process) -> None:
    """Kill a process and its descendants. Processes forked meanwhile are adopted by this one."""
    try:
        below = process.children(recursive=True)
    except psutil.NoSuchProcess:
        return
    for one in (process, *below):
        try:
            one.kill()
        except psutil.NoSuchProcess:
            continue


def describe(holding: Holding) -> str:
    if isinstance(holding, Path):
        return f"the file {holding}"
    if isinstance(holding, ListeningSocket):
        return f"a socket that listens on {holding.address}"
    try:
        return f"the process {holding.pid}: {' '.join(holding.cmdline())}"
    except psutil.NoSuchProcess:
        return f"the process {holding.pid}"


def _children() -> set[psutil.Process]:
    if hasattr(os, "waitid"):  # a fast check that there are none
        try:
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return set()
    return set(psutil.Process().children())


def _reap(holdings: AbstractSet[Holding]) -> None:
    """Reap the children that have exited: nobody else waits for orphans."""
    for process in holdings:
        if isinstance(process, psutil.Process) and hasattr(os, "WNOHANG"):
            with contextlib.suppress(ChildProcessError):
                os.waitpid(process.pid, os.WNOHANG)


def _listening_sockets() -> set[ListeningSocket]:
    found: set[ListeningSocket] = set()
    if sys.platform == "win32":
        return found
    for name in os.listdir("/dev/fd"):  # noqa: PTH208
        descriptor = int(name)
        try:
            facts = os.fstat(descriptor)
            if not stat.S_ISSOCK(facts.st_mode):
                continue
            with socket.socket(fileno=os.dup(descriptor)) as copy:
                if copy.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    found.add(ListeningSocket(descriptor, facts.st_ino, str(copy.getsockname())))
        except OSError:
            continue  # closed meanwhile: the one that lists /dev/fd, for one
    return found


def _files(folders: tuple[Path, ...]) -> set[Path]:
    """The files in these folders and the repository, without dotfiles, which are caches of tools."""
    watched = (*folders, *_WATCHED_IN_ROOT)
    names = {(folder, name) for folder in watched for name in os.listdir(folder)}  # noqa: PTH208  twice as fast
    return {_path(folder, name) for folder, name in names if not name.startswith(".")}


@cache
def _path(folder: Path, name: str) -> Path:
    return folder / name
