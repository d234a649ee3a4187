"""Messages between two processes, each a line, with file descriptors attached.

Used by the supervisor and the loader. The rule: messages arrive complete, in order, and with their
descriptors. Descriptors that are received but not consumed are closed, so that no process keeps a port
unknowingly. Foreign bytes between two messages (from an app that writes to every descriptor) do not damage
either. A line is the number of its descriptors, a space, and the message in JSON.
"""

from __future__ import annotations

import os
import socket
from array import array
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Generic, NamedTuple, TypeVar

from webdemo.errors import PortUnavailable
from webdemo.worker.codec import Codec, InvalidMessage, shown

S = TypeVar("S", bound=NamedTuple)
R = TypeVar("R", bound=NamedTuple)

_MOST_DESCRIPTORS = 200  # in one sendmsg(); Linux allows 253 (SCM_MAX_FD)
_MOST_DIGITS = 6
_INT_BYTES = array("i").itemsize
_LONGEST_LINE = 16 << 20  # far longer than any message
_ANCILLARY_BYTES = socket.CMSG_LEN(_MOST_DESCRIPTORS * _INT_BYTES)


class DescriptorsMissing(PortUnavailable):
    """`message` was received without all of its descriptors."""

    def __init__(self, message: NamedTuple, count: int) -> None:
        super().__init__(
            f"The limit of open files leaves no room for {count} descriptors.",
            remedy="Raise it (ulimit -n), or listen in fewer places.",
        )
        self.message = message


class Channel(Generic[S, R]):
    """One end of a stream socket pair: sends S and receives R. `receive` does not block, `send` does."""

    def __init__(self, sock: socket.socket, sends: Codec[S], receives: Codec[R]) -> None:
        self.socket = sock
        self._sends = sends
        self._receives = receives
        self._text = b""
        self._lines: deque[bytes] = deque()
        self._descriptors: deque[int] = deque()

    def fileno(self) -> int:
        return self.socket.fileno()

    def send(self, message: S, descriptors: Sequence[int] = ()) -> None:
        """Send a message, blocking. Raises BrokenPipeError if the peer has closed its end."""
        for start in range(0, len(descriptors), _MOST_DESCRIPTORS):
            socket.send_fds(self.socket, [b"\n"], descriptors[start : start + _MOST_DESCRIPTORS])
        self.socket.sendall(b"\n%d %b\n" % (len(descriptors), self._sends.encode(message)))

    def receive(self) -> Iterator[tuple[R, list[int]]]:
        """Yield the messages that have arrived. Raises EOFError if the peer has closed its end.

        Messages that the caller does not consume are yielded first by the next call. Raises
        DescriptorsMissing for a message whose descriptors did not all fit into this process, and
        InvalidMessage for an invalid line; the next call continues with the message after it.
        """
        while self._lines:
            yield self._next()
        try:
            # Not socket.recv_fds, which ignores its flags before Python 3.13.
            data, ancillary, _, _ = self.socket.recvmsg(65536, _ANCILLARY_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except ConnectionError:
            raise EOFError from None
        for level, kind, content in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                descriptors = array("i", content[: len(content) // _INT_BYTES * _INT_BYTES])
                for descriptor in descriptors:
                    os.set_inheritable(descriptor, False)
                self._descriptors += descriptors
        if not data:
            raise EOFError
        *lines, self._text = (self._text + data).split(b"\n")
        self._lines += filter(None, lines)
        if len(self._text) > _LONGEST_LINE:
            self._lines.append(self._text)
            self._text = b""
        while self._lines:
            yield self._next()

    def _next(self) -> tuple[R, list[int]]:
        line = self._lines.popleft()
        number, _, text = line.partition(b" ")
        if not number.isdigit() or len(number) > _MOST_DIGITS:
            raise InvalidMessage(
                f"{shown(line)} has no number of descriptors.", remedy='It is like: 0 {"do": "load"}'
            )
        count, message = int(number), self._receives.decode(text)
        if count > len(self._descriptors):  # the kernel has discarded those that did not fit
            self._close_descriptors()
            raise DescriptorsMissing(message, count)
        return message, [self._descriptors.popleft() for _ in range(count)]

    def close(self) -> None:
        self._close_descriptors()
        self.socket.close()

    def _close_descriptors(self) -> None:
        while self._descriptors:
            os.close(self._descriptors.popleft())
