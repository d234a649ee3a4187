"""Finds the process on this machine that answered, and the webdemo service that it belongs to.

The rule: only what the system shows is reported. First comes the process that holds this very connection,
which can be found while both ends are open; then the holder of the listening socket.
"""

from __future__ import annotations

import os
from contextlib import suppress

from webdemo.errors import WebdemoError
from webdemo.net.addresses import machine_addresses
from webdemo.net.holders import (
    Listening,
    Process,
    connection_holder,
    inspect_process,
    tcp_listeners,
    unix_listeners,
)
from webdemo.supervisor import control
from webdemo.supervisor.control_messages import RunStatus, ServiceStatus
from webdemo.syntax import parse_address
from webdemo.trace.facts import AnsweredBy, ConnectFacts

_STATUS_SECONDS = 2.0


def is_this_machine(address: str) -> bool:
    """Whether an address (not a name) is one of this machine's."""
    number = parse_address(_plain(address))
    return number.is_loopback or number.is_unspecified or _plain(address) in machine_addresses()


def find_answering(connection: ConnectFacts) -> AnsweredBy | None:
    """The process at the other end of a connection; None if it is on another machine or cannot be seen."""
    path, port = connection.remote_address, connection.remote_port
    if port is None:
        return _holder([one for one in unix_listeners() if _is_same_file(one.path, path)], path)
    if not is_this_machine(connection.remote_address):
        return None
    theirs = (_plain(connection.remote_address), port)
    exact = connection_holder(theirs, (_plain(connection.local_address), connection.local_port or 0))
    if exact is None:
        return _holder(listening_at(connection.remote_address, port), str(port))
    return _answered_by(exact, _webdemo_service(str(port), {exact.pid, exact.parent}), is_exact=True)


def listening_at(address: str, port: int) -> list[Listening]:
    """The listeners that accept connections to the address, exact ones before wildcards."""
    plain = _plain(address)
    same_family = "ipv6" if ":" in plain else "ipv4"
    found = [
        one
        for one in tcp_listeners(port)
        if one.host == plain or (one.is_wildcard and (one.family == same_family or one.host == "::"))
    ]
    return sorted(found, key=lambda one: (one.is_wildcard, one.family != same_family))


def _holder(listening: list[Listening], name: str) -> AnsweredBy | None:
    """The holder of the listening socket; for a webdemo with a single server process there, that process."""
    if not listening:
        return None
    processes = [process for one in listening for process in one.processes]
    found = _webdemo_service(name, {process.pid for process in processes})
    serving = [one.pid for one in found[0].processes if one.pid is not None] if found else []
    process = inspect_process(serving[0]) if len(serving) == 1 else None
    if process is None and not processes:
        return AnsweredBy(None, listening[0].describe(), is_exact=False)
    return _answered_by(process or processes[0], found, is_exact=False)


def _answered_by(
    process: Process, found: tuple[ServiceStatus, RunStatus] | None, *, is_exact: bool
) -> AnsweredBy:
    if found is None:
        return AnsweredBy(process.pid, process.describe(), is_exact)
    service, run = found
    server = f"{service.server} {service.version}".strip()
    return AnsweredBy(process.pid, process.describe(), is_exact, server, run.pid, run.target)


def _webdemo_service(name: str, pids: set[int]) -> tuple[ServiceStatus, RunStatus] | None:
    """The status of the service on a port (or path) and of its webdemo; None if there is none."""
    with suppress(WebdemoError, OSError):
        for instance in control.instances():
            with suppress(WebdemoError, OSError, ValueError):
                status = instance.status(timeout_seconds=_STATUS_SECONDS)
                for service in status.services:
                    of_service = {process.pid for process in service.processes}
                    if name in service.ports and pids & {instance.pid, *of_service}:
                        return service, status
    return None


def _plain(address: str) -> str:
    """The address without its zone; an IPv4-mapped IPv6 address becomes IPv4."""
    return str(parse_address(address.partition("%")[0]))


def _is_same_file(one: str, other: str) -> bool:
    try:
        return os.path.samefile(one, other)  # noqa: PTH121  socket paths are str here
    except OSError:
        return False
