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
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PAUSE_SECONDS = 0.6  # between two parts of a stream
LARGE_BYTES = 1 << 20
ANNOUNCED_BYTES = 200_000  # the length announced for a file
SHRUNK_BYTES = 100_000  # the length that is left when it is sent
MOST_READS = 200  # past a file's end; a server that reads more often would read forever
ENDLESS = "endless"
TEXT = ("Content-Type", "text/plain; charset=utf-8")

_records: dict[str, list[str]] = {}  # probe id -> what happened to its response


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    page = PAGES.get(environ["PATH_INFO"].removeprefix("/probe/"), echo)
    return page(environ, start_response)


def _send_facts(start_response: StartResponse, facts: dict[str, Any]) -> Iterable[bytes]:
    body = json.dumps(facts).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


# -- what the app receives ------------------------------------------------------------------------


def echo(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Return the environ; the body is not read."""
    shown = {key: value for key, value in environ.items() if isinstance(value, str | int)}
    facts = {
        "environ": shown,
        "is_dict": type(environ) is dict,
        "file_wrapper": "wsgi.file_wrapper" in environ,
        "no_streams": [key for key in ("wsgi.input", "wsgi.errors") if key not in environ],
        "version": list(environ.get("wsgi.version", ())),
        "not_native": sorted(
            key
            for key, value in environ.items()
            if key.isupper() and "." not in key and type(value) is not str
        ),
    }
    return _send_facts(start_response, facts)


def read(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Read the body to its end."""
    body = environ["wsgi.input"].read()
    return _send_facts(start_response, _body(environ, body))


def read_by_length(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Read CONTENT_LENGTH bytes of the body, as Django and many others do."""
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    return _send_facts(start_response, _body(environ, body))


def read_lines(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Call each method that PEP 3333 demands of wsgi.input."""
    stream = environ["wsgi.input"]
    first = stream.readline()
    second = stream.read(2)
    third = stream.readlines(1)
    rest = list(stream)
    parts = [first, second, *third, *rest]
    return _send_facts(start_response, {"parts": [part.decode("latin-1") for part in parts]})


def read_past_end(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Ask for more bytes than the body has."""
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0) + 100)
    return _send_facts(start_response, _body(environ, body))


def _body(environ: WSGIEnvironment, body: bytes) -> dict[str, Any]:
    return {
        "length": len(body),
        "start": body[:100].decode("latin-1"),
        "content_length": environ.get("CONTENT_LENGTH"),
        "terminated": bool(environ.get("wsgi.input_terminated")),
    }


def recall(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Return what happened to an earlier response of this process."""
    return _send_facts(start_response, {"happened": _records.get(environ["QUERY_STRING"], [])})


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


def stream(pause_seconds: float, *parts: bytes) -> WSGIApplication:
    def page(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [TEXT])
        for number, part in enumerate(parts):
            if number:
                time.sleep(pause_seconds)
            yield part

    return page


def by_write(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    write = start_response("200 OK", [TEXT])
    write(b"written, ")
    return [b"and returned"]


def file(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Send a file through the server's wsgi.file_wrapper, if it has one."""
    content = bytes(range(256)) * 256
    start_response("200 OK", [TEXT, ("Content-Length", str(len(content)))])
    stream = io.BytesIO(content)
    wrapper = environ.get("wsgi.file_wrapper")
    if wrapper is None:
        return iter(lambda: stream.read(16384), b"")
    wrapped: Iterable[bytes] = wrapper(stream, 16384)
    return wrapped


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


class Parts:
    """The file as an iterable, for a server without file_wrapper."""

    def __init__(self, file: io.FileIO) -> None:
        self._file = file

    def __iter__(self) -> Iterator[bytes]:
        return iter(lambda: self._file.read(16384), b"")

    def close(self) -> None:
        self._file.close()


def file_shrinks(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [TEXT, ("Content-Length", str(ANNOUNCED_BYTES))])
    shrinking = Shrinking(environ["QUERY_STRING"])
    wrapper = environ.get("wsgi.file_wrapper")
    if wrapper is None:
        return Parts(shrinking)
    wrapped: Iterable[bytes] = wrapper(shrinking, 16384)
    return wrapped


class Closing:
    """A response that records the call of its close()."""

    def __init__(self, key: str, parts: Iterator[bytes]) -> None:
        self._noted = _records.setdefault(key, [])
        self._parts = parts

    def __iter__(self) -> Iterator[bytes]:
        return self._parts

    def close(self) -> None:
        self._noted.append("close")


def closing(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [TEXT])
    return Closing(environ["QUERY_STRING"], iter([b"one", b"two"]))


def closing_endless(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Stream for longer than the client stays connected, but for three seconds at most."""

    def parts() -> Iterator[bytes]:
        for _ in range(60):
            yield b"x" * 20_000
            time.sleep(0.05)

    start_response("200 OK", [TEXT])
    return Closing(environ["QUERY_STRING"], parts())


def closing_failed(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    def parts() -> Iterator[bytes]:
        yield b"one"
        raise RuntimeError("the probe's: in the middle of a response")

    start_response("200 OK", [TEXT])
    return Closing(environ["QUERY_STRING"], parts())


# -- invalid responses ----------------------------------------------------------------------------


def raise_before(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    raise RuntimeError("the probe's: before start_response")


def raise_after_start(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [TEXT])
    raise RuntimeError("the probe's: after start_response, before the body")


def raise_in_body(length: int | None) -> WSGIApplication:
    def page(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [TEXT] if length is None else [TEXT, ("Content-Length", str(length))])
        yield b"hello"
        raise RuntimeError("the probe's: in the middle of the body")

    return page


def start_again(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """An error handler before anything is sent: the second status must replace the first."""
    start_response("200 OK", [TEXT])
    try:
        raise RuntimeError("the probe's: handled")
    except RuntimeError:
        start_response("503 Service Unavailable", [TEXT], sys.exc_info())
    return [b"sorry"]


def start_again_late(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
    """An error handler after data was sent: start_response must raise."""
    start_response("200 OK", [TEXT])
    yield b"hello"
    try:
        raise RuntimeError("the probe's: too late to be handled")
    except RuntimeError:
        start_response("503 Service Unavailable", [TEXT], sys.exc_info())
    yield b"sorry"


def start_twice(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [TEXT])
    start_response("201 Created", [TEXT])
    return [b"hello"]


def start_never(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    return [b"hello"]


PAGES: dict[str, Callable[..., Iterable[bytes]]] = {
    "recall": recall,
    "read": read,
    "read-by-length": read_by_length,
    "read-lines": read_lines,
    "read-past-end": read_past_end,
    "hello": respond(),
    "no-length": respond(length=None),
    "204-with-body": respond(status="204 No Content", length=None, content_type=False),
    "304-with-body": respond(("ETag", '"x"'), status="304 Not Modified", length=None, content_type=False),
    "304-with-length": respond(("ETag", '"x"'), status="304 Not Modified", body=[b""], content_type=False),
    "stream": stream(0, b"one ", b"two ", b"three"),
    "stream-slowly": stream(PAUSE_SECONDS, b"first ", b"second"),
    "stream-empty-parts": stream(0, b"one ", b"", b"two ", b"", b"three"),
    "large": respond(body=[b"x" * LARGE_BYTES], length=LARGE_BYTES),
    "by-write": by_write,
    "file": file,
    "file-shrinks": file_shrinks,
    "closing": closing,
    "closing-endless": closing_endless,
    "closing-failed": closing_failed,
    "raise-before": raise_before,
    "raise-after-start": raise_after_start,
    "raise-in-body": raise_in_body(None),
    "raise-in-body-with-length": raise_in_body(100),
    "start-again": start_again,
    "start-again-late": start_again_late,
    "start-twice": start_twice,
    "start-never": start_never,
    "too-short": respond(length=100),
    "too-long": respond(length=3),
    "text-body": respond(body=["hello"], length=None),
    "hop-by-hop": respond(("Keep-Alive", "timeout=99")),
    "own-transfer-encoding": respond(("Transfer-Encoding", "chunked"), length=None),
    "line-break-in-header": respond(("X-Made", "a\r\nX-Injected: yes")),
    "latin-1-header": respond(("X-Name", "caf\xe9")),
    "wide-header": respond(("X-Name", "5 \u20ac")),
    "two-cookies": respond(("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")),
    "lower-case-header": respond(("x-mIxed-case", "1")),
    "own-date": respond(("Date", "Thu, 01 Jan 1998 00:00:00 GMT")),
    "own-server": respond(("Server", "the-app")),
    "odd-status": respond(status="299 Quite Odd"),
}
