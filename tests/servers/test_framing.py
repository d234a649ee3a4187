"""Requests that two recipients could read differently are refused, and nothing after them is run.

Each malformed request is followed by a second one on the same connection, as if a proxy had forwarded both
as one request. Declared exceptions of a server are read from its adapter.
"""

from __future__ import annotations

import itertools
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import running as runs
from tests.raw_http import Connection
from tests.servers.kinds import KINDS, bind
from webdemo.servers import registry

pytestmark = [pytest.mark.process, pytest.mark.smoke]

APP = '''
import os

CALLS = os.environ["CALLS"]

def app(environ, start_response):
    """Writes down what it was called for, reads the body in pieces, and writes that down."""
    record(environ["PATH_INFO"])
    stream, body = environ["wsgi.input"], b""
    if environ.get("CONTENT_LENGTH") or environ.get("wsgi.input_terminated"):
        left = int(environ.get("CONTENT_LENGTH") or 10_000)
        try:
            while part := stream.read(min(3, left)):
                body += part
                left -= len(part)
        except Exception:
            if not environ["PATH_INFO"].startswith("/careless-"):
                raise
    record(environ["PATH_INFO"] + " " + body.decode("latin-1"))
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]

def record(line):
    fd = os.open(CALLS, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, (repr(line) + "\\n").encode())
    os.close(fd)
'''
HELLO = b"5\r\nhello\r\n0\r\n\r\n"
SMUGGLED = b"GET /smuggled-%d HTTP/1.1\r\nHost: b.example\r\nConnection: close\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked"


@dataclass(frozen=True)
class Probe:
    """A request, in which the path is filled in later."""

    fields: bytes
    body: bytes = b""
    lapse: str | None = None  # the adapter's declaration that its server does not refuse it
    line: bytes = b"POST %s HTTP/1.1\r\n"
    host: bytes = b"Host: a.example\r\n"

    @property
    def refusals(self) -> tuple[list[int], ...]:
        """The right statuses; 501 is for an unknown transfer coding (RFC 9112 section 6.1), 405 Cheroot's."""
        if self.line.startswith(b"CONNECT"):
            return [400], [405]
        codings = re.findall(rb"Transfer-Encoding:([^\r]*)", self.fields)
        return ([400], [501]) if codings not in ([], [b" chunked"]) else ([400],)

    def at(self, path: bytes) -> bytes:
        return self.line % path + self.host + self.fields + b"\r\n" + self.body


def _with(*fields: bytes, body: bytes = b"hello", **named: bytes) -> Probe:
    return Probe(b"".join(field + b"\r\n" for field in fields), body, None, **named)


def _lapse(probe: Probe, lapse: str) -> Probe:
    return Probe(probe.fields, probe.body, lapse, probe.line, probe.host)


BARE_LF = "accepts a bare LF as a line's end in the head"
FOLDED = "accepts a header that is continued on the next line"
CONTROL = "accepts control characters in a header's value"
CHUNK_EXTENSION_CR = "accepts a bare CR in a chunk extension"
CHUNK_EXTENSION_LF = "accepts a bare LF in a chunk extension"
CHUNK_EXTENSION_CONTROL = "accepts control characters in a chunk extension"
CHUNK_SIZE_SPACE = "accepts white space behind a chunk's size"
TRAILER_COLON = "accepts a trailer without a colon"
TRAILER_LF = "accepts a bare LF in a trailer"
TRAILER_CONTROL = "accepts control characters in a trailer"

LENGTHS = {
    "two that differ": _with(b"Content-Length: 5", b"Content-Length: 6"),
    "two in another case": _with(b"content-length: 5", b"CONTENT-LENGTH: 0"),
    "a list of two that differ": _with(b"Content-Length: 5, 6"),
    "empty": _with(b"Content-Length:"),
    "plus": _with(b"Content-Length: +5"),
    "minus": _with(b"Content-Length: -5"),
    "underscore": _with(b"Content-Length: 0_5"),
    "hexadecimal": _with(b"Content-Length: 0x5"),
    "decimal point": _with(b"Content-Length: 5.0"),
    "words": _with(b"Content-Length: five"),
    "space inside": _with(b"Content-Length: 5 5"),
    "vertical tab before": _with(b"Content-Length: \x0b5"),
    "form feed behind": _with(b"Content-Length: 5\x0c"),
    "no-break space behind": _with(b"Content-Length: 5\xa0"),
    "next line behind": _with(b"Content-Length: 5\x85"),
    "superscript digit": _with(b"Content-Length: \xb2"),
    "arabic digit": _with("Content-Length: ٥".encode()),
    "5,000 digits": _with(b"Content-Length: " + b"0" * 4999 + b"5"),
    "space before the colon": _with(b"Content-Length : 5"),
    "tab before the colon": _with(b"Content-Length\t: 5"),
}
CODINGS = {
    "space before the colon": _with(b"Transfer-Encoding : chunked", body=HELLO),
    "tab before the colon": _with(b"Transfer-Encoding\t: chunked", body=HELLO),
    "vertical tab": _with(b"Transfer-Encoding: \x0bchunked", body=HELLO),
    "form feed": _with(b"Transfer-Encoding: chunked\x0c", body=HELLO),
    "no-break space": _with(b"Transfer-Encoding: \xa0chunked", body=HELLO),
    "NUL": _with(b"Transfer-Encoding: chunked\0", body=HELLO),
    "quoted": _with(b'Transfer-Encoding: "chunked"', body=HELLO),
    "parameter": _with(b"Transfer-Encoding: chunked;q=1", body=HELLO),
    "with Content-Length": _with(CHUNKED, b"Content-Length: 5", body=HELLO),
    "behind Content-Length": _with(b"Content-Length: 5", CHUNKED, body=HELLO),
    "unknown, with Content-Length": _with(b"Transfer-Encoding: xchunked", b"Content-Length: 5"),
    "HTTP/1.0": _with(CHUNKED, b"Connection: keep-alive", body=HELLO, line=b"POST %s HTTP/1.0\r\n"),
    "not last": _with(b"Transfer-Encoding: chunked, identity", body=HELLO),
    "behind identity": _with(b"Transfer-Encoding: identity, chunked", body=HELLO),
    "behind gzip": _with(b"Transfer-Encoding: gzip, chunked", body=HELLO),
    "twice in a list": _with(b"Transfer-Encoding: chunked, chunked", body=HELLO),
    "twice": _with(CHUNKED, CHUNKED, body=HELLO),
    "second unknown": _with(CHUNKED, b"Transfer-Encoding: x", body=HELLO),
    "unknown": _with(b"Transfer-Encoding: xchunked", body=HELLO),
    "identity": _with(b"Transfer-Encoding: identity"),
    "empty": _with(b"Transfer-Encoding:"),
    "empty element": _with(b"Transfer-Encoding: , chunked", body=HELLO),
}
HEADS = {
    "folded": _lapse(_with(b"X-Folded: one\r\n two"), FOLDED),
    "folded coding": _lapse(_with(b"Transfer-Encoding:\r\n chunked", body=HELLO), FOLDED),
    "space before the first": Probe(b"Content-Length: 5\r\n", b"hello", host=b" Host: a.example\r\n"),
    "bare LF behind a header": _lapse(Probe(b"X-One: 1\nContent-Length: 5\r\n", b"hello"), BARE_LF),
    "bare LF behind the request line": _lapse(
        Probe(b"Content-Length: 5\r\n", b"hello", line=b"POST %s HTTP/1.1\n"), BARE_LF
    ),
    "bare LF as the empty line": _lapse(Probe(b"Content-Length: 5\r\n\n", b"hello"), BARE_LF),
    "bare CR in a value": _with(b"X-One: 1\rContent-Length: 5"),
    "bare CR in a name": _with(b"X-One\r: 1"),
    "CR CR LF": _with(b"X-One: 1\r"),
    "bare CR in the request line": _with(line=b"POST %s\r HTTP/1.1\r\n"),
    "NUL in a value": _with(b"X-One: a\0b"),
    "NUL in a name": _with(b"X-\0One: a"),
    "NUL in the request line": _with(line=b"POST %s\0 HTTP/1.1\r\n"),
    "control character in a value": _lapse(_with(b"X-One: a\x08b"), CONTROL),
    "DEL in a value": _lapse(_with(b"X-One: a\x7fb"), CONTROL),
    "no colon": _with(b"nonsense"),
    "no name": _with(b": value"),
    "space in a name": _with(b"X One: 1"),
    "space before the colon": _with(b"X-One : 1"),
    "parenthesis in a name": _with(b"X(One): 1"),
    "beyond ASCII in a name": _with(b"X-\xd6ne: 1"),
    "no Host": _with(host=b""),
    "two Hosts": _with(b"Host: b.example"),
    "two Hosts alike": _with(b"Host: a.example"),
    "a Host with a space": _with(host=b"Host: a b\r\n"),
    "a Host with a path": _with(host=b"Host: a/b\r\n"),
    "a Host with a user": _with(host=b"Host: u@a.example\r\n"),
    "CONNECT": Probe(b"", line=b"CONNECT a.example:80%.0s HTTP/1.1\r\n"),
    "CONNECT to a port": Probe(b"", line=b"CONNECT 80%.0s HTTP/1.1\r\n"),
    "CONNECT to a path": Probe(b"", line=b"CONNECT %s HTTP/1.1\r\n"),
    "CONNECT, HTTP/1.0": Probe(b"", line=b"CONNECT a.example:80%.0s HTTP/1.0\r\n"),
    "two Hosts, HTTP/1.0": _with(b"Host: b.example", line=b"POST %s HTTP/1.0\r\n"),
}


def _chunked(body: bytes, lapse: str | None = None) -> Probe:
    return Probe(CHUNKED + b"\r\n", body, lapse)


# A server that streams bodies has called the app by then: the app's read fails.
BODIES = {
    "plus": _chunked(b"+5\r\nhello\r\n0\r\n\r\n"),
    "minus": _chunked(b"-5\r\nhello\r\n0\r\n\r\n"),
    "underscore": _chunked(b"0_5\r\nhello\r\n0\r\n\r\n"),
    "prefix": _chunked(b"0x5\r\nhello\r\n0\r\n\r\n"),
    "not a number": _chunked(b"zz\r\nhello\r\n0\r\n\r\n"),
    "no size": _chunked(b"\r\nhello\r\n0\r\n\r\n"),
    "no size but an extension": _chunked(b";a\r\nhello\r\n0\r\n\r\n"),
    "40 digits": _chunked(b"0" * 39 + b"5\r\nhello\r\n0\r\n\r\n"),
    "40 digits, none of them 0": _chunked(b"f" * 40 + b"\r\nhello\r\n0\r\n\r\n"),
    "20,000 digits": _chunked(b"0" * 19_999 + b"5\r\nhello\r\n0\r\n\r\n"),
    "space before the size": _chunked(b" 5\r\nhello\r\n0\r\n\r\n"),
    "space behind the size": _chunked(b"5 \r\nhello\r\n0\r\n\r\n", CHUNK_SIZE_SPACE),
    "vertical tab behind the size": _chunked(b"5\x0b\r\nhello\r\n0\r\n\r\n"),
    "bare LF behind the size": _chunked(b"5\nhello\r\n0\r\n\r\n"),
    "bare LF before CRLF": _chunked(b"5\n\r\nhello\r\n0\r\n\r\n"),
    "bare CR behind the size": _chunked(b"5\r\rhello\r\n0\r\n\r\n"),
    "bare LF in an extension": _chunked(b"5;a\nb\r\nhello\r\n0\r\n\r\n", CHUNK_EXTENSION_LF),
    "bare LF behind an extension": _chunked(b"5;a\n\r\nhello\r\n0\r\n\r\n", CHUNK_EXTENSION_LF),
    "bare CR in an extension": _chunked(b"5;a\rb\r\nhello\r\n0\r\n\r\n", CHUNK_EXTENSION_CR),
    "NUL in an extension": _chunked(b"5;a\0\r\nhello\r\n0\r\n\r\n", CHUNK_EXTENSION_CONTROL),
    "longer than its size": _chunked(b"5\r\nhelloXX\r\n0\r\n\r\n"),
    "shorter than its size": _chunked(b"5\r\nhell\r\n0\r\n\r\n"),
    "nothing behind the data": _chunked(b"5\r\nhello0\r\n\r\n"),
    "bare LF behind the data": _chunked(b"5\r\nhello\n0\r\n\r\n"),
    "bare CR behind the data": _chunked(b"5\r\nhello\r0\r\n\r\n"),
    "another byte for an LF": _chunked(b"5\r\nhello\rX"),
    "bare LF as the end": _chunked(b"5\r\nhello\r\n0\n\n"),
    "trailer without a colon": _chunked(b"5\r\nhello\r\n0\r\nnonsense\r\n\r\n", TRAILER_COLON),
    "trailer with a space in its name": _chunked(b"5\r\nhello\r\n0\r\nX One: 1\r\n\r\n"),
    "trailer with a bare LF": _chunked(b"5\r\nhello\r\n0\r\nX-One: 1\nX-Two: 2\r\n\r\n", TRAILER_LF),
    "trailer with a NUL": _chunked(b"5\r\nhello\r\n0\r\nX-One: \0\r\n\r\n", TRAILER_CONTROL),
}  # fmt: skip

# Equal lengths may be refused, or treated as one (RFC 9110 section 8.6, RFC 9112 section 6.3).
EQUAL_LENGTHS = {
    "a list": _with(b"Content-Length: 5, 5"),
    "two lines": _with(b"Content-Length: 5", b"Content-Length: 5"),
}

# Almost malformed, but valid. The whole body is "hello".
VALID = {
    "a length with white space around it": _with(b"Content-Length: \t 5 \t "),
    "a length with zeros before it": _with(b"Content-Length: 0005"),
    "no white space": _with(b"Content-Length:5"),
    "a coding in capitals": _with(b"Transfer-Encoding: CHUNKED", body=HELLO),
    "a coding with white space": _with(b"Transfer-Encoding:\t chunked \t", body=HELLO),
    "a size in capitals, with zeros": _chunked(b"0003\r\nhel\r\n00002\r\nlo\r\n000\r\n\r\n"),
    "extensions": _chunked(b'5;a;b=1;c="d e"\r\nhello\r\n0;last\r\n\r\n'),
    "a trailer": _chunked(b"5\r\nhello\r\n0\r\nX-Sum: 1\r\nX-Other:\r\n\r\n"),
    "bytes beyond ASCII in a value": _with(b"X-Name: caf\xc3\xa9 \xff", b"Content-Length: 5"),
    "every character of a token": _with(b"X-!#$%&'*+.^`|~9: 1", b"Content-Length: 5"),
    "an empty value": _with(b"X-Empty:", b"Content-Length: 5"),
    "an IPv6 address as Host": _with(b"Content-Length: 5", host=b"Host: [::1]:8000\r\n"),
    "an empty Host": _with(b"Content-Length: 5", host=b"Host:\r\n"),
    "HTTP/1.0 without Host": _with(b"Content-Length: 5", host=b"", line=b"POST %s HTTP/1.0\r\n"),
}  # fmt: skip

MALFORMED_HEADS = {f"{group}: {name}": probe for group, probes in
                   {"Content-Length": LENGTHS, "Transfer-Encoding": CODINGS, "head": HEADS}.items()
                   for name, probe in probes.items()}  # fmt: skip

numbers = itertools.count()


class Served:
    """The servers, and the requests that reached their app."""

    def __init__(self, urls: dict[str, str], calls: Path) -> None:
        self.urls = urls
        self._calls = calls

    def send(
        self,
        kind: str,
        probe: Probe,
        *,
        path: str = "probe",
        half_close: bool = False,
        is_followed: bool = True,
    ) -> tuple[list[int], list[str]]:
        """The statuses until the server closes, and the requests that reached its app."""
        number = next(numbers)
        sent = probe.at(f"/{path}-{number}".encode()) + (SMUGGLED % number if is_followed else b"")
        with Connection(self.urls[kind]) as connection:
            received = b""
            try:
                connection.send(sent)
                if half_close:
                    connection.socket.shutdown(socket.SHUT_WR)
                while part := connection.socket.recv(65536):
                    received += part
            except ConnectionError:
                pass
        statuses = [int(code) for code in re.findall(rb"HTTP/1\.[01] (\d\d\d)", received)]
        calls = self._calls.read_text().splitlines() if self._calls.exists() else []
        mine = re.compile(rf"'/({path}|smuggled)-{number}\b(.*)'")
        return statuses, [found[1] + found[2] for call in calls if (found := mine.match(call))]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("run")
    binds = [argument for kind in KINDS for argument in ("-b", bind(kind))]
    run = runs.start(folder, *binds, app=APP, environment={"CALLS": str(folder / "calls")})
    try:
        urls = {kind: row.urls[0] for kind, row in zip(KINDS, run.rows(), strict=True)}
        yield Served(urls, folder / "calls")
        assert run.terminate() == 0
    finally:
        run.clean_up()


def keeps(kind: str, probe: Probe) -> bool:
    return probe.lapse not in registry.find(KINDS[kind][0]).lapses


@pytest.mark.attack(
    "Framing",
    "a request whose end two parties could see in different places, with another one hidden behind it",
    "400, and the connection is closed; the app is called for neither",
)
@pytest.mark.parametrize("name", MALFORMED_HEADS)
def test_a_malformed_head_is_answered_400_and_the_app_is_not_called(
    name: str, kind: str, served: Served
) -> None:
    probe = MALFORMED_HEADS[name]
    statuses, calls = served.send(kind, probe)
    if keeps(kind, probe):
        assert statuses in probe.refusals
        assert calls == []
    else:
        assert statuses[0] == 200, f"{kind} does not do what it declares: {probe.lapse}"


@pytest.mark.attack(
    "Framing",
    "a chunked body that two parties could see end in different places",
    "the app's read raises, the response is 400, and the connection is closed",
)
@pytest.mark.parametrize("name", BODIES)
def test_a_malformed_body_fails_the_read_and_ends_the_connection(
    name: str, kind: str, served: Served
) -> None:
    probe = BODIES[name]
    statuses, calls = served.send(kind, probe)
    if kind == "wsgiref":  # it does not accept chunked bodies
        assert (statuses, calls) == ([411], [])
    elif keeps(kind, probe):
        assert statuses == [400]
        assert [call for call in calls if call != "probe"] == []
    else:
        assert statuses[0] == 200, f"{kind} does not do what it declares: {probe.lapse}"


@pytest.mark.parametrize("name", BODIES)
def test_nothing_runs_behind_a_malformed_body_though_an_app_ignores_that_its_read_failed(
    name: str, kind: str, served: Served
) -> None:
    statuses, calls = served.send(kind, BODIES[name], path="careless")
    assert len(statuses) == 1 or not keeps(kind, BODIES[name])
    assert [call for call in calls if call.startswith("smuggled")] == [] or not keeps(kind, BODIES[name])


def test_a_line_of_a_chunk_that_is_complete_but_too_long_is_refused(kind: str, served: Served) -> None:
    longest = {"gevent": 8192, "hypercorn": 200_000}.get(kind, 4096)  # Hypercorn: of what it reads at once
    probe = _chunked(b"5;" + b"a" * longest + b"\r\nhello\r\n0\r\n\r\n")
    statuses, calls = served.send(kind, probe)
    assert statuses == {"wsgiref": [411], "hypercorn": [431]}.get(kind, [400])
    assert [call for call in calls if call != "probe"] == []


@pytest.mark.parametrize("name", EQUAL_LENGTHS)
def test_equal_lengths_are_refused_or_taken_for_one(name: str, kind: str, served: Served) -> None:
    statuses, calls = served.send(kind, EQUAL_LENGTHS[name], half_close=True)
    assert (statuses, calls) == ([400], []) or calls[:2] == ["probe", "probe hello"]


@pytest.mark.parametrize("name", VALID)
def test_what_is_only_unusual_is_served(name: str, kind: str, served: Served) -> None:
    probe = VALID[name]
    is_followed = b"HTTP/1.0" not in probe.line  # it ends the connection
    statuses, calls = served.send(kind, probe, half_close=True, is_followed=is_followed)
    if kind == "wsgiref" and b"ransfer" in probe.fields:
        assert statuses == [411]
    else:
        assert statuses[0] == 200
        assert calls[:2] == ["probe", "probe hello"]
