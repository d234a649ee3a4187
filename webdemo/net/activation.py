"""Socket activation by systemd (sd_listen_fds(3)).

The rule: the sockets are taken once, only if they are passed to this process, and hidden from children.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from webdemo.errors import PortUnavailable
from webdemo.net.bind import Bind

FIRST_FD = 3


class Activated(NamedTuple):
    """An inherited descriptor; `name` is its FileDescriptorName=, or "" if it has none."""

    bind: Bind
    name: str


def take_activated() -> list[Activated]:
    """The sockets that LISTEN_FDS, LISTEN_PID and LISTEN_FDNAMES pass to this process, as `fd://` binds.

    Removes the three variables from the environment. Raises PortUnavailable if they are invalid.
    """
    count, pid, names = (os.environ.pop(name, "") for name in ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"))
    if not count or pid != str(os.getpid()):
        return []
    if not (count.isascii() and count.isdigit()) or len(count) > 5:
        raise PortUnavailable(
            f"LISTEN_FDS is {count[:40]!a}, not a number of sockets.",
            remedy="Unset it, or start with systemd.",
        )
    named = names.split(":") if names else []
    if named and len(named) != int(count):
        raise PortUnavailable(
            f"LISTEN_FDS counts {int(count)} sockets, LISTEN_FDNAMES names {len(named)}.",
            remedy="Give each socket a name (FileDescriptorName=), or none.",
        )
    return [
        Activated(Bind(fd=FIRST_FD + offset), name=named[offset] if named else "")
        for offset in range(int(count))
    ]
