"""Every error a user can meet: the problem, its remedy, and the exit code.

WebdemoError
  UsageError            2   the command line, a bind text or a setting is invalid
    BindTextError           a bind text or a list of ports is invalid
    OverlappingBinds        two binds ask for the same address
    UnknownServer           no server has this name
    UnknownOption           the server has no such option
    ServerMissing           the server's package is not installed
    ServerBroken            the server's plug-in, or a dependency of it, cannot be loaded
      OtherContract           the plug-in was made for a different version of the plug-in contract
    Unsupported             the server does not support what the bind asks for
    FolderMissing           a folder to serve does not exist, is not a folder, or is not readable
    HeaderRefused           a header for static files is invalid or reserved
    UrlRefused              a URL to trace is invalid or ambiguous
    ExtraMissing            an optional dependency is not installed
    SpoolUnavailable        the folder for caught mail cannot be used
    AcceptedUnreadable      a file of accepted differences cannot be read or parsed
    CertificateUnusable     a TLS certificate cannot be served
      CertificateMissing      the certificate or its key does not exist
      CertificateUnreadable   the certificate or its key is not readable
      CertificateMalformed    the certificate or its key is not in a form that servers accept
      CertificateExpired      the certificate has expired
      CertificateNotYetValid  the certificate is not valid yet
      KeyMismatch             the key belongs to another certificate
      KeyEncrypted            the key is protected by a password
  LoadImpossible        1   the load for a benchmark cannot be generated
  CompressionFailed     1   a file cannot be read, or its compressed sibling cannot be written
  AppUnavailable        1   the app cannot be loaded, or every server gave up
    ModuleMissing           no module has this name
    AppImportFailed         the module exists, but importing it failed
    AttributeMissing        the module has no such attribute
    SystemRefusal           the system refused to start a process or to carry out a command
    NotCallable             the object found is not a WSGI app
  ControlUnavailable    1   no running webdemo can be reached
  TraceFailed           1   the peer did not answer as the URL's scheme requires
    EndpointUnreachable  69  the connection could not be established
    EndpointNotAllowed   77  the address may not be contacted from here
  PortUnavailable      69   a port or socket file cannot be used
    PortInUse               the port is already in use by another program
    AddressUnavailable      the address does not belong to this machine
    NameUnknown             the host name cannot be resolved
    SocketFileUnavailable   a Unix socket cannot be created at the path
    DescriptorUnusable      the inherited descriptor is not a listening stream socket
    TooManyFiles            the limit of open files is reached
    NothingListens          nothing listens on a port that should be stopped
  PortNotPermitted     77   this user may not bind the port
    HolderNotYours          the program that uses the port belongs to another user

Problem and remedy are both required, one line each; `cli` prints them and exits with the code.
Nothing else in webdemo exits, and no traceback of webdemo's own is printed for any of these errors.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from pathlib import Path


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


class LoadImpossible(WebdemoError):
    def __init__(self, problem: str) -> None:
        super().__init__(problem, remedy="Install wrk, or compare without it: --only behaviour")


class CompressionFailed(WebdemoError):
    exit_code = 1


class AppUnavailable(WebdemoError):
    exit_code = 1


class PortUnavailable(WebdemoError):
    exit_code = 69


class PortInUse(PortUnavailable):
    """`pid`: the holder, if the user may stop it; `free`: a port that was free a moment ago."""

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


class NothingListens(PortUnavailable):
    pass


class PortNotPermitted(WebdemoError):
    exit_code = 77


class HolderNotYours(PortNotPermitted):
    pass


class UnknownServer(UsageError):
    def __init__(self, name: str, nearest: str | None, known: list[str]) -> None:
        super().__init__(
            f"There is no server called {name!r}.",
            remedy=f"Did you mean {nearest}?" if nearest else f"These are known: {', '.join(known)}.",
        )


class UnknownOption(UsageError):
    def __init__(self, server: str, name: str, nearest: str | None, known: list[str]) -> None:
        if nearest:
            remedy = f"Did you mean {nearest}?"
        elif known:
            remedy = f"It has {', '.join(known)}."
        else:
            remedy = f"It has none; see: webdemo servers {server}"
        super().__init__(f"The server {server} has no option {name!r}.", remedy=remedy)


class ServerMissing(UsageError):
    def __init__(self, name: str, command: str) -> None:
        super().__init__(f"The server {name} is not installed.", remedy=f"Install it: {command}")


class ServerBroken(UsageError):
    def __init__(
        self,
        name: str,
        origin: str,
        why: str,
        remedy: str = "Install what it needs, report it to whoever wrote it, or choose another server.",
    ) -> None:
        super().__init__(f"The server {name} cannot be loaded from {origin}: {why}.", remedy=remedy)


class OtherContract(ServerBroken):
    """`theirs`: the contract version that the plug-in's distribution was made for; `ours`: webdemo's."""

    def __init__(self, name: str, origin: str, *, distribution: str, theirs: int, ours: int) -> None:
        older = distribution if theirs < ours else "webdemo"
        super().__init__(
            name,
            origin,
            f"it was made for contract {theirs}, and this webdemo has contract {ours}",
            remedy=f"Upgrade {older} (pip install --upgrade {older}), or choose another server.",
        )


class Unsupported(UsageError):
    pass


class FolderMissing(UsageError):
    pass


class HeaderRefused(UsageError):
    pass


class ExtraMissing(UsageError):
    """`purpose` begins the sentence: "To make a certificate"."""

    def __init__(self, purpose: str, *, package: str, extra: str) -> None:
        super().__init__(
            f"{purpose}, webdemo needs {package}, which is not installed.",
            remedy=f"Install it: pip install 'webdemo[{extra}]'",
        )


class SpoolUnavailable(UsageError):
    pass


class AcceptedUnreadable(UsageError):
    def __init__(self, path: Path, why: str) -> None:
        super().__init__(
            f"The accepted differences in {path} cannot be used: {why}.",
            remedy="An entry is a table [[accepted]] with server, probe and why, and a verdict if need be.",
        )


class CertificateUnusable(UsageError):
    pass


class CertificateMissing(CertificateUnusable):
    pass


class CertificateUnreadable(CertificateUnusable):
    pass


class CertificateMalformed(CertificateUnusable):
    pass


class CertificateExpired(CertificateUnusable):
    pass


class CertificateNotYetValid(CertificateUnusable):
    pass


class KeyMismatch(CertificateUnusable):
    pass


class KeyEncrypted(CertificateUnusable):
    pass


class ModuleMissing(AppUnavailable):
    pass


class AppImportFailed(AppUnavailable):
    """Carries the traceback of the user's own code, which is printed before the problem and the remedy."""

    def __init__(self, problem: str, *, remedy: str, traceback: str) -> None:
        super().__init__(problem, remedy=remedy)
        self.traceback = traceback


class AttributeMissing(AppUnavailable):
    pass


class NotCallable(AppUnavailable):
    pass


class SystemRefusal(AppUnavailable):
    """`what` begins the sentence: "No process can be started"."""

    def __init__(self, what: str, exc: OSError) -> None:
        super().__init__(
            f"{what}: {exc.strerror or exc}.",
            remedy=_REMEDIES.get(exc.errno or 0, "Put that right and try again."),
        )


_REMEDIES = {
    errno.EMFILE: "Raise the limit of open files (ulimit -n), and try again.",
    errno.ENFILE: "Close programs, or raise the system's limit of open files, and try again.",
    errno.EAGAIN: "Raise the limit of processes (ulimit -u), or end some, and try again.",
    errno.ENOMEM: "Free some memory, and try again.",
    errno.ENOENT: "Python is not where it was (is its environment being rebuilt?); try again when it is.",
    errno.ETOOMANYREFS: "Raise the limit of open files (ulimit -n), and try again.",
}


class ControlUnavailable(WebdemoError):
    pass


class UrlRefused(UsageError):
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
