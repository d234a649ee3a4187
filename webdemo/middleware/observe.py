"""One request and its answer, as they pass between server and app.

Each is counted, and logged where a log is wanted, once the server has closed the answer. For both
the answer is wrapped once, and the server can do with it what it could do with the app's own: take
a list's length, send a file by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from webdemo.stats.counters import RequestCounter

Headers = list[tuple[str, str]]

FAILED = "500"


class Log(Protocol):
    def begin(self, answer: Answer) -> None:
        """The app is about to be called."""

    def write(self, answer: Answer) -> None:
        """The server has closed the answer."""


def watch(app: WSGIApplication, counter: RequestCounter, log: Log | None = None) -> WSGIApplication:
    """WSGI middleware that tells the counter, and the log, of each request."""

    def watched(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        answer = Answer(environ, start_response, counter, log)
        try:
            body = app(environ, answer.start)
        except BaseException:
            answer.status = FAILED
            answer.end()
            raise
        return answer.wrap(body)

    return watched


class Answer:
    """What is known of one request while it is answered."""

    __slots__ = (
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
        self.status = ""  # as the app gives it
        self.bytes = 0  # of the body, as far as the app gave it; a file's as announced
        self.request_id = ""  # as the log gives it: a header of the answer, if the app gives none such
        self._start_response = start_response
        self._counter = counter
        self._log = log
        self._ended = False
        self.began = perf_counter_ns()
        counter.begin()
        if log is not None:
            log.begin(self)

    def start(self, status: str, headers: Headers, exc_info: Any = None) -> Callable[[bytes], None]:
        """The app's start_response."""
        self.status = status
        self._headers = headers
        if self.request_id and "x-request-id" not in [name.lower() for name, _ in headers]:
            headers = [*headers, ("X-Request-ID", self.request_id)]  # a new list: the app may keep its own
        if exc_info:
            self._write = self._start_response(status, headers, exc_info)
        else:
            self._write = self._start_response(status, headers)
        return self.write

    def write(self, data: bytes) -> None:
        """What start_response returns: the old way to send a body."""
        self.bytes += len(data)
        self._write(data)

    def wrap(self, body: Iterable[bytes]) -> Iterable[bytes]:
        """The body for the server; its close ends the answer."""
        if isinstance(body, (list, tuple)):
            self.bytes += len(body[0]) if len(body) == 1 else sum(map(len, body))
            listed = _ListBody(body)
            listed.close = self.end if type(body) is list else _closing(body, self)
            return listed
        wrapper = self.environ.get("wsgi.file_wrapper")
        if isinstance(wrapper, type) and isinstance(body, wrapper):
            # The server must get its own object back, or it would not use sendfile.
            self.bytes += _announced(self._headers)
            body.close = _closing(body, self)  # type: ignore[attr-defined]
            return body
        return _IterableBody(body, self)

    def end(self) -> None:
        if not self._ended:
            self._ended = True
            self.nanoseconds = perf_counter_ns() - self.began
            if self.environ.get("REQUEST_METHOD") == "HEAD":
                self.bytes = 0
            self._counter.end(self.status, self.bytes, self.nanoseconds)
            if self._log is not None:
                self._log.write(self)


def _announced(headers: Headers) -> int:
    lengths = (value for name, value in headers if name.lower() == "content-length")
    length = next(lengths, "")
    return int(length) if length.isdecimal() else 0


def _closing(body: Any, answer: Answer) -> Callable[[], None]:
    """The body's own close, and then the answer's end; of a body without one the end alone."""
    close = getattr(body, "close", None)
    if close is None:
        return answer.end

    def close_and_end() -> None:
        try:
            close()
        finally:
            answer.end()

    return close_and_end


class _ListBody(list[bytes]):
    """A list that the server may take the length of, with the close that a list lacks."""

    __slots__ = ("close",)  # set by its maker; an __init__ of its own would take twice as long

    close: Callable[[], None]


class _IterableBody:
    __slots__ = ("_answer", "_body", "close")

    def __init__(self, body: Iterable[bytes], answer: Answer) -> None:
        self._body = body
        self._answer = answer
        self.close = _closing(body, answer)

    def __iter__(self) -> Iterator[bytes]:
        answer = self._answer
        try:
            for chunk in self._body:
                answer.bytes += len(chunk)
                yield chunk
        except Exception:
            if not answer.bytes:
                answer.status = FAILED  # nothing is sent yet, so the server says so
            raise
