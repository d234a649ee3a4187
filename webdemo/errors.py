"""Every error a user can meet: what is wrong, what to do about it, and the exit code.

WebdemoError
  UsageError            2   the command line, a bind text or a setting cannot be understood
  AppUnavailable        1   the app cannot be loaded, or every server gave up
  PortUnavailable      69   a port (or socket file) cannot be had
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


class AppUnavailable(WebdemoError):
    exit_code = 1


class PortUnavailable(WebdemoError):
    exit_code = 69


class PortNotPermitted(WebdemoError):
    exit_code = 77
