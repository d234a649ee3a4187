"""One line for each request, the same on every server.

The fields, in both forms: time, server, bind, client, method, path, status, bytes, ms, request id.
A line is written when the server has closed the answer, with one write to the supervisor's pipe,
so that lines of several processes do not mix. Nothing a client sends can start a line of its own
or colour the terminal.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

# Stands before a line that is complete as it is; any other line of a server gets a prefix.
COMPLETE = b"\x1e"

_LONGEST_PATH = 2000  # a line must fit into the 4,096 bytes that a pipe takes at once
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\"\\]")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}\Z")
_COLOURS = {"2": "32", "3": "36", "4": "33", "5": "31"}


def plain(text: str) -> str:
    """The text with control characters, quotes and backslashes written out."""
    return _CONTROL.sub(lambda m: m[0].encode("unicode_escape").decode() if m[0] != '"' else '\\"', text)


class AccessLog:
    """WSGI middleware that writes the log, and gives each request its id.

    The id is `environ["webdemo.request_id"]` and the answer's X-Request-ID; one that comes with the
    request is kept if it has a harmless form.
    """

    def __init__(
        self,
        app: WSGIApplication,
        *,
        server: str,
        bind_of: Callable[[WSGIEnvironment], str],
        fd: int,
        as_json: bool = False,
        colour: bool = False,
    ) -> None:
        self._app = app
        self._server = server
        self._bind_of = bind_of
        self._fd = fd
        self._format = self._as_json if as_json else self._as_text
        self._colour = colour
        self._prefix = os.urandom(3).hex()
        self._pid = os.getpid()
        self._numbers = itertools.count(1)
        self._second = (0, "")

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request_id = environ.get("HTTP_X_REQUEST_ID")
        if request_id is None or not _REQUEST_ID.match(request_id):
            request_id = self._new_id()
        environ["webdemo.request_id"] = request_id
        answer = _Answer(self, environ, request_id)

        def started(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            answer.status = status[:3]
            answer.announced = next((int(v) for n, v in headers if n.lower() == "content-length"), 0)
            headers = [
                *headers,
                ("X-Request-ID", request_id),
            ]  # the app may keep its list for the next request
            write = (
                start_response(status, headers)
                if exc_info is None
                else start_response(status, headers, exc_info)
            )

            def counted(data: bytes) -> None:
                answer.bytes += len(data)
                write(data)

            return counted

        try:
            body = self._app(environ, started)
        except BaseException:
            answer.status = "500"
            answer.finish()
            raise
        if type(body) is list:
            answer.bytes += sum(map(len, body))
            return _ListBody(body, answer.finish)
        wrapper = environ.get("wsgi.file_wrapper")
        if isinstance(wrapper, type) and isinstance(body, wrapper):
            # The server must get its own object back, or it would not use sendfile.
            close = getattr(body, "close", None)
            answer.bytes = answer.announced

            def close_and_finish() -> None:
                try:
                    if close is not None:
                        close()
                finally:
                    answer.finish()

            body.close = close_and_finish  # type: ignore[attr-defined]
            return body
        return _IterableBody(body, answer)

    def _new_id(self) -> str:
        if self._pid != os.getpid():  # a worker that the server has forked
            self._pid = os.getpid()
            self._prefix = os.urandom(3).hex()
        return f"{self._prefix}-{next(self._numbers)}"

    def write(self, environ: WSGIEnvironment, answer: _Answer) -> None:
        now = time.time()
        path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
        if query := environ.get("QUERY_STRING"):
            path += "?" + query
        line = self._format(
            now,
            self._bind_of(environ),
            environ.get("REMOTE_ADDR") or "unix",
            environ.get("REQUEST_METHOD", "-"),
            path.encode("latin-1", "replace").decode("utf-8", "replace")[:_LONGEST_PATH],
            answer.status,
            answer.bytes,
            (time.perf_counter() - answer.began) * 1000,
            answer.request_id,
        )
        try:
            os.write(self._fd, COMPLETE + line.encode("utf-8", "replace") + b"\n")
        except OSError:
            pass  # the supervisor is gone, and with it whoever would have read the line

    def _as_text(
        self,
        now: float,
        bind: str,
        client: str,
        method: str,
        path: str,
        status: str,
        size: int,
        ms: float,
        rid: str,
    ) -> str:
        second = int(now)
        if self._second[0] != second:
            self._second = (second, time.strftime("%H:%M:%S", time.localtime(second)))
        if self._colour:
            status = f"\x1b[{_COLOURS.get(status[:1], '0')}m{status}\x1b[0m"
        return (
            f"{self._second[1]} {self._server} {bind} {plain(client)} {plain(method)} {plain(path)} "
            f"{status} {size}B {ms:.1f}ms {rid}"
        )

    def _as_json(
        self,
        now: float,
        bind: str,
        client: str,
        method: str,
        path: str,
        status: str,
        size: int,
        ms: float,
        rid: str,
    ) -> str:
        when = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1000):03d}Z"
        fields = {"time": when, "server": self._server, "bind": bind, "client": client, "method": method,
                  "path": path, "status": int(status), "bytes": size, "ms": round(ms, 3), "request_id": rid}  # fmt: skip
        return json.dumps(fields)


class _Answer:
    """What is known of one request while it is answered."""

    __slots__ = ("_environ", "_log", "announced", "began", "bytes", "finished", "request_id", "status")

    def __init__(self, log: AccessLog, environ: WSGIEnvironment, request_id: str) -> None:
        self._log = log
        self._environ = environ
        self.request_id = request_id
        self.began = time.perf_counter()
        self.status = "000"
        self.bytes = 0
        self.announced = 0
        self.finished = False

    def finish(self) -> None:
        if not self.finished:
            self.finished = True
            self._log.write(self._environ, self)


class _ListBody(list[bytes]):
    """A list that the server may take the length of, with the close that a list lacks."""

    __slots__ = ("close",)

    def __init__(self, body: list[bytes], close: Callable[[], None]) -> None:
        super().__init__(body)
        self.close = close


class _IterableBody:
    def __init__(self, body: Iterable[bytes], answer: _Answer) -> None:
        self._body = body
        self._answer = answer

    def __iter__(self) -> Iterator[bytes]:
        answer = self._answer
        for chunk in self._body:
            answer.bytes += len(chunk)
            yield chunk

    def close(self) -> None:
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                close()
        finally:
            self._answer.finish()
