"""Why a port cannot be had, and what to do about it.

The rule: every failure to bind becomes one problem and one remedy, with what can be seen of the holder;
what cannot be seen is said. Nothing is looked at until something has failed.
"""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path

from webdemo.errors import (
    AddressUnavailable,
    PortInUse,
    PortNotPermitted,
    PortUnavailable,
    TooManyFiles,
    WebdemoError,
)
from webdemo.net.addresses import Address, machine_addresses
from webdemo.net.bind import Bind

_FIRST_PORT = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")


def explain(bind: Bind, address: Address, cause: OSError) -> WebdemoError:
    """The error to raise for a bind or listen that failed, but for a port in use."""
    if cause.errno in (errno.EACCES, errno.EPERM):
        return _explain_permission(bind, address)
    if cause.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
        return _explain_address(bind, address)
    if cause.errno in (errno.EMFILE, errno.ENFILE):
        return explain_too_many_files(str(address))
    return PortUnavailable(
        f"The system refuses to listen on {address}: {cause.strerror or cause}.",
        remedy=f"Choose another address or port, such as {_local(bind)}",
    )


def explain_port_in_use(bind: Bind, address: Address, *, free: int | None) -> PortInUse:
    """The error to raise for an address that another program listens on."""
    remedy = (
        f"Stop it, or use {free}, which is free: {replace(bind, port=free)}"
        if free is not None
        else "Stop it."
    )
    return PortInUse(
        f"Port {address.port} is taken by another program.",
        remedy=remedy,
        port=address.port,
        pid=None,
        free=free,
    )


def explain_too_many_files(place: str) -> TooManyFiles:
    """The error to raise when no descriptor is left."""
    import resource

    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return TooManyFiles(
        f"The limit of {limit} open files leaves no room for a socket on {place}.",
        remedy="Raise it (ulimit -n 4096), or serve fewer binds.",
    )


def _explain_permission(bind: Bind, address: Address) -> PortNotPermitted:
    first = lowest_unprivileged_port()
    if address.port >= first:
        return PortNotPermitted(
            f"The system does not let this user listen on {address}.",
            remedy="A sandbox or a security policy holds it back: allow it there, or choose another port.",
        )
    higher = replace(bind, port=address.port + 8000)
    return PortNotPermitted(
        f"Port {address.port} needs privileges: this user may listen from {first} up.",
        remedy=(
            f"Use a higher port ({higher}), or allow it: systemd socket activation, "
            "setcap cap_net_bind_service=+ep on the Python binary, "
            f"or in a container sysctl net.ipv4.ip_unprivileged_port_start={address.port}."
        ),
    )


def lowest_unprivileged_port() -> int:
    """The first port that a program without privileges may listen on: the kernel's, or 1024."""
    try:
        return int(_FIRST_PORT.read_text())
    except (OSError, ValueError):
        return 1024


def _explain_address(bind: Bind, address: Address) -> AddressUnavailable:
    named = f"{address.host} ({bind.host})" if bind.host not in (None, address.host) else address.host
    mine = ", ".join(["127.0.0.1", *machine_addresses()])
    return AddressUnavailable(
        f"{named} is not an address of this machine.",
        remedy=f"Use one of its own ({mine}) or * for all of them: {_local(bind)}",
    )


def _local(bind: Bind) -> Bind:
    return replace(bind, host="127.0.0.1")
