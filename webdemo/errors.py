"""Every error a user can meet: the problem, its remedy, and the exit code.

WebdemoError            1   the app cannot be loaded, or what was asked for cannot be done
  UsageError            2   the command line, a bind text or a setting is invalid
    BindTextError           a bind text or a list of ports is invalid
    UrlRefused              a URL to trace is invalid or ambiguous
    ServerUnavailable       a server is not installed, or cannot be loaded
  AppImportFailed       1   the app's module exists, but importing it failed
  SystemRefusal         1   the system refused to start a process or to carry out a command
  ControlUnavailable    1   no running webdemo can be reached
  TraceFailed           1   the peer did not answer as the URL's scheme requires
    EndpointUnreachable 69   the connection could not be established
    EndpointNotAllowed  77   the address may not be contacted from here
  PortUnavailable      69   a port, a Unix socket or an inherited descriptor cannot be used
    PortInUse               the port is already in use by another program
  PortNotPermitted     77   this user may not bind the port, or stop the program that uses it

A class exists for what is handled differently; messages are written where the errors are raised.
Problem and remedy are both required, one line each; `cli` prints them and exits with the code.
Nothing else in webdemo exits, and no traceback of webdemo's own is printed for any of these errors.
"""

from __future__ import annotations

import errno
from typing import ClassVar


class WebdemoError(Exception):
    """A failure with its cause and its remedy."""

    exit_code: ClassVar[int] = 1

    def __init__(self, problem: str, *, remedy: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.problem}\n{self.remedy}"


class UsageError(WebdemoError):
    exit_code = 2


class BindTextError(UsageError):
    pass


class UrlRefused(UsageError):
    pass


class ServerUnavailable(UsageError):
    pass


class AppImportFailed(WebdemoError):
    """Carries the traceback of the user's own code, which is printed before the problem and the remedy."""

    def __init__(self, problem: str, *, remedy: str, traceback: str) -> None:
        super().__init__(problem, remedy=remedy)
        self.traceback = traceback


class SystemRefusal(WebdemoError):
    """`what` begins the sentence: "No process can be started"."""

    def __init__(self, what: str, exc: OSError) -> None:
        super().__init__(
            f"{what}: {exc.strerror or exc}.",
            remedy=_REMEDIES.get(exc.errno or 0, "Fix the cause, and try again."),
        )


_REMEDIES = {
    errno.EMFILE: "Raise the limit of open files (ulimit -n), and try again.",
    errno.ENFILE: "Close programs, or raise the system's limit of open files, and try again.",
    errno.EAGAIN: "Raise the limit of processes (ulimit -u), or end some, and try again.",
    errno.ENOMEM: "Free some memory, and try again.",
    errno.ENOENT: "Python was moved or removed (is its environment being rebuilt?); try again.",
    errno.ETOOMANYREFS: "Raise the limit of open files (ulimit -n), and try again.",
}


class ControlUnavailable(WebdemoError):
    pass


class TraceFailed(WebdemoError):
    """`kind` is the cause in machine-readable form: refused, timed out, speaks TLS ..."""

    def __init__(self, problem: str, *, remedy: str, kind: str) -> None:
        super().__init__(problem, remedy=remedy)
        self.kind = kind


class EndpointUnreachable(TraceFailed):
    exit_code = 69


class EndpointNotAllowed(TraceFailed):
    exit_code = 77


class PortUnavailable(WebdemoError):
    exit_code = 69


class PortInUse(PortUnavailable):
    """`pid`: the holder, if the user may stop it; `free`: a port that was free a moment ago, for `option`."""

    def __init__(self, problem: str, *, port: int, pid: int | None, free: int | None, option: str) -> None:
        remedies = [f"stop it (webdemo port {port} --stop)"] if pid is not None else []
        if free is not None:
            remedies.append(f"use {free}, which is free: {option}")
        text = ", or ".join(remedies) or "choose another port"
        super().__init__(problem, remedy=text[0].upper() + text[1:])
        self.port = port
        self.pid = pid
        self.free = free


class PortNotPermitted(WebdemoError):
    exit_code = 77
