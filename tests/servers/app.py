"""The app that the server tests serve: plain WSGI, so that nothing but the server is tested."""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

TAKE_TIME = {"/slow", "/stream", "/upload"}
STREAM_PARTS = 6
STREAM_PAUSE_SECONDS = 0.5


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    if environ["PATH_INFO"] in TAKE_TIME:
        print("begun", environ["PATH_INFO"], flush=True)  # what a test waits for, in the log
    if environ["PATH_INFO"] in RAW:
        return RAW[environ["PATH_INFO"]](environ, start_response)
    body = PAGES.get(environ["PATH_INFO"], name)(environ)
    headers = [("Content-Type", "text/plain")]
    if not isinstance(body, bytes):
        start_response("200 OK", headers)
        return body
    start_response("200 OK", [*headers, ("Content-Length", str(len(body)))])
    return [body] if environ["REQUEST_METHOD"] != "HEAD" else [b""]


def name(environ: dict[str, Any]) -> bytes:
    """The server that answers, and its process id."""
    return f"{environ['SERVER_SOFTWARE']} {os.getpid()}".encode()


def slow(environ: dict[str, Any]) -> bytes:
    time.sleep(float(environ["QUERY_STRING"]))
    return b"slow, and whole"


def stream(environ: dict[str, Any]) -> Iterator[bytes]:
    for part in range(STREAM_PARTS):
        yield b"%d " % part * 1000
        time.sleep(STREAM_PAUSE_SECONDS)


def endless(environ: dict[str, Any]) -> Iterator[bytes]:
    """Server-sent events without an end, until the server drains."""
    yield b"data: first\n\n"
    while not environ["webdemo.draining"].wait(0.5):
        yield b"data: more\n\n"
    assert environ["webdemo.draining"].is_set()
    yield b"data: last\n\n"


def upload(environ: dict[str, Any]) -> bytes:
    """The body's length and digest, read by CONTENT_LENGTH, or to its end if the server terminates it."""
    length = environ.get("CONTENT_LENGTH")
    body = environ["wsgi.input"].read(int(length)) if length else b""
    if not length and environ.get("wsgi.input_terminated"):
        body = environ["wsgi.input"].read()
    return f"{len(body)} {hashlib.sha256(body).hexdigest()}".encode()


def read_all(environ: dict[str, Any]) -> bytes:
    """The body's length, read to its end whatever length was announced."""
    return str(len(environ["wsgi.input"].read())).encode()


def discard(environ: dict[str, Any]) -> bytes:
    """The body's length, read in pieces that are discarded."""
    length = 0
    while piece := environ["wsgi.input"].read(65536):
        length += len(piece)
    return str(length).encode()


def ignore_body(environ: dict[str, Any]) -> bytes:
    return b"not read"


def head_with_body(environ: dict[str, Any]) -> Iterator[bytes]:
    """A body for every method, as careless apps do for HEAD."""
    yield b"a body"


def large(environ: dict[str, Any]) -> bytes:
    return bytes(range(256)) * 16384


def nothing(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """A response without a body, as an empty list."""
    start_response("204 No Content", [("X-Nothing", "yes")])
    return []


def length_and_body(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """A body with its length for every method."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "6")])
    return [b"a body"]


def by_write(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """A body sent by PEP 3333's write(), and by iteration."""
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    write(b"written, ")
    return [b"and returned"]


def show_environ(environ: dict[str, Any]) -> bytes:
    if "HTTP_TRANSFER_ENCODING" in environ:
        environ["wsgi.input"].read()
    shown = {key: value for key, value in environ.items() if isinstance(value, str | int | tuple | bool)}
    return json.dumps(shown | {"file_wrapper": "wsgi.file_wrapper" in environ}).encode()


PAGES: dict[str, Callable[[dict[str, Any]], bytes | Iterator[bytes]]] = {
    "/slow": slow,
    "/stream": stream,
    "/endless": endless,
    "/upload": upload,
    "/read-all": read_all,
    "/discard": discard,
    "/ignore-body": ignore_body,
    "/head": head_with_body,
    "/large": large,
    "/environ": show_environ,
}
RAW: dict[str, Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]] = {
    "/nothing": nothing,
    "/write": by_write,
    "/head-length": length_and_body,
}
