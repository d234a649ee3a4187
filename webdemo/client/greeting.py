"""Reads the greeting of an SMTP or FTP server: a code and one or more lines.

See RFC 5321 section 4.2 and RFC 959 section 4.2. The rule: no command but QUIT is ever sent.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from webdemo.client.connection import Deadline, NoResponse, receive

LARGEST_GREETING_BYTES = 8192
_LAST_LINE = re.compile(rb"^[0-9]{3}(?: [^\n]*+|\r)?\n", re.MULTILINE)
_START = re.compile(rb"[0-9]{3}[ -]")


class GreetingFacts(NamedTuple):
    """The greeting of an SMTP or FTP server; lines without the code."""

    code: int
    lines: tuple[str, ...]


def read_greeting(
    sock: socket.socket, deadline: Deadline, at_first_byte: Callable[[], object] = lambda: None
) -> GreetingFacts:
    """Read the greeting, then send QUIT.

    Raises NoResponse for anything but a greeting, TimeoutError if none arrives, and OSError.
    """
    text = b""
    while not (last := _LAST_LINE.search(text)):
        data = receive(sock, deadline)
        if data and not text:
            at_first_byte()
        text += data
        if not data or len(text) > LARGEST_GREETING_BYTES or (len(text) > 3 and not _START.match(text)):
            raise NoResponse(text[:200])
    with suppress(OSError):
        sock.sendall(b"QUIT\r\n")
    lines = text[: last.end()].decode("utf-8", "replace").splitlines()
    return GreetingFacts(int(last.group()[:3]), tuple(line[4:] for line in lines))
