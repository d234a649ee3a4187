"""Everything in webdemo that parses untrusted bytes, in one table.

The rule: a parser takes bytes, raises only the exceptions that it documents, and takes linear time. A new
parser gets a row here, and is thereby tested and fuzzed.
"""

from __future__ import annotations

import io
import os
import select
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from werkzeug.exceptions import HTTPException

from webdemo.client import wire
from webdemo.client.connection import Deadline, NoResponse
from webdemo.client.greeting import read_greeting
from webdemo.client.http11 import HttpConnection
from webdemo.compare.behaviour import stable_values
from webdemo.compare.behaviour.observation import Observation
from webdemo.demo import app as demo_app
from webdemo.demo.inspection import inspect_request
from webdemo.errors import BindTextError, UrlRefused
from webdemo.middleware.access_log import Record, json_line, text_line
from webdemo.middleware.proxy_headers import ForwardedHeaders
from webdemo.net.bind import Bind, parse_ports
from webdemo.services import mail_message
from webdemo.supervisor import control
from webdemo.supervisor.control_messages import Command, Completed
from webdemo.text import plain_text, terminal_line
from webdemo.trace.recognition import recognise
from webdemo.trace.url import parse_url, redirected
from webdemo.web import Request, Response, masking
from webdemo.web.http_errors import prefers_json
from webdemo.web.static.conditions import range_applies, status_by_conditions
from webdemo.web.static.content_coding import choose
from webdemo.web.static.listing import Order
from webdemo.web.static.ranges import parse_ranges
from webdemo.web.visitor import split_host

Read = Callable[[bytes], object]

UNITS = (
    *(bytes([byte]) for byte in b"\0\n \t!\"#$%&'()*+,-./0:;<=>?@A[\\]^_a{|}~\x80\xff"),
    *(b"=&", b"a=", b"a&", b"a=b&", b"a=b;", b'a="', b"a,", b"a;", b", ", b"; ", b'",', b'\\"', b'""'),
    *(b"\\\\", b"()", b"(\r\n ", b"\r\n", b"\r\n ", b"\r\n\r\n", b"\r", b"a\r\n", b"a:b\r\n", b"a: b\r\n "),
    *(b"--\r\n", b"%41", b"%25", b"%2541", b"%c3%a4", b"\\u0070", b"\xc3\xa4", b"\xcc\x81\xcc\xa3", b"&#1;"),
    *(b"aA", b"a1", b"a.", b"a-", b"//", b"/a", b"/../", b"://", b"://@", b":@", b"@,", b":1", b"::", b"1."),
    *(b"0x", b"eyJ", b"=?", b"=?a?q?", b"=?utf-8?q?=41?= ", b"=?utf-8?b?QQ==?=", b"=41", b"*0*=a; "),
    *(b"<a@b>, ", b"a:;", b"[1]", b'{"a":', b'"a",', b"[", b"1-2,", b'W/"a", ', b'"a", ', b"gzip;q=0, "),
    *(b"text/html;q=1, ", b"key=a&"),
)
"""Units that hostile input repeats."""


@dataclass(frozen=True, slots=True)
class Target:
    """A parser and its hostile input: what surrounds the repeated unit, and its own units."""

    name: str
    read: Read
    around: tuple[tuple[bytes, bytes], ...] = ((b"", b""), (b"a", b"!"))
    more_units: tuple[bytes, ...] = ()
    size: int = 2048
    units: tuple[bytes, ...] = UNITS
    examples: int = 100

    def shapes(self) -> Iterator[tuple[bytes, bytes, bytes]]:
        for before, after in self.around:
            for unit in (*self.units, *self.more_units):
                yield before, unit, after


def build(shape: tuple[bytes, bytes, bytes], size: int) -> bytes:
    before, unit, after = shape
    return before + unit * (size // len(unit)) + after


def _text(read: Callable[[str], object], *promised: type[Exception]) -> Read:
    """A parser of text, which gets the bytes decoded as Latin-1, as WSGI does (PEP 3333)."""

    def read_text(data: bytes) -> None:
        with suppress(*promised):
            read(data.decode("latin-1"))

    return read_text


def _environ(**headers: object) -> dict[str, Any]:
    return {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/",
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": io.StringIO(),
        **headers,
    }


def _request(read: Callable[[Request], object], key: str) -> Read:
    return _text(lambda text: read(Request(_environ(**{key: text}))), HTTPException)


def _body(content_type: str, read: Callable[[Request], object]) -> Read:
    def read_body(data: bytes) -> None:
        environ = _environ(
            REQUEST_METHOD="POST",
            CONTENT_TYPE=content_type,
            CONTENT_LENGTH=str(len(data)),
            **{"wsgi.input": io.BytesIO(data)},
        )
        request = Request(environ)
        with suppress(HTTPException):
            read(request)
        request.close()

    return read_body


def _ask_demo(key: str) -> Read:
    def ask(data: bytes) -> None:
        environ = _environ(**{key: data.decode("latin-1")})
        if key == "PATH_INFO" and not environ["PATH_INFO"].startswith("/"):
            environ["PATH_INFO"] = f"/{environ['PATH_INFO']}"
        body = demo_app(environ, lambda *_: lambda _: None)
        close = getattr(body, "close", None)
        if close:
            close()

    return ask


def _inspect(key: str) -> Read:
    return _text(lambda text: inspect_request(_environ(**{key: text}), "/", io.BytesIO()))


def _inspect_body(content_type: str) -> Read:
    return lambda data: inspect_request(_environ(CONTENT_TYPE=content_type), "/", io.BytesIO(data))


def _behind_proxy(key: str, *, rfc7239: bool) -> Read:
    app = ForwardedHeaders(lambda *_: [], ["*"], rfc7239=rfc7239)
    return _text(lambda text: app(_environ(**{key: text}), lambda *_: lambda _: None))


def _conditions(key: str) -> Read:
    return _text(lambda text: status_by_conditions({key: text}, '"tag"', 10**9))


def _dates(data: bytes) -> None:
    text = data.decode("latin-1")
    conditions = ("DATE", "IF_MODIFIED_SINCE", "IF_UNMODIFIED_SINCE", "IF_RANGE")
    environ = _environ(HTTP_RANGE="bytes=0-0", **{f"HTTP_{name}": text for name in conditions})
    request = Request(environ)
    _ = request.date, request.if_modified_since, request.if_unmodified_since, request.if_range
    last_modified = "Mon, 01 Jan 2024 00:00:00 GMT"
    Response("ab", headers={"Last-Modified": last_modified}).make_conditional(request, True, 2)


def _line(text: str) -> None:
    record = Record(0, "waitress", ":8000", text, text, text, "200", 0, 1_000_000, "a-1")
    for form in (text_line, json_line):
        form(record)


class _Source:
    """A connection whose peer has sent these bytes and nothing more."""

    def __init__(self, data: bytes) -> None:
        self._stream = io.BytesIO(data)

    def recv(self, size: int) -> bytes:
        return self._stream.read(size)

    def send(self, data: bytes) -> int:
        return len(data)

    def sendall(self, data: bytes) -> None:
        pass

    def settimeout(self, seconds: float) -> None:
        pass


_URL = parse_url("http://localhost:8000/")


def _trace_answer(data: bytes) -> None:
    source: Any = _Source(data)
    http = HttpConnection(source, Deadline(1000.0))
    http.send("GET", "/", [("Host", "localhost")])
    with suppress(NoResponse):
        http.read_head()
        for _ in http.read_body():
            pass


def _trace_greeting(data: bytes) -> None:
    source: Any = _Source(data)
    with suppress(NoResponse):
        read_greeting(source, Deadline(1000.0))


def _compare_answers(data: bytes) -> None:
    for answer in wire.parse(data, ["GET", "GET"], at_end=True)[0]:
        _ = answer.json, answer.says_close


def _stable(data: bytes) -> None:
    observed = [Observation("200", (("a", "b"),), body) for body in (data, data + b"1")]
    stable_values.stable({"one": observed, "other": observed[:1]})


class _Turns:
    """An event loop for the control server that the test steps manually."""

    def __init__(self) -> None:
        self.readable: dict[Any, Callable[[], None]] = {}
        self.writable: dict[Any, Callable[[], None]] = {}
        self.later: list[Callable[[], None]] = []

    def on_readable(self, source: Any, callback: Callable[[], None]) -> None:
        self.readable[source] = callback

    def on_writable(self, source: Any, callback: Callable[[], None]) -> None:
        self.writable[source] = callback

    def forget(self, source: Any) -> None:
        self.readable.pop(source, None)
        self.writable.pop(source, None)

    def after(self, _seconds: float, callback: Callable[[], None]) -> None:
        self.later.append(callback)

    def turn(self) -> None:
        readable, writable, _ = select.select(list(self.readable), list(self.writable), [], 0)
        calls = [*map(self.readable.get, readable), *map(self.writable.get, writable), *self.later]
        self.later.clear()
        for call in calls:
            if call:
                call()


def _obey(_: Command, respond: control.Respond) -> None:
    respond(Completed())


@contextmanager
def _control_server() -> Iterator[tuple[_Turns, Path]]:
    turns: Any = _Turns()
    before = os.environ.get("XDG_RUNTIME_DIR")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_RUNTIME_DIR"] = folder
        try:
            server = control.ControlServer(turns, _obey)
        finally:
            del os.environ["XDG_RUNTIME_DIR"]
            if before is not None:
                os.environ["XDG_RUNTIME_DIR"] = before
        try:
            yield turns, server.path
        finally:
            server.close()


def _control(data: bytes) -> None:
    with _control_server() as (turns, path), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.setblocking(False)
        unsent = data
        for _ in range(100_000):  # until it hangs up
            turns.turn()
            if unsent:
                with suppress(BlockingIOError, BrokenPipeError):
                    unsent = unsent[client.send(unsent) :]
            else:
                with suppress(OSError):
                    client.shutdown(socket.SHUT_WR)
            with suppress(BlockingIOError):
                try:
                    if not client.recv(65536):
                        return
                except ConnectionResetError:
                    return
        raise AssertionError("the control server neither answers nor hangs up")


_ADDRESS = ((b"From: ", b"\r\n\r\n"), (b"Subject: a", b"!\r\n\r\nx"), (b"", b""))
_MULTIPART = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
_PARTS = (
    (_MULTIPART, b""),
    (_MULTIPART + b"--b\r\nContent-Type: text/plain; ", b"\r\n\r\nx\r\n--b--"),
    (b"Content-Type: text/plain; charset=", b"\r\n\r\nx"),
    (b"Content-Disposition: attachment; filename=", b"\r\n\r\nx"),
    (b"Content-Transfer-Encoding: base64\r\n\r\n", b""),
    (b"Content-Transfer-Encoding: quoted-printable\r\n\r\n", b"="),
)
_MAIL_UNITS = (
    *(b"--b\r\n", b"--b\r\n\r\n", b"--b--\r\n", b"--b\r\nA: b\r\n\r\nx\r\n", b"\n--b", b"--bb\n"),
    *(_MULTIPART + b"--b\r\n", b"Content-Type: message/rfc822\r\n\r\n", b"References: <a@b>\r\n"),
    *(b"X-Envelope-To: <a@b>\r\n", b"From: a\r\n", b"a*0*=''%41; ", b'Cc: "\r\n "\r\n'),
)
_HTTP = b"HTTP/1.1 200 OK\r\n"
_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
_FORM = b'--b\r\nContent-Disposition: form-data; name="'

TARGETS = (
    Target(
        "bind text",
        _text(Bind.parse, BindTextError),
        ((b"", b""), (b"waitress://", b":8000"), (b"[", b"]:1")),
    ),
    Target("list of ports", _text(parse_ports, BindTextError), more_units=(b"8000,", b"1-2,", b"0,")),
    Target(
        "Forwarded",
        _behind_proxy("HTTP_FORWARDED", rfc7239=True),
        ((b"", b""), (b"for=1", b"x"), (b'a="', b'"')),
        (b"for=1, ", b"for=1.2.3.4, ", b'for="\\"', b"for=a;", b"for=[::1],"),
    ),
    Target(
        "X-Forwarded-For", _behind_proxy("HTTP_X_FORWARDED_FOR", rfc7239=False), more_units=(b"1.2.3.4, ",)
    ),
    Target("X-Forwarded-Host", _behind_proxy("HTTP_X_FORWARDED_HOST", rfc7239=False)),
    Target(
        "Range",
        _text(lambda text: parse_ranges(text, 10**6)),
        ((b"", b""), (b"bytes=", b""), (b"bytes", b"=x")),
    ),
    Target("If-None-Match", _conditions("HTTP_IF_NONE_MATCH"), more_units=(b'"', b'W/"')),
    Target("If-Match", _conditions("HTTP_IF_MATCH")),
    Target(
        "If-Modified-Since",
        _conditions("HTTP_IF_MODIFIED_SINCE"),
        ((b"Sun, 06 Nov 1994 ", b" GMT"), (b"", b"")),
    ),
    Target("If-Range", _text(lambda text: range_applies(text, '"tag"', 10**9, 2e9))),
    Target(
        "Accept-Encoding",
        _text(lambda text: choose.__wrapped__(text, ("br", "gzip"))),
        ((b"", b""), (b"gzip", b"x")),
    ),
    Target("Accept", _text(prefers_json), ((b"", b""), (b"text/html;", b"x"))),
    Target(
        "Accept of a view",
        _request(lambda request: request.accept_mimetypes.best_match(["text/html"]), "HTTP_ACCEPT"),
        ((b"", b""), (b"text/html", b"x"), (b"text/html;", b"x")),
    ),
    Target("Host", _text(split_host), ((b"", b""), (b"[", b"]:1"), (b"a:", b""))),
    Target("host of a request", _request(lambda request: request.host, "HTTP_HOST")),
    Target(
        "dates of a request",
        _dates,
        ((b"Mon, 01 Jan ", b" 00:00:00 GMT"), (b"Mon, 01 Jan 2020 00:00:00 +", b""), (b"", b"")),
    ),
    Target("query", _request(lambda request: request.args, "QUERY_STRING")),
    Target("path", _request(lambda request: (request.path, request.full_path, request.url), "PATH_INFO")),
    Target(
        "cookies",
        _request(lambda request: request.cookies, "HTTP_COOKIE"),
        ((b"", b""), (b'a="', b""), (b"a= ", b"x"), (b'a="', b'"')),
        (b"a=b; ", b'\\"', b"\\101", b'a="b"; '),
    ),
    Target("form", _body("application/x-www-form-urlencoded", lambda request: request.form)),
    Target(
        "multipart",
        _body("multipart/form-data; boundary=b", lambda request: (request.form, request.files)),
        (
            (b"", b""),
            (b"--b\r\n", b"\r\n--b--"),
            (_FORM, b'"\r\n\r\nx\r\n--b--'),
            (_FORM + b'a"\r\n\r\n', b"\r\n--b--"),
            (_FORM + b'a"; filename="', b'"\r\n\r\nx\r\n--b--'),
        ),
        (b"--b\r\n", b"\r\n--b", b"\r\n--b\r\n\r\n"),
    ),
    Target(
        "type of a body",
        lambda data: _body(
            f"multipart/form-data; {data.decode('latin-1')}", lambda request: (request.mimetype, request.form)
        )(b""),
    ),
    Target("JSON", _body("application/json", lambda request: request.get_json())),
    Target(
        "JSON of a type",
        lambda data: _body(data.decode("latin-1"), lambda request: request.mimetype_params)(b""),
    ),
    Target(
        "demo site's paths", _ask_demo("PATH_INFO"), ((b"/", b""), (b"/files/", b""), (b"/ports/", b"/x"))
    ),
    Target("demo site's query", _ask_demo("QUERY_STRING")),
    Target("order of a listing", _text(Order.parse), ((b"", b""), (b"sort=", b"&order=desc"))),
    Target("masked text", _text(masking.mask_text), size=1024),
    Target("masked URL", _text(masking.mask_url), more_units=(b"key=a&", b"%6bey=a&", b"a=eyJ&"), size=1024),
    Target("name of a secret", _text(masking.is_secret_name)),
    Target("inspected query", _inspect("QUERY_STRING")),
    Target("inspected header", _inspect("HTTP_X")),
    Target("inspected cookies", _inspect("HTTP_COOKIE")),
    Target("inspected body", _inspect_body("text/plain"), size=1024),
    Target("inspected form", _inspect_body("application/x-www-form-urlencoded"), size=1024),
    Target("mail", mail_message.take_apart, (*_ADDRESS, *_PARTS), _MAIL_UNITS),
    Target("head of a mail", mail_message.summarize, _ADDRESS, _MAIL_UNITS),
    Target("envelope", _text(plain_text)),
    Target("access log line", _text(_line)),
    Target("output of an app", _text(terminal_line), more_units=(b"\x1b[31m", b"\x1e")),
    Target(
        "control message",
        _control,
        ((b"", b""), (b"", b"\n")),
        size=1024,
        examples=15,
        units=(b"\n", b'{"do":"ps"}\n', b"[", b'{"a":', b"1e400,", b'"', b"\\u0070", b"9", b"\xff", b"\0"),
    ),
    Target(
        "URL to trace",
        _text(parse_url, UrlRefused),
        ((b"http://", b"/"), (b"http://a/", b""), (b"unix:/", b"")),
    ),
    Target(
        "redirect", _text(lambda text: redirected(_URL, text), UrlRefused), ((b"", b""), (b"http://", b"/"))
    ),
    Target(
        "traced answer",
        _trace_answer,
        ((_HTTP, b"\r\n\r\n"), (_CHUNKED, b"0\r\n\r\n"), (b"", b"")),
        (b"1\r\nx\r\n", b"1;a\r\nx\r\n", b"0", b"HTTP/1.1 100 a\r\n\r\n"),
    ),
    Target("greeting", _trace_greeting, ((b"220", b"\r\n"), (b"220-", b"\r\n220 x\r\n")), (b"220-a\r\n",)),
    Target("first bytes", recognise),
    Target(
        "compared answers",
        _compare_answers,
        ((_HTTP, b"\r\n\r\n"), (_CHUNKED, b"0\r\n\r\n"), (b"", b"")),
        (b"1\r\nx\r\n", b"HTTP/1.1 204 a\r\n\r\n", b"HTTP/1.1 100 a\r\n\r\n"),
    ),
    Target("changing answers", _stable),
)
