"""Runs a module of webdemo without what Windows lacks: `python -m tests.as_on_windows webdemo --port 0`.

Modules are made unimportable, and attributes, flags and signals are removed. Other libraries, which have
code of their own for Windows, are imported before.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import runpy
import select
import signal
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import time

import psutil

assert asyncio
assert multiprocessing
assert psutil
assert socketserver
assert subprocess
assert tempfile
assert threading

MODULES = "fcntl grp posix pty pwd readline resource syslog termios tty _posixsubprocess"
ATTRIBUTES = {
    os: (
        "O_CLOEXEC O_DIRECTORY O_NOCTTY O_NOFOLLOW O_NONBLOCK O_PATH O_SYNC WNOHANG chown ctermid confstr "
        "fchdir fchmod fchown fork forkpty fstatvfs getegid geteuid getgid getgroups getloadavg getpgid "
        "getpgrp getpriority getuid killpg lchown memfd_create mkfifo nice openpty pidfd_open pipe2 "
        "posix_fadvise posix_spawn pread preadv pwrite register_at_fork sched_getaffinity sched_setaffinity "
        "sched_yield sendfile setpgid setpriority setsid statvfs sysconf ttyname uname wait "
        "wait3 wait4 waitid"
    ),
    select: "PIPE_BUF POLLERR POLLHUP POLLIN POLLOUT epoll kqueue poll",
    signal: (
        "SIGALRM SIGBUS SIGCHLD SIGCONT SIGHUP SIGIO SIGKILL SIGPIPE SIGQUIT SIGSTOP SIGSYS SIGTRAP SIGTSTP "
        "SIGTTIN SIGTTOU SIGURG SIGUSR1 SIGUSR2 SIGWINCH SIGXCPU SIG_BLOCK SIG_SETMASK SIG_UNBLOCK alarm "
        "getitimer pause pthread_kill pthread_sigmask setitimer siginterrupt sigpending sigtimedwait sigwait "
        "sigwaitinfo"
    ),
    socket: (
        "AF_NETLINK AF_PACKET AF_UNIX CMSG_LEN CMSG_SPACE MSG_DONTWAIT MSG_NOSIGNAL SCM_RIGHTS SO_PEERCRED "
        "SO_REUSEPORT TCP_INFO recv_fds send_fds"
    ),
    time: "tzset",
}


def pair_of_sockets() -> tuple[socket.socket, socket.socket]:
    """What socket.socketpair() does on Windows."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        return listener.accept()[0], client


def remove() -> None:
    for name in MODULES.split():
        sys.modules[name] = None  # type: ignore[assignment]
    for module, names in ATTRIBUTES.items():
        for name in names.split():
            if hasattr(module, name):
                delattr(module, name)
    os.supports_dir_fd.clear()
    os.supports_fd.clear()
    vars(socket)["socketpair"] = pair_of_sockets


if __name__ == "__main__":
    remove()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
