"""The access log: one line for each request, the same on every server. Runs in the server processes.

The fields, in both formats: time, server, bind, client, method, path, status, bytes, ms, request id.
A line is written when the server closes the response, with one write to the report pipe (see
webdemo.worker.server_process), so that lines of several processes do not interleave, and no output of the
app is taken for a log line. Nothing that a client sends can start a new line, colour the terminal, or look
like another field (log injection).
"""

from __future__ import annotations

import itertools
import json
import os
import re
import select
import time
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from webdemo.text import log_field

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

    from webdemo.middleware.observe import Answer

_LONGEST_PATH = 2000
_LONGEST_METHOD = 32
# An escaped character takes up to twelve bytes; with this path a line fits into Linux's PIPE_BUF (4,096).
_SURELY_SHORT_PATH = 300
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_COLOURS = {"2": "32", "3": "36", "4": "33", "5": "31"}
_UNIX_PEERS = frozenset({"", "localhost", "<local>"})  # servers' REMOTE_ADDR for a Unix socket


class Line(NamedTuple):
    time: float  # when the response was closed, in seconds since the epoch
    server: str
    bind: str
    client: str
    method: str
    path: str
    status: int  # 0: the app never called start_response
    bytes: int  # of the body, as produced by the app; of a file, its Content-Length
    ms: float
    request_id: str

    def as_text(self) -> str:
        when, server, bind, client, method, path, status, size, ms, request_id = self
        asked = f"{client} {method} {path}"
        if not asked.isprintable() or "\\" in asked or asked.count(" ") != 2:
            asked = " ".join(map(log_field, (client, method, path)))
        return f"{_clock(int(when))} {server} {bind} {asked} {status:03d} {size}B {ms:.1f}ms {request_id}"

    def as_json(self) -> str:
        fields = self._asdict()
        fields["time"] = f"{_date_and_clock(int(self.time))}.{int(self.time % 1 * 1000):03d}Z"
        fields["ms"] = round(self.ms, 3)
        return json.dumps(fields)


def coloured(text: str) -> str:
    """An `as_text` line for a terminal, with the status coloured by its class."""
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
        bind_of: Callable[[WSGIEnvironment], str],
        write: Callable[[bytes], object],
        mark: bytes,
        as_json: bool = False,
    ) -> None:
        self._server = server
        self._bind_of = bind_of
        self._write = write
        self._as_json = as_json
        self._mark = mark
        self._prefix = os.urandom(3).hex()
        self._pid = os.getpid()
        self._numbers = itertools.count(1)

    def begin(self, answer: Answer) -> None:
        """Assign the request's id."""
        environ = answer.environ
        request_id = environ.get("HTTP_X_REQUEST_ID")
        if request_id is None:
            request_id = self._new_id()
        elif not _REQUEST_ID.fullmatch(request_id):
            request_id = environ["HTTP_X_REQUEST_ID"] = self._new_id()
        environ["webdemo.request_id"] = request_id
        answer.request_id = request_id

    def _new_id(self) -> str:
        if self._pid != os.getpid():  # this is a worker that the server has forked
            self._pid = os.getpid()
            self._prefix = os.urandom(3).hex()
        return f"{self._prefix}-{next(self._numbers)}"

    def write(self, answer: Answer) -> None:
        """Write the line of a completed response."""
        environ = answer.environ
        path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
        if query := environ.get("QUERY_STRING"):
            path += "?" + query
        if not path.isascii():
            path = path.encode("latin-1", "replace").decode("utf-8", "replace")
        client = environ.get("REMOTE_ADDR", "")
        status = answer.status[:3]
        line = Line(  # by position, which takes half of the time
            time.time(),
            self._server,
            self._bind_of(environ),
            "unix" if client in _UNIX_PEERS else client,
            environ.get("REQUEST_METHOD", "-")[:_LONGEST_METHOD],
            path[:_LONGEST_PATH],
            int(status) if status.isdecimal() else 0,
            answer.bytes,
            answer.nanoseconds / 1e6,
            answer.request_id,
        )
        data = self._encode(line)
        if len(data) > select.PIPE_BUF:  # longer writes to a pipe are not atomic
            data = self._encode(line._replace(path=path[:_SURELY_SHORT_PATH]))
        self._write(data)

    def _encode(self, line: Line) -> bytes:
        text = line.as_json() if self._as_json else line.as_text()
        return self._mark + text.encode("utf-8", "replace") + b"\n"
