"""JSON messages, one a line, between two processes; with them go file descriptors.

A message sent is whole and in order, and its descriptors arrive with it. What was received but not
taken is closed, so that nobody holds a port without knowing.
"""

from __future__ import annotations

import json
import os
import socket
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

Message = dict[str, Any]

_MOST_DESCRIPTORS = 200  # in one packet; Linux allows 253


class Channel:
    """One end of a stream socket pair. `receive` does not block, `send` does."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self._text = b""
        self._descriptors: deque[int] = deque()

    def fileno(self) -> int:
        return self.socket.fileno()

    def send(self, message: Message, descriptors: Sequence[int] = ()) -> None:
        """Send all of it; raises BrokenPipeError when the other side is gone."""
        for start in range(0, len(descriptors), _MOST_DESCRIPTORS):
            socket.send_fds(self.socket, [b"\n"], descriptors[start : start + _MOST_DESCRIPTORS])
        line = json.dumps(message | {"descriptors": len(descriptors)}).encode() + b"\n"
        self.socket.sendall(line)

    def receive(self) -> Iterator[tuple[Message, list[int]]]:
        """Yield the messages that have arrived; raises EOFError when the other side is gone."""
        try:
            data, descriptors, _, _ = socket.recv_fds(
                self.socket, 65536, _MOST_DESCRIPTORS, socket.MSG_DONTWAIT
            )
        except BlockingIOError:
            return
        except ConnectionError:
            raise EOFError from None
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
        self._descriptors += descriptors
        if not data:
            raise EOFError
        *lines, self._text = (self._text + data).split(b"\n")
        for line in filter(None, lines):
            message = json.loads(line)
            count = message.pop("descriptors")
            yield message, [self._descriptors.popleft() for _ in range(count)]

    def close(self) -> None:
        while self._descriptors:
            os.close(self._descriptors.popleft())
        self.socket.close()


def pair() -> tuple[Channel, Channel]:
    a, b = socket.socketpair()
    return Channel(a), Channel(b)
