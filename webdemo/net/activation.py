"""Sockets that systemd opened for us (sd_listen_fds(3)).

The rule: they are taken once, only when they are meant for this process, and a child never sees them.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from webdemo.errors import DescriptorUnusable
from webdemo.net.bind import Bind

FIRST_FD = 3


class Activated(NamedTuple):
    """A descriptor handed over; `name` is its FileDescriptorName=, or "" when none was given."""

    bind: Bind
    name: str


def take_activated() -> list[Activated]:
    """The sockets that LISTEN_FDS, LISTEN_PID and LISTEN_FDNAMES hand to this process, as `fd://` binds.

    The three variables are removed from the environment. Raises DescriptorUnusable when they make no sense.
    """
    count, pid, names = (os.environ.pop(name, "") for name in ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"))
    if not count or pid != str(os.getpid()):
        return []
    if not (count.isascii() and count.isdigit()) or len(count) > 5:
        raise DescriptorUnusable(
            f"LISTEN_FDS is {count[:40]!a}, not a number of sockets.", remedy="Unset it, or start by systemd."
        )
    named = names.split(":") if names else []
    if named and len(named) != int(count):
        raise DescriptorUnusable(
            f"LISTEN_FDS counts {int(count)} sockets, LISTEN_FDNAMES names {len(named)}.",
            remedy="Give each socket a name (FileDescriptorName=), or none.",
        )
    return [
        Activated(Bind(fd=FIRST_FD + offset), name=named[offset] if named else "")
        for offset in range(int(count))
    ]
