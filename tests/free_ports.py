"""Ports that stay free until a test uses them.

Port 0 takes one of the system's ephemeral range, and once given back, whoever binds port 0 or connects next
may get it. These are outside that range, and each pytest worker has its own. None has a known use.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import socket
from collections.abc import Iterator

from webdemo.net.uses import BLOCKED_BY_BROWSERS, uses

_FIRST = 10_000
_COUNT = 2_000  # for each of ten workers: all are below 32768, where Linux begins, and 49152 of RFC 6335, 6


def free_port() -> int:
    """A port on which nothing listens, on any address of either family."""
    return next(port for port in _own_ports if _is_free(port))


def _ports() -> Iterator[int]:
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 10
    first = _FIRST + worker * _COUNT
    own = [n for n in range(first, first + _COUNT) if not uses(n) and n not in BLOCKED_BY_BROWSERS]
    random.shuffle(own)  # because another run of the tests may be on this machine
    return itertools.cycle(own)


def _is_free(port: int) -> bool:
    try:
        with contextlib.ExitStack() as stack:
            for family, host in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
                if family is socket.AF_INET or socket.has_dualstack_ipv6():
                    sock = stack.enter_context(socket.socket(family))
                    if family is socket.AF_INET6:
                        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                    sock.bind((host, port))
    except OSError:
        return False
    return True


_own_ports = _ports()
