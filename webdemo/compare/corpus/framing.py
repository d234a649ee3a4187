"""Framing: where a request's body ends. Requests are smuggled where two recipients disagree on that."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from webdemo.client.wire import HALF_CLOSE, Exchange, Response, chunked
from webdemo.compare.corpus.case import (
    RIGHT,
    Case,
    Judge,
    Judgement,
    Level,
    app_reads,
    case,
    differs,
    must_close,
    of_page,
    of_response,
    rated,
    request,
    status,
    when_closed,
    wrong,
)

_REFUSED_LENGTH = "An invalid Content-Length is refused with 400, and the connection is closed."
# A chunked body is decoded; a server may require a length instead (RFC 9112 section 6.3).
_DECODED = app_reads("hello", also=(411,))
_SMUGGLING = "Behind a proxy that reads it differently, a client can smuggle a request in the body."
_BROKEN = "The app may take a truncated body for a complete one."


def _post(
    *headers: str, body: bytes, target: str = "/probe/read", version: str = "1.1", close: bool = True
) -> bytes:
    return request(target, *headers, method="POST", body=body, version=version, close=close)


_chunked = partial(_post, "Transfer-Encoding: chunked")


def _malformed(
    name: str, title: str, section: str, expected: str, body: bytes, recovered: str | None = None
) -> Case:
    """A chunked body that must be refused; `recovered` is a lenient reading of it (RFC 9110 section 2.4)."""
    judge = _refuses_body(lambda start: "differs" if start == recovered else "wrong")
    step = _chunked(body=body, close=False)
    return case(name, title, section, expected, _SMUGGLING, judge, step, HALF_CLOSE, judges_breaks=True)


def _refuses_body(level: Callable[[str], Level]) -> Judge:
    """Judge that a body is refused; `level` is that of a read that succeeds, by what the app reads."""

    @when_closed(RIGHT)
    def judge(response: Response, exchange: Exchange) -> Judgement:
        if len(exchange.responses) > 1:
            return wrong("takes what follows for another request")
        if "start" in response.json:
            start = response.json["start"]
            return Judgement(level(start), f"lets the app read {start!r}, as if the body were complete")
        if response.status == 500:
            return RIGHT  # the app's read failed
        return rated(response.status, range(400, 500), (), "differs", f"responds with {response.status}")

    return judge


@of_response
def _sees_length(response: Response) -> Judgement:
    if "start" not in response.json:
        return rated(response.status, (), (411,), "wrong", f"responds with {response.status}")
    length, start = response.json["content_length"], response.json["start"]
    if not length:
        return RIGHT
    if start != "hello":
        return wrong(f"gives the app CONTENT_LENGTH {length}, and lets it read {start!r}")
    return differs(f"gives the app CONTENT_LENGTH {length}")


@of_page("terminated", also=(411,))
def _tells_the_end(terminated: bool) -> Judgement:
    return RIGHT if terminated else differs("gives the app no wsgi.input_terminated")


_DAMAGED = "The body is invalid: the request is refused, or the app's read fails."
_BAD_LENGTHS = (
    ("length-plus", "Content-Length: +5", "+5"),
    ("length-negative", "Content-Length: -1", "-1"),
    ("length-underscore", "Content-Length: 0_5, a number only in Python", "0_5"),
    ("length-text", "Content-Length: five", "five"),
    ("length-list", "Content-Length: 5, 6", "5, 6"),
    ("length-vertical-tab", "a Content-Length with a leading vertical tab", "\v5"),
    ("length-5000-digits", "a Content-Length of 5,000 digits", "0" * 4999 + "5"),
)
_BAD_CODINGS = (
    ("transfer-encoding-unknown", "an unknown transfer coding", "xchunked"),
    ("transfer-encoding-vertical-tab", "a transfer coding with a leading vertical tab", "\vchunked"),
    ("transfer-encoding-not-last", "chunked that is not the last coding", "chunked, identity"),
)

CASES = (
    case(
        "length-body",
        "a body with Content-Length",
        "RFC 9112 section 6.3",
        "The app reads exactly that many bytes.",
        "Uploads are truncated or corrupted.",
        app_reads("hello"),
        _post("Content-Length: 5", body=b"hello"),
    ),
    case(
        "chunked-body",
        "a chunked body, read to its end",
        "RFC 9112 section 7.1 (MUST)",
        "A server decodes it; RFC 9112 section 6.3 lets it require a length with 411 instead.",
        "Uploads of unknown length (git push, curl -T -, many SDKs) fail or hang.",
        app_reads("hello world", also=(411,)),
        _chunked(body=chunked(b"hello ", b"world")),
    ),
    case(
        "chunked-body-by-length",
        "a chunked body, read by CONTENT_LENGTH",
        "PEP 3333, environ Variables",
        "CONTENT_LENGTH may be absent; the length of a chunked body is not known in advance.",
        "An app that reads by CONTENT_LENGTH (Django) sees the upload on one server, nothing on another; "
        "webdemo itself receives it first and sets the length, unless --no-buffer-chunked is given.",
        _sees_length,
        _chunked(body=chunked(b"hello"), target="/probe/read-by-length"),
    ),
    case(
        "chunked-body-end",
        "wsgi.input_terminated with a chunked body",
        "PEP 3333, environ Variables (may)",
        "PEP 3333 does not define it: servers add it to say that the input ends by itself.",
        "Flask and Werkzeug read a body without CONTENT_LENGTH only if it is set: uploads seem empty.",
        _tells_the_end,
        _chunked(body=chunked(b"hello")),
    ),
    case(
        "chunk-extension",
        "a chunk with an extension",
        "RFC 9112 section 7.1.1 (MUST)",
        "Unknown extensions are ignored.",
        "Uploads of some clients are refused or corrupted.",
        _DECODED,
        _chunked(body=b"5;sum=1\r\nhello\r\n0\r\n\r\n"),
    ),
    case(
        "chunk-trailer",
        "a trailer after the last chunk",
        "RFC 9112 section 7.1, 7.1.2 (MUST)",
        "It is kept separate from the body, or discarded.",
        "Uploads with a trailing checksum, as Go's and Node's clients can send, are refused or corrupted.",
        _DECODED,
        _chunked("Trailer: X-Sum", body=b"5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n"),
    ),
    case(
        "chunk-size-upper-case",
        "a chunk size in upper case, with leading zeros",
        "RFC 9112 section 7.1 (MUST)",
        "A size is hexadecimal digits, of either case.",
        "Uploads of some clients are refused or corrupted.",
        app_reads("helloworld", also=(411,)),
        _chunked(body=b"000A\r\nhelloworld\r\n0\r\n\r\n"),
    ),
    case(
        "transfer-encoding-case",
        "Transfer-Encoding: CHUNKED",
        "RFC 9112 section 7",
        "Names of transfer codings are case-insensitive.",
        _SMUGGLING,
        _DECODED,
        _post("Transfer-Encoding: CHUNKED", body=chunked(b"hello")),
    ),
    _malformed(
        "chunk-size-not-hex",
        "a chunk size that is not a number",
        "RFC 9112 section 7.1, 2.2 (SHOULD)",
        _DAMAGED,
        b"zz\r\nhello\r\n0\r\n\r\n",
    ),
    _malformed(
        "chunk-size-negative",
        "a negative chunk size",
        "RFC 9112 section 7.1, 2.2 (SHOULD)",
        _DAMAGED,
        b"-5\r\nhello\r\n0\r\n\r\n",
    ),
    _malformed(
        "chunk-size-prefixed",
        "a chunk size written as 0x5",
        "RFC 9112 section 7.1, 2.2 (SHOULD)",
        f"{_DAMAGED} It may be read leniently.",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        "hello",
    ),
    _malformed(
        "chunk-size-huge",
        "a chunk size beyond 64 bits",
        "RFC 9112 section 7.1 (MUST)",
        "Large sizes are anticipated: never an overflow. Without its last chunk a body is incomplete.",
        b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    ),
    _malformed(
        "chunk-without-end",
        "a chunk that is longer than its size",
        "RFC 9112 section 7.1, 2.2 (SHOULD)",
        "Each chunk's data ends with CRLF: the request is refused, or the app's read fails.",
        b"5\r\nhelloXX\r\n0\r\n\r\n",
        "hello",
    ),
    _malformed(
        "chunk-extension-bare-lf",
        "a bare LF in a chunk extension",
        "RFC 9112 section 7.1.1, 2.2 (SHOULD)",
        _DAMAGED,
        b"5;a\nb\r\nhello\r\n0\r\n\r\n",
    ),
    _malformed(
        "chunk-trailer-bare-lf",
        "a bare LF in a trailer",
        "RFC 9112 section 7.1.2, 2.2 (MAY)",
        "A recipient may accept a bare LF as the end of a line; most refuse it, or the app's read fails.",
        b"5\r\nhello\r\n0\r\nX-One: 1\nX-Two: 2\r\n\r\n",
        "hello",
    ),
    case(
        "chunked-cut-off",
        "a truncated chunked body",
        "RFC 9112 section 8",
        "Without its last chunk it is incomplete: the app's read fails, or the request is refused.",
        _BROKEN,
        must_close(_refuses_body(lambda _: "wrong")),  # the app cannot know that data is missing
        _chunked(body=b"5\r\nhello\r\n", close=False),
        HALF_CLOSE,
        judges_breaks=True,
    ),
    case(
        "length-cut-off",
        "a body shorter than its Content-Length",
        "RFC 9112 section 6.3 (MUST)",
        "It is incomplete: the app's read fails or is short, or the response is 4xx; and the server closes.",
        f"{_BROKEN} Compare its length with CONTENT_LENGTH before you store it.",
        must_close(_refuses_body(lambda _: "differs")),  # the app can see it by CONTENT_LENGTH
        _post("Content-Length: 10", body=b"hello", close=False),
        HALF_CLOSE,
        judges_breaks=True,
    ),
    case(
        "both-lengths",
        "Content-Length and Transfer-Encoding at once",
        "RFC 9112 section 6.1 (MUST)",
        "It is refused, or read by Transfer-Encoding alone; the connection is closed either way.",
        _SMUGGLING,
        must_close(app_reads("hello", refusing=(400, 411), also=(500,))),
        _post("Content-Length: 6", "Transfer-Encoding: chunked", body=chunked(b"hello"), close=False),
    ),
    case(
        "two-lengths",
        "two Content-Lengths that differ",
        "RFC 9112 section 6.3 (MUST)",
        _REFUSED_LENGTH,
        _SMUGGLING,
        must_close(status(400)),
        _post("Content-Length: 5", "Content-Length: 3", body=b"hello", close=False),
    ),
    case(
        "two-lengths-alike",
        "the same Content-Length twice",
        "RFC 9110 section 8.6 (MAY)",
        "It is refused, or taken as one: both are allowed.",
        "Behind a careless proxy such requests fail on one server and not on another.",
        app_reads("hello", also=(400,)),
        _post("Content-Length: 5", "Content-Length: 5", body=b"hello"),
    ),
    *(
        case(
            name,
            title,
            "RFC 9112 section 6.3 (MUST)",
            _REFUSED_LENGTH,
            _SMUGGLING,
            must_close(status(400)),
            _post(f"Content-Length: {value}", body=b"hello", close=False),
        )
        for name, title, value in _BAD_LENGTHS
    ),
    *(
        case(
            name,
            title,
            "RFC 9112 section 6.3 (MUST)",
            "The length cannot be determined: 400 (or 501, if the coding is unknown), and the connection is "
            "closed.",
            _SMUGGLING,
            must_close(status(400, 501, also=(411,))),
            _post(f"Transfer-Encoding: {coding}", body=chunked(b"hello"), close=False),
        )
        for name, title, coding in _BAD_CODINGS
    ),
    case(
        "transfer-encoding-http-1.0",
        "a chunked body in HTTP/1.0",
        "RFC 9112 section 6.1 (MUST)",
        "Its framing is faulty: the connection is closed after the response.",
        _SMUGGLING,
        must_close(app_reads("hello", refusing=(400, 411, 501), otherwise="differs")),
        _chunked("Connection: keep-alive", body=chunked(b"hello"), version="1.0", close=False),
    ),
    case(
        "transfer-encoding-space",
        "a space between Transfer-Encoding and its colon",
        "RFC 9112 section 5.1 (MUST)",
        "Whitespace between a name and its colon is refused with 400.",
        _SMUGGLING,
        status(400),
        _post("Transfer-Encoding : chunked", body=chunked(b"hello"), close=False),
    ),
)
