"""Observes each request and response between server and app. Runs in the server processes.

A request is counted, and logged if a log is wanted, when the server closes the response. The body is
wrapped once for both, and the server can still do with it what it could do with the app's: take a list's
length, send a file with sendfile.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from webdemo import standard_streams

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from webdemo.stats.counters import RequestCounter

Headers = list[tuple[str, str]]

FAILED = "500"

_SENT_AT_ONCE = 65536  # a longer body may have to wait for a slow client

in_apps_process = False
"""Whether the app has forked this process: see webdemo.worker.app_processes."""

modules_of_server: tuple[str, ...] = ()
"""Modules and packages, each with a dot at its end, whose OSErrors are about the client's connection."""


class AppRaised(RuntimeError):
    """The app raised what a server takes for something else, so that it would not answer with 500.

    SystemExit and the like would end the server, or the thread that answers requests. An OSError, as of a
    database that refuses the connection, or StopIteration would count as the client's leaving.
    """

    def __init__(self, exc: BaseException) -> None:
        super().__init__(f"The app raised {exc!r} while it answered a request.")


def _misread(exc: BaseException) -> AppRaised | None:
    """What to raise instead if the server would misread it; a process that the app has forked ends by it."""
    if in_apps_process:
        _end_apps_process(exc)
    if isinstance(exc, (OSError, StopIteration)):
        return None if _is_of_server(exc) else AppRaised(exc)
    return None if isinstance(exc, Exception) else AppRaised(exc)


def _is_of_server(exc: BaseException) -> bool:
    place = exc.__traceback__
    while place is not None:
        if f"{place.tb_frame.f_globals.get('__name__')}.".startswith(modules_of_server):
            return True
        place = place.tb_next
    return False


def _end_apps_process(exc: BaseException | None = None) -> NoReturn:
    """End a process that the app has forked, and that leaves the view: it would go on as a second server.

    The exit code is Python's.
    """
    code = 0
    if isinstance(exc, SystemExit) and (exc.code is None or isinstance(exc.code, int)):
        code = exc.code or 0
    elif exc is not None:
        code = 1
        with suppress(BaseException):
            sys.excepthook(type(exc), exc, exc.__traceback__)
    standard_streams.flush()
    os._exit(code & 0xFF)


class Log(Protocol):
    def begin(self, answer: Answer) -> None:
        """Called before the app is called."""

    def write(self, answer: Answer) -> None:
        """Called when the server has closed the response."""


def watch(app: WSGIApplication, counter: RequestCounter, log: Log | None = None) -> WSGIApplication:
    """WSGI middleware that reports each request to the counter and the log."""

    def watched(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        answer = Answer(environ, start_response, counter, log)
        try:
            body = app(environ, answer.start)
        except BaseException as exc:
            misread = _misread(exc)
            answer.status = FAILED
            answer.end()
            if misread:
                raise misread from exc
            raise
        if in_apps_process:
            _end_apps_process()
        return answer.wrap(body)

    return watched


class Answer(list[bytes]):
    """The state of one request until its response is closed; the response's body, if the app's is a list.

    The server can take a list's length, and it has the close() that a list lacks.
    """

    __slots__ = (
        "_close_body",
        "_counter",
        "_ended",
        "_headers",
        "_log",
        "_start_response",
        "_write",
        "began",
        "bytes",
        "environ",
        "nanoseconds",
        "request_id",
        "status",
    )

    def __init__(
        self,
        environ: WSGIEnvironment,
        start_response: StartResponse,
        counter: RequestCounter,
        log: Log | None,
    ) -> None:
        self.environ = environ
        self.status = ""  # as passed by the app
        self.bytes = 0  # of the body, as produced by the app; of a file, its Content-Length
        self.request_id = ""  # set by the log; sent as X-Request-ID unless the app sends that header
        self._start_response = start_response
        self._counter = counter
        self._log = log
        self._ended = False
        self._close_body: Callable[[], None] | None = None
        self.began = counter.begin()
        if log is not None:
            log.begin(self)

    def start(self, status: str, headers: Headers, exc_info: Any = None) -> Callable[[bytes], None]:
        """The start_response passed to the app."""
        self.status = status
        self._headers = headers
        if self.request_id:
            for name, _ in headers:
                if len(name) == 12 and name.lower() == "x-request-id":
                    break
            else:  # a new list: the app may reuse its own
                headers = [*headers, ("X-Request-ID", self.request_id)]
        if exc_info:
            self._write = self._start_response(status, headers, exc_info)
        else:
            self._write = self._start_response(status, headers)
        return self.write

    def write(self, data: bytes) -> None:
        """The write() callable that start_response returns (PEP 3333)."""
        self.bytes += len(data)
        self._write(data)

    def wrap(self, body: Iterable[bytes]) -> Iterable[bytes]:
        """The body to return to the server; closing it ends the request."""
        if isinstance(body, (list, tuple)):
            self.bytes += len(body[0]) if len(body) == 1 else sum(map(len, body))
            if self.bytes > _SENT_AT_ONCE:
                self.responds()
            self.extend(body)
            if type(body) is not list:
                self._close_body = getattr(body, "close", None)
            return self
        self._close_body = getattr(body, "close", None)
        wrapper = self.environ.get("wsgi.file_wrapper")
        if isinstance(wrapper, type) and isinstance(body, wrapper):
            # The server uses sendfile only if it gets its own wrapper object back.
            self.bytes += _announced(self._headers)
            self.responds()
            body.close = self.close  # type: ignore[attr-defined]
            return body
        return _IterableBody(body, self)

    def responds(self) -> None:
        """From now on it takes as long as the client does, or the stream: it does not wait for the app."""
        self._counter.responds(self.began)

    def close(self) -> None:
        """Close the app's body, if it can be closed, and then end the request."""
        try:
            if self._close_body is not None:
                self._close_body()
        except BaseException as exc:
            if misread := _misread(exc):
                raise misread from exc
            raise
        finally:
            self.end()

    def end(self) -> None:
        if not self._ended:
            self._ended = True
            self.nanoseconds = perf_counter_ns() - self.began
            if self.environ.get("REQUEST_METHOD") == "HEAD":
                self.bytes = 0
            self._counter.end(self.began, self.status, self.bytes, self.nanoseconds)
            if self._log is not None:
                self._log.write(self)


def _announced(headers: Headers) -> int:
    lengths = (value for name, value in headers if name.lower() == "content-length")
    length = next(lengths, "")
    return int(length) if length.isdecimal() else 0


class _IterableBody:
    __slots__ = ("_answer", "_body", "close")

    def __init__(self, body: Iterable[bytes], answer: Answer) -> None:
        self._body = body
        self._answer = answer
        self.close = answer.close

    def __iter__(self) -> Iterator[bytes]:
        answer = self._answer
        try:
            for chunk in self._body:
                if not answer.bytes:
                    answer.responds()
                answer.bytes += len(chunk)
                if in_apps_process:
                    _end_apps_process()
                yield chunk
            if in_apps_process:
                _end_apps_process()
        except BaseException as exc:
            if type(exc) is GeneratorExit and not exc.__traceback__.tb_next:  # type: ignore[union-attr]
                raise  # the server has closed this generator
            if not answer.bytes:
                answer.status = FAILED  # nothing has been sent yet, so the server answers 500
            if misread := _misread(exc):
                raise misread from exc
            raise
