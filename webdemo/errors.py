"""Every error a user can meet: what is wrong, what to do about it, and the exit code.

WebdemoError
  UsageError            2   the command line, a bind text or a setting cannot be understood
    BindTextError           a bind text, or a list of ports, that has no meaning
    OverlappingBinds        two binds ask for the same place
  AppUnavailable        1   the app cannot be loaded, or every server gave up
  PortUnavailable      69   a port (or socket file) cannot be had
    PortInUse               another program listens there
    AddressUnavailable      the address is not one of this machine
    NameUnknown             the host's name leads to no address
    SocketFileUnavailable   a Unix socket cannot be made at its path
    DescriptorUnusable      the inherited descriptor is not a listening stream socket
    TooManyFiles            the limit of open files leaves no room for a socket
  PortNotPermitted     77   the system does not let this user have the port

Both halves are required and each is one line; `cli` prints them and exits with the code.
Nothing else in webdemo exits, and nothing prints a traceback for one of these.
"""

from __future__ import annotations

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


class OverlappingBinds(UsageError):
    pass


class AppUnavailable(WebdemoError):
    exit_code = 1


class PortUnavailable(WebdemoError):
    exit_code = 69


class PortInUse(PortUnavailable):
    """`pid` is the holder's, when it can be seen; `free` is a port that was free a moment ago."""

    def __init__(self, problem: str, *, remedy: str, port: int, pid: int | None, free: int | None) -> None:
        super().__init__(problem, remedy=remedy)
        self.port = port
        self.pid = pid
        self.free = free


class AddressUnavailable(PortUnavailable):
    pass


class NameUnknown(PortUnavailable):
    pass


class SocketFileUnavailable(PortUnavailable):
    pass


class DescriptorUnusable(PortUnavailable):
    pass


class TooManyFiles(PortUnavailable):
    pass


class PortNotPermitted(WebdemoError):
    exit_code = 77
