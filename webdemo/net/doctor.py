"""Explains why listening on an address failed, and what to do about it.

The rule: every failure becomes one problem and one remedy. They name the program that uses the port, or
say that it is not visible. Nothing is examined before a failure.
"""

from __future__ import annotations

import errno
import os
from dataclasses import replace

from webdemo.errors import (
    PortInUse,
    PortNotPermitted,
    PortUnavailable,
    WebdemoError,
)
from webdemo.net.addresses import LOOPBACK, Address, machine_addresses
from webdemo.net.bind import Bind
from webdemo.net.bindtext import authority
from webdemo.net.descriptor_limit import most_descriptors


def explain(bind: Bind, address: Address, cause: OSError, option: str = "") -> WebdemoError:
    """The error to raise for a failed bind() or listen(), except for a port in use.

    Here and below, `option` is what the bind was given with, unless that is --bind or --port.
    """
    if cause.errno in (errno.EACCES, errno.EPERM):
        return _explain_permission(bind, address, option)
    if cause.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
        return _explain_address(bind, address)
    if cause.errno in (errno.EMFILE, errno.ENFILE):
        return explain_too_many_files(str(address))
    return PortUnavailable(
        f"The system refuses to listen on {address}: {cause.strerror or cause}.",
        remedy=f"Choose another address or port, such as {_local(bind)}",
    )


def explain_port_in_use(bind: Bind, address: Address, *, free: int | None, option: str = "") -> PortInUse:
    """The error to raise for an address that is already in use; `free` is a free port to suggest.

    Looks for the program that uses it, which takes some milliseconds.
    """
    from webdemo.net.holders import Listening, connected_processes, tcp_listeners

    def conflicts(one: Listening) -> bool:
        if (one.family == "ipv6") != (":" in address.host):
            return one.host == "::"  # a dual-stack socket uses IPv4 as well
        return one.is_wildcard or address.is_wildcard or one.host == address.host

    found = [one for one in tcp_listeners(address.port) if conflicts(one)]
    found.sort(key=lambda one: one.host == "::" and ":" not in address.host)
    process = next((one.processes[0] for one in found if one.processes), None)
    if process is not None and process.pid == os.getpid():
        holder, process = "a socket of this process itself", None
    elif found:
        holder = found[0].describe()
    elif connected := connected_processes(address.port):
        holder = f"a connection of {connected[0].describe()}"
    else:
        holder = "a socket that does not listen, or that is not visible from here"
    pid = process.pid if process is not None and process.is_mine else None
    return PortInUse(
        f"Port {address.port} is already in use by {holder}.",
        port=address.port,
        pid=pid,
        free=free,
        option=_as_option(replace(bind, port=free), option) if free is not None else "",
    )


def explain_live_socket(path: str) -> PortUnavailable:
    """The error to raise for a Unix socket on which a program listens."""
    from webdemo.net.holders import unix_listeners

    holder = next((one.describe() for one in unix_listeners() if one.path == path), "another program")
    return PortUnavailable(
        f"{path} is already in use by {holder}.", remedy="Stop it, or choose another path."
    )


def explain_too_many_files(place: str) -> PortUnavailable:
    """The error to raise when the limit of open files is reached (EMFILE, ENFILE)."""
    return PortUnavailable(
        f"The limit of {most_descriptors()} open files is reached: no socket can be opened for {place}.",
        remedy="Raise it (ulimit -n 4096), or serve fewer binds.",
    )


def _explain_permission(bind: Bind, address: Address, option: str) -> PortNotPermitted:
    from webdemo.net.ports import lowest_unprivileged_port

    first = lowest_unprivileged_port()
    if address.port >= first:
        return PortNotPermitted(
            f"The system does not let this user listen on {address}.",
            remedy="A sandbox or a security policy forbids it: allow it there, or choose another port.",
        )
    higher = replace(bind, port=address.port + 8000)
    return PortNotPermitted(
        f"Port {address.port} needs privileges: this user may listen on {first} and above.",
        remedy=(
            f"Use a higher port ({_as_option(higher, option)}), or allow it: systemd socket activation, "
            "setcap cap_net_bind_service=+ep on the Python binary, "
            f"or in a container sysctl net.ipv4.ip_unprivileged_port_start={address.port}."
        ),
    )


def _explain_address(bind: Bind, address: Address) -> PortUnavailable:
    named = f"{bind.host} ({address.host})" if bind.host not in (None, address.host) else address.host
    mine = ", ".join(["127.0.0.1", *machine_addresses()])
    return PortUnavailable(
        f"{named} is not an address of this machine.",
        remedy=f"Use one of its own ({mine}), such as {_local(bind)}, or * for all of them.",
    )


def _local(bind: Bind) -> Bind:
    return replace(bind, host="127.0.0.1")


def _as_option(bind: Bind, option: str) -> str:
    """The bind as an option of the command line."""
    if option:
        return (
            f"{option} {bind.port if bind.host in (None, LOOPBACK[0]) else authority(bind.host, bind.port)}"
        )
    if bind == Bind(port=bind.port):
        return f"--port {bind.port}"
    return f'-b "{bind}"' if any(special in str(bind) for special in "*?&[") else f"-b {bind}"
