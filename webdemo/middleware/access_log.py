"""The access log: one line for each request, the same on every server. Runs in the server processes.

The fields, in both formats: time, server, bind, client, method, path, status, bytes, ms, request id.
A response is logged when the server closes it. The lines are written to the report pipe (see
webdemo.worker.server_process) in pieces of up to PIPE_BUF bytes, so that lines of several processes do not
interleave, and no output of the app is taken for a log line. Nothing that a client sends can start a new
line, colour the terminal, or look like another field (log injection).
"""

from __future__ import annotations

import itertools
import json
import os
import re
import time
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from webdemo.middleware.batches import Batches
from webdemo.portable import PIPE_BUF, after_fork_in_child
from webdemo.text import log_field

if TYPE_CHECKING:
    from webdemo.middleware.observe import Answer

_LONGEST_PATH = 2000
_LONGEST_METHOD = 32
# An escaped character takes up to twelve bytes; with this path a line fits into Linux's PIPE_BUF (4,096).
_SURELY_SHORT_PATH = 300
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_COLOURS = {"2": "32", "3": "36", "4": "33", "5": "31"}
_UNIX_PEERS = frozenset({"", "localhost", "<local>"})  # servers' REMOTE_ADDR for a Unix socket
_Completed = tuple[int, str, str, str, str, str, str | None, str, int, int, str]
"""The values of a completed response, as `AccessLog.write` found them."""

_SECOND = 1_000_000_000  # in nanoseconds

_quoted = json.JSONEncoder().encode


class Record(NamedTuple):
    """A completed response, as a line of the log has it."""

    when: int  # the response was closed, in nanoseconds since the epoch
    server: str
    bind: str
    client: str
    method: str
    path: str
    status: str  # three digits; "000" for none
    size: int  # of the body, in bytes, as produced by the app; of a file, its Content-Length
    nanoseconds: int  # its duration
    request_id: str


def text_line(record: Record) -> str:
    """A line for people."""
    asked = f"{record.client} {record.method} {record.path}"
    if not asked.isprintable() or "\\" in asked or asked.count(" ") != 2:
        asked = " ".join(map(log_field, (record.client, record.method, record.path)))
    tenths = (record.nanoseconds + 50_000) // 100_000
    took = f"{tenths // 10}.{tenths % 10}ms"  # a float takes twice as long
    clock = _clock(record.when // _SECOND)
    line = f"{clock} {record.server} {record.bind} {asked} {record.status} {record.size}B {took}"
    return f"{line} {record.request_id}"


def json_line(record: Record) -> str:
    """The same for programs. By hand: json.dumps of the whole takes three times as long."""
    time = f"{_date_and_clock(record.when // _SECOND)}.{record.when % _SECOND // 1_000_000:03d}Z"
    return (
        f'{{"time": "{time}", "server": {_quoted(record.server)}, "bind": {_quoted(record.bind)}, '
        f'"client": {_quoted(record.client)}, "method": {_quoted(record.method)}, '
        f'"path": {_quoted(record.path)}, "status": {int(record.status)}, "bytes": {record.size}, '
        f'"ms": {record.nanoseconds // 1000 / 1000}, "request_id": {_quoted(record.request_id)}}}'
    )


def coloured(text: str) -> str:
    """A `text_line` for a terminal, with the status coloured by its class."""
    before, status, *after = text.rsplit(" ", 4)
    return " ".join([before, f"\x1b[{_COLOURS.get(status[:1], '0')}m{status}\x1b[0m", *after])


def mark_of(token: str) -> bytes:
    """The prefix of log lines in the report pipe; made of the run's secret, so that no other text has it."""
    return f"\x1e{token[:12]} ".encode()


@lru_cache(maxsize=4)
def _clock(second: int) -> str:
    return time.strftime("%H:%M:%S", time.localtime(second))


@lru_cache(maxsize=4)
def _date_and_clock(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


class AccessLog:
    """Writes the access log, and assigns request ids.

    The id is in `environ["webdemo.request_id"]` and in the response's X-Request-ID. The request's own
    X-Request-ID is used if it has 1 to 64 safe characters.
    """

    def __init__(
        self,
        *,
        server: str,
        bind_of: Callable[[str], str],
        write: Callable[[bytes], object],
        mark: bytes,
        as_json: bool = False,
        on_missing: Callable[[str], None] | None = None,
    ) -> None:
        """`on_missing` is called with the path of each response with 404."""
        self._server = server
        self._bind_of = bind_of
        self._write = write
        self._format = json_line if as_json else text_line
        self._mark = mark.decode()
        self._on_missing = on_missing
        self._numbers = itertools.count(1)
        self._completed = Batches(self._write_lines)
        self._renumber()
        after_fork_in_child(self._renumber)

    def begin(self, answer: Answer) -> None:
        """Assign the request's id."""
        environ = answer.environ
        request_id = environ.get("HTTP_X_REQUEST_ID")
        if request_id is None:
            request_id = f"{self._prefix}-{next(self._numbers)}"
        elif not _REQUEST_ID.fullmatch(request_id):
            request_id = environ["HTTP_X_REQUEST_ID"] = f"{self._prefix}-{next(self._numbers)}"
        environ["webdemo.request_id"] = request_id
        answer.request_id = request_id

    def _renumber(self) -> None:
        """Begin again with another prefix, in a worker that the server has forked."""
        self._prefix = os.urandom(3).hex()

    def write(self, answer: Answer) -> None:
        """Log a completed response. What can be done later is done in `_write_lines`."""
        get = answer.environ.get
        self._completed.add(
            (
                time.time_ns(),
                get("SERVER_PORT", ""),
                get("REMOTE_ADDR", ""),
                get("REQUEST_METHOD", "-"),
                get("SCRIPT_NAME", ""),
                get("PATH_INFO", ""),
                get("QUERY_STRING"),
                answer.status,
                answer.bytes,
                answer.nanoseconds,
                answer.request_id,
            )
        )

    def flush(self) -> None:
        """Write now what was logged so far."""
        self._completed.flush()

    def _write_lines(self, completed: list[_Completed]) -> None:
        """Write the lines in pieces of up to PIPE_BUF bytes, which a pipe takes whole."""
        piece: list[bytes] = []
        room = PIPE_BUF
        for response in completed:
            data = self._line(response)
            room -= len(data)
            if room < 0:
                self._write(b"".join(piece))
                piece = []
                room = PIPE_BUF - len(data)
            piece.append(data)
        self._write(b"".join(piece))

    def _line(self, response: _Completed) -> bytes:
        when, port, client, method, script, path, query, status, size, nanoseconds, request_id = response
        path = script + path
        if query:
            path += "?" + query
        if not path.isascii():
            path = path.encode("latin-1", "replace").decode("utf-8", "replace")
        status = status[:3]
        if status == "404" and self._on_missing is not None:
            self._on_missing(path[:_LONGEST_PATH])
        record = Record(
            when,
            self._server,
            self._bind_of(port),
            "unix" if client in _UNIX_PEERS else client,
            method[:_LONGEST_METHOD],
            path[:_LONGEST_PATH],
            status if status.isdecimal() and status.isascii() else "000",
            size,
            nanoseconds,
            request_id,
        )
        data = self._encode(record)
        if len(data) > PIPE_BUF:
            data = self._encode(record._replace(path=path[:_SURELY_SHORT_PATH]))
        return data

    def _encode(self, record: Record) -> bytes:
        return f"{self._mark}{self._format(record)}\n".encode("utf-8", "replace")
