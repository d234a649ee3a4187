"""The app that the probes are sent to: each page does one thing that apps do, valid or invalid.

Runs in the probed servers' processes. `/probe/NAME` is a page below; any other path returns the environ, so
that a probe may request any path. It is plain WSGI, so that only the server determines the result.
"""

from __future__ import annotations

import io
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import IO, TYPE_CHECKING, Any
from wsgiref.util import FileWrapper

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PAUSE_SECONDS = 0.6  # between two parts of a stream
LARGE_BYTES = 1 << 20
ANNOUNCED_BYTES = 200_000  # the length announced for a file
SHRUNK_BYTES = 100_000  # the length that is left when it is sent
MOST_READS = 200  # past a file's end; a server that reads more often would read forever
FILE = bytes(range(256)) * 256
ENDLESS = "endless"
TEXT = ("Content-Type", "text/plain; charset=utf-8")

_records: dict[str, list[str]] = {}  # probe id -> what happened to its response


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    page = PAGES.get(environ["PATH_INFO"].removeprefix("/probe/"), echo)
    return page(environ, start_response)


# -- what the app receives ------------------------------------------------------------------------


def _facts(gather: Callable[[WSGIEnvironment], dict[str, Any]]) -> WSGIApplication:
    """A page that returns facts as JSON."""

    def page(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        body = json.dumps(gather(environ), sort_keys=True).encode()
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]

    return page


@_facts
def echo(environ: WSGIEnvironment) -> dict[str, Any]:
    """The environ, objects by the names of their types; the body is not read."""
    return {
        "environ": {
            key: value if isinstance(value, str | int | tuple) else type(value).__name__
            for key, value in environ.items()
        },
        "is_dict": type(environ) is dict,
        "not_native": sorted(
            key
            for key, value in environ.items()
            if key.isupper() and "." not in key and type(value) is not str
        ),
    }


def _reads(beyond: int | None = None) -> WSGIApplication:
    """A page that reads the body to its end, or so many bytes `beyond` CONTENT_LENGTH."""

    @_facts
    def page(environ: WSGIEnvironment) -> dict[str, Any]:
        stream, length = environ["wsgi.input"], environ.get("CONTENT_LENGTH")
        body: bytes = stream.read() if beyond is None else stream.read(int(length or 0) + beyond)
        return {
            "start": body[:100].decode("latin-1"),
            "content_length": length,
            "terminated": bool(environ.get("wsgi.input_terminated")),
        }

    return page


@_facts
def read_lines(environ: WSGIEnvironment) -> dict[str, Any]:
    """Call each method that PEP 3333 demands of wsgi.input."""
    stream = environ["wsgi.input"]
    parts = [stream.readline(), stream.read(2), *stream.readlines(1), *stream]
    return {"parts": [part.decode("latin-1") for part in parts]}


@_facts
def recall(environ: WSGIEnvironment) -> dict[str, Any]:
    """What happened to an earlier response of this process."""
    return {"happened": _records.get(environ["QUERY_STRING"], [])}


# -- responses ------------------------------------------------------------------------------------


def respond(
    *headers: tuple[str, str],
    status: str = "200 OK",
    body: Iterable[Any] = (b"hello",),
    length: int | None = 5,
    content_type: bool = True,
) -> WSGIApplication:
    sent = [*([TEXT] if content_type else []), *headers]
    if length is not None:
        sent.append(("Content-Length", str(length)))

    def page(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response(status, list(sent))
        return list(body)

    return page


def stream(
    *parts: bytes, headers: Sequence[tuple[str, str]] = (), pause_seconds: float = 0, fails: bool = False
) -> WSGIApplication:
    """A page that yields the parts, then raises if it `fails`."""

    def page(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [TEXT, *headers])
        for number, part in enumerate(parts):
            if number:
                time.sleep(pause_seconds)
            yield part
        if fails:
            raise RuntimeError("the probe's: in the middle of the body")

    return page


def by_write(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    write = start_response("200 OK", [TEXT])
    write(b"written, ")
    return [b"and returned"]


class Closable:
    """A response with a close()."""

    def __init__(self, parts: Iterator[bytes], close: Callable[[], object]) -> None:
        self._parts = parts
        self.close = close

    def __iter__(self) -> Iterator[bytes]:
        return self._parts


def sends_file(length: int, open_file: Callable[[str], IO[bytes] | io.RawIOBase]) -> WSGIApplication:
    """A page that sends a file through the server's wsgi.file_wrapper or, if it has none, in parts."""

    def page(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [TEXT, ("Content-Length", str(length))])
        wrap: Callable[..., Iterable[bytes]] = environ.get("wsgi.file_wrapper", FileWrapper)
        return wrap(open_file(environ["QUERY_STRING"]), 16384)

    return page


class Shrinking(io.FileIO):
    """A file that loses its second half when it is first read, or when its descriptor is requested.

    A server that keeps reading past the end is stopped, so that it does not spin.
    """

    def __init__(self, key: str) -> None:
        with tempfile.TemporaryFile() as file:
            super().__init__(os.dup(file.fileno()), "r+b")
        self.truncate(ANNOUNCED_BYTES)
        self._noted = _records.setdefault(key, [])
        self._reads_left = MOST_READS

    def _shrink(self) -> None:
        if os.fstat(super().fileno()).st_size > SHRUNK_BYTES:
            self.truncate(SHRUNK_BYTES)

    def fileno(self) -> int:
        self._shrink()
        return super().fileno()

    def read(self, size: int | None = -1, /) -> bytes:
        self._shrink()
        data = super().read(-1 if size is None else size)
        if not data and size:
            self._reads_left -= 1
            if not self._reads_left:
                self._noted.append(ENDLESS)
                raise OSError("the probe's: reading past the end of a file")
        return data or b""

    def close(self) -> None:
        if not self.closed:
            self._noted.append("close")
        super().close()


def closing(parts: Callable[[], Iterator[bytes]]) -> WSGIApplication:
    """A page that records the call of its response's close()."""

    def page(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [TEXT])
        noted = _records.setdefault(environ["QUERY_STRING"], [])
        return Closable(parts(), lambda: noted.append("close"))

    return page


def endless() -> Iterator[bytes]:
    """Stream for longer than the client stays connected, but for three seconds at most."""
    for _ in range(60):
        yield b"x" * 20_000
        time.sleep(0.05)


def failed() -> Iterator[bytes]:
    yield b"one"
    raise RuntimeError("the probe's: in the middle of a response")


# -- invalid responses ----------------------------------------------------------------------------


def starts(*statuses: str, fails: bool = False) -> WSGIApplication:
    """A page that calls start_response with each status, then raises if it `fails`."""

    def page(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        for status in statuses:
            start_response(status, [TEXT])
        if fails:
            raise RuntimeError("the probe's: before the body")
        return [b"hello"]

    return page


def start_again(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """An error handler before anything is sent: the second status must replace the first."""
    start_response("200 OK", [TEXT])
    _handle_error(start_response)
    return [b"sorry"]


def start_again_late(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
    """An error handler after data was sent: start_response must raise."""
    start_response("200 OK", [TEXT])
    yield b"hello"
    _handle_error(start_response)
    yield b"sorry"


def _handle_error(start_response: StartResponse) -> None:
    try:
        raise RuntimeError("the probe's: handled")
    except RuntimeError:
        start_response("503 Service Unavailable", [TEXT], sys.exc_info())


PAGES: dict[str, Callable[..., Iterable[bytes]]] = {
    "recall": recall,
    "read": _reads(),
    "read-by-length": _reads(0),  # as Django and many others do
    "read-past-end": _reads(100),
    "read-lines": read_lines,
    "hello": respond(),
    "no-length": respond(length=None),
    "204-with-body": respond(status="204 No Content", length=None, content_type=False),
    "304-with-body": respond(("ETag", '"x"'), status="304 Not Modified", length=None, content_type=False),
    "304-with-length": respond(("ETag", '"x"'), status="304 Not Modified", body=[b""], content_type=False),
    "stream": stream(b"one ", b"two ", b"three"),
    "stream-slowly": stream(b"first ", b"second", pause_seconds=PAUSE_SECONDS),
    "stream-empty-parts": stream(b"one ", b"", b"two ", b"", b"three"),
    "large": respond(body=[b"x" * LARGE_BYTES], length=LARGE_BYTES),
    "write": by_write,
    "file": sends_file(len(FILE), lambda _: io.BytesIO(FILE)),
    "file-shrinks": sends_file(ANNOUNCED_BYTES, Shrinking),
    "closing": closing(lambda: iter([b"one", b"two"])),
    "closing-endless": closing(endless),
    "closing-failed": closing(failed),
    "raise-before-start": starts(fails=True),
    "raise-after-start": starts("200 OK", fails=True),
    "raise-in-body": stream(b"hello", fails=True),
    "raise-in-body-with-length": stream(b"hello", headers=[("Content-Length", "100")], fails=True),
    "start-again": start_again,
    "start-again-late": start_again_late,
    "start-twice": starts("200 OK", "201 Created"),
    "start-never": starts(),
    "too-short": respond(length=100),
    "too-long": respond(length=3),
    "text-body": respond(body=["hello"], length=None),
    "hop-by-hop": respond(("Keep-Alive", "timeout=99")),
    "own-transfer-encoding": respond(("Transfer-Encoding", "chunked"), length=None),
    "line-break-in-header": respond(("X-Made", "a\r\nX-Injected: yes")),
    "latin-1-header": respond(("X-Name", "caf\xe9")),
    "wide-header": respond(("X-Name", "5 \u20ac")),
    "two-cookies": respond(("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")),
    "header-name-case": respond(("x-mIxed-case", "1")),
    "own-date": respond(("Date", "Thu, 01 Jan 1998 00:00:00 GMT")),
    "own-server": respond(("Server", "the-app")),
    "odd-status": respond(status="299 Quite Odd"),
}
