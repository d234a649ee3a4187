"""Framing: where a request's body ends. Requests are smuggled where two recipients disagree on that."""

from __future__ import annotations

from webdemo.client.wire import HALF_CLOSE, Exchange, chunked
from webdemo.compare.corpus.case import (
    Case,
    Judge,
    Judgement,
    Level,
    differs,
    reads,
    request,
    right,
    status,
    wrong,
)

_SMUGGLING = "Behind a proxy that reads it otherwise, a client can hide a request of its own in the body."
_BROKEN = "The app may take a damaged body for a whole one."
_POST = ("POST",)


def _post(target: str, *headers: str, body: bytes = b"", version: str = "1.1", close: bool = False) -> bytes:
    return request(target, *headers, method="POST", body=body, version=version, close=close)


def _malformed_chunks(
    name: str, title: str, body: bytes, section: str, expected: str, *, recovered: str | None = None
) -> Case:
    return Case(
        name,
        title,
        section,
        expected,
        _SMUGGLING,
        (_post("/probe/read", "Transfer-Encoding: chunked", body=body), HALF_CLOSE),
        _refuses_body(recovered),
        _POST,
        judges_breaks=True,
    )


def _refuses_body(recovered: str | None) -> Judge:
    """Judge that the body is refused; `recovered` is a lenient recipient's reading (RFC 9110 section 2.4)."""

    def judge(exchange: Exchange) -> Judgement:
        if not exchange.responses:
            return right("closes the connection")
        if len(exchange.responses) > 1:
            return wrong("takes what follows for one more request")
        response = exchange.responses[0]
        if "start" in response.json:
            start = response.json["start"]
            level = differs if start == recovered else wrong
            return level(f"lets the app read {start!r}, as though the body were whole")
        if 400 <= response.status < 500:
            return right(f"answers {response.status}")
        if response.status == 500:
            return right("lets the app's read fail")
        return differs(f"answers {response.status}")

    return judge


def _bad_length(name: str, title: str, value: str) -> Case:
    return Case(
        name,
        title,
        "RFC 9112 section 6.3 (MUST)",
        "An invalid Content-Length is answered with 400, and the connection is closed.",
        _SMUGGLING,
        (_post("/probe/read", f"Content-Length: {value}", body=b"hello"),),
        status(400, must_close=True),
        _POST,
    )


def _sees_length(exchange: Exchange) -> Judgement:
    response = exchange.responses[0]
    if "start" not in response.json:
        return (differs if response.status == 411 else wrong)(f"answers {response.status}")
    length = response.json["content_length"]
    if not length:
        return right("gives the app no CONTENT_LENGTH, so that it reads nothing by it")
    if response.json["start"] != "hello":
        return wrong(f"gives the app CONTENT_LENGTH {length}, and lets it read {response.json['start']!r}")
    return differs(f"gives the app CONTENT_LENGTH {length}")


def _tells_the_end(exchange: Exchange) -> Judgement:
    response = exchange.responses[0]
    if "start" not in response.json:
        return (differs if response.status == 411 else wrong)(f"answers {response.status}")
    if response.json["terminated"]:
        return right("gives the app wsgi.input_terminated")
    return differs("gives the app no wsgi.input_terminated")


def _cut_off(as_whole: Level) -> Judge:
    """Judge an incomplete body; `as_whole` is the level if the app's read succeeds as if it were complete."""

    def judge(exchange: Exchange) -> Judgement:
        if not exchange.responses:
            return right("closes the connection")
        response = exchange.responses[0]
        if not exchange.is_over:
            return wrong(f"answers {response.status} and keeps the connection open")
        if "start" in response.json:
            return Judgement(as_whole, "gives the app what has come, as though it were all")
        if response.status == 500:
            return right("lets the app's read fail")
        if 400 <= response.status < 500:
            return right(f"answers {response.status}")
        return differs(f"answers {response.status}")

    return judge


CASES = (
    Case(
        "length-body",
        "a body with Content-Length",
        "RFC 9112 section 6.3",
        "The app reads exactly as many bytes.",
        "Uploads are cut or spoilt.",
        (_post("/probe/read", "Content-Length: 5", body=b"hello", close=True),),
        reads("hello"),
        _POST,
    ),
    Case(
        "chunked-body",
        "a chunked body, read to its end",
        "RFC 9112 section 7.1 (MUST)",
        "A server decodes it; RFC 9112 section 6.3 lets it ask for a length with 411 instead.",
        "Uploads of unknown length (git push, curl -T -, many SDKs) fail or hang.",
        (
            _post(
                "/probe/read",
                "Transfer-Encoding: chunked",
                body=chunked(b"hello ", b"world"),
                close=True,
            ),
        ),
        reads("hello world", refusing={411: "differs"}),
        _POST,
    ),
    Case(
        "chunked-body-by-length",
        "a chunked body, read by CONTENT_LENGTH",
        "PEP 3333, environ Variables",
        "CONTENT_LENGTH may be absent; of a chunked body its length is not known beforehand.",
        "An app that reads by CONTENT_LENGTH (Django) sees the upload on one server, nothing on another.",
        (
            _post(
                "/probe/read-by-length",
                "Transfer-Encoding: chunked",
                body=chunked(b"hello"),
                close=True,
            ),
        ),
        _sees_length,
        _POST,
    ),
    Case(
        "chunked-body-end",
        "wsgi.input_terminated beside a chunked body",
        "PEP 3333, environ Variables (may)",
        "It is no variable of PEP 3333: servers add it, to say that the input ends by itself.",
        "Flask and Werkzeug read a body without CONTENT_LENGTH only where it is there: uploads seem empty.",
        (_post("/probe/read", "Transfer-Encoding: chunked", body=chunked(b"hello"), close=True),),
        _tells_the_end,
        _POST,
    ),
    Case(
        "chunk-extension",
        "a chunk with an extension",
        "RFC 9112 section 7.1.1 (MUST)",
        "Extensions that are not understood are ignored.",
        "Uploads of some clients are refused or spoilt.",
        (
            _post(
                "/probe/read",
                "Transfer-Encoding: chunked",
                body=b"5;sum=1\r\nhello\r\n0\r\n\r\n",
                close=True,
            ),
        ),
        reads("hello", refusing={411: "differs"}),
        _POST,
    ),
    Case(
        "chunk-trailer",
        "a trailer behind the last chunk",
        "RFC 9112 section 7.1, 7.1.2 (MUST)",
        "It is kept apart from the body, or thrown away.",
        "Uploads with a checksum behind them, as Go's and Node's clients can send, are refused or spoilt.",
        (
            _post(
                "/probe/read",
                "Transfer-Encoding: chunked",
                "Trailer: X-Sum",
                body=b"5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n",
                close=True,
            ),
        ),
        reads("hello", refusing={411: "differs"}),
        _POST,
    ),
    Case(
        "chunk-size-upper-case",
        "a chunk's size in capitals and with zeros before it",
        "RFC 9112 section 7.1 (MUST)",
        "A size is hexadecimal digits, of either case.",
        "Uploads of some clients are refused or spoilt.",
        (
            _post(
                "/probe/read",
                "Transfer-Encoding: chunked",
                body=b"000A\r\nhelloworld\r\n0\r\n\r\n",
                close=True,
            ),
        ),
        reads("helloworld", refusing={411: "differs"}),
        _POST,
    ),
    Case(
        "transfer-encoding-case",
        "Transfer-Encoding: CHUNKED",
        "RFC 9112 section 7",
        "Names of transfer codings are case-insensitive.",
        _SMUGGLING,
        (_post("/probe/read", "Transfer-Encoding: CHUNKED", body=chunked(b"hello"), close=True),),
        reads("hello", refusing={411: "differs"}),
        _POST,
    ),
    _malformed_chunks(
        "chunk-size-not-hex",
        "a chunk's size that is no number",
        b"zz\r\nhello\r\n0\r\n\r\n",
        "RFC 9112 section 7.1, 2.2 (SHOULD)",
        "The body is invalid: the request is refused, or the app's read fails.",
    ),
    _malformed_chunks(
        "chunk-size-negative",
        "a negative chunk size",
        b"-5\r\nhello\r\n0\r\n\r\n",
        "RFC 9112 section 7.1, 2.2 (SHOULD)",
        "The body is invalid: the request is refused, or the app's read fails.",
    ),
    _malformed_chunks(
        "chunk-size-prefixed",
        "a chunk's size written 0x5",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        "RFC 9112 section 7.1, 2.2 (SHOULD)",
        "The body is invalid: the request is refused, or the app's read fails. It may be read leniently.",
        recovered="hello",
    ),
    _malformed_chunks(
        "chunk-size-huge",
        "a chunk's size beyond 64 bits",
        b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        "RFC 9112 section 7.1 (MUST)",
        "Large sizes are anticipated: never an overflow. Without its last chunk a body is not whole.",
    ),
    _malformed_chunks(
        "chunk-without-end",
        "a chunk that is longer than its size",
        b"5\r\nhelloXX\r\n0\r\n\r\n",
        "RFC 9112 section 7.1, 2.2 (SHOULD)",
        "Each chunk's data ends with CRLF: the request is refused, or the app's read fails.",
        recovered="hello",
    ),
    _malformed_chunks(
        "chunk-extension-bare-lf",
        "a bare LF in a chunk's extension",
        b"5;a\nb\r\nhello\r\n0\r\n\r\n",
        "RFC 9112 section 7.1.1, 2.2 (SHOULD)",
        "The body is invalid: the request is refused, or the app's read fails.",
    ),
    _malformed_chunks(
        "chunk-trailer-bare-lf",
        "a bare LF in a trailer",
        b"5\r\nhello\r\n0\r\nX-One: 1\nX-Two: 2\r\n\r\n",
        "RFC 9112 section 7.1.2, 2.2 (MAY)",
        "A recipient may take LF alone for a line's end; most refuse it, or the app's read fails.",
        recovered="hello",
    ),
    Case(
        "chunked-cut-off",
        "a chunked body that breaks off",
        "RFC 9112 section 8",
        "Without its last chunk it is incomplete: the app's read fails, or the request is refused.",
        _BROKEN,
        (_post("/probe/read", "Transfer-Encoding: chunked", body=b"5\r\nhello\r\n"), HALF_CLOSE),
        _cut_off("wrong"),  # the app cannot know that data is missing
        _POST,
        judges_breaks=True,
    ),
    Case(
        "length-cut-off",
        "a body shorter than its Content-Length",
        "RFC 9112 section 6.3 (MUST)",
        "It is incomplete: the app's read fails or is short, or 4xx is the answer; and the server closes.",
        _BROKEN + " Compare its length with CONTENT_LENGTH before it is kept.",
        (_post("/probe/read", "Content-Length: 10", body=b"hello"), HALF_CLOSE),
        _cut_off("differs"),  # the app can see it by CONTENT_LENGTH
        _POST,
        judges_breaks=True,
    ),
    Case(
        "both-lengths",
        "Content-Length and Transfer-Encoding at once",
        "RFC 9112 section 6.1 (MUST)",
        "It is refused, or read by Transfer-Encoding alone; the connection is closed either way.",
        _SMUGGLING,
        (_post("/probe/read", "Content-Length: 6", "Transfer-Encoding: chunked", body=chunked(b"hello")),),
        reads("hello", refusing={400: "right", 411: "right", 500: "differs"}, must_close=True),
        _POST,
    ),
    Case(
        "two-lengths",
        "two Content-Lengths that differ",
        "RFC 9112 section 6.3 (MUST)",
        "An invalid Content-Length is answered with 400, and the connection is closed.",
        _SMUGGLING,
        (_post("/probe/read", "Content-Length: 5", "Content-Length: 3", body=b"hello"),),
        status(400, must_close=True),
        _POST,
    ),
    Case(
        "two-lengths-alike",
        "the same Content-Length twice",
        "RFC 9110 section 8.6 (MAY)",
        "It is refused, or taken for one: both are allowed.",
        "Behind a careless proxy such requests fail on one server and not on another.",
        (_post("/probe/read", "Content-Length: 5", "Content-Length: 5", body=b"hello", close=True),),
        reads("hello", refusing={400: "differs"}),
        _POST,
    ),
    _bad_length("length-plus", "Content-Length: +5", "+5"),
    _bad_length("length-negative", "Content-Length: -1", "-1"),
    _bad_length("length-underscore", "Content-Length: 0_5, a number only in Python", "0_5"),
    _bad_length("length-text", "Content-Length: five", "five"),
    _bad_length("length-list", "Content-Length: 5, 6", "5, 6"),
    _bad_length("length-vertical-tab", "a Content-Length with a vertical tab before it", "\v5"),
    _bad_length("length-5000-digits", "a Content-Length of 5,000 digits", "0" * 4999 + "5"),
    Case(
        "transfer-encoding-unknown",
        "a transfer coding that nobody knows",
        "RFC 9112 section 6.3 (MUST)",
        "The length cannot be known: 400 (or 501, if the coding is not known), and the connection is closed.",
        _SMUGGLING,
        (_post("/probe/read", "Transfer-Encoding: xchunked", body=chunked(b"hello")),),
        status(400, 501, also=(411,), must_close=True),
        _POST,
    ),
    Case(
        "transfer-encoding-vertical-tab",
        "a transfer coding with a vertical tab before it",
        "RFC 9112 section 6.3 (MUST)",
        "The length cannot be known: 400 (or 501, if the coding is not known), and the connection is closed.",
        _SMUGGLING,
        (_post("/probe/read", "Transfer-Encoding: \vchunked", body=chunked(b"hello")),),
        status(400, 501, also=(411,), must_close=True),
        _POST,
    ),
    Case(
        "transfer-encoding-not-last",
        "chunked that is not the last coding",
        "RFC 9112 section 6.3 (MUST)",
        "The length cannot be known: 400 (or 501, if the coding is not known), and the connection is closed.",
        _SMUGGLING,
        (_post("/probe/read", "Transfer-Encoding: chunked, identity", body=chunked(b"hello")),),
        status(400, 501, also=(411,), must_close=True),
        _POST,
    ),
    Case(
        "transfer-encoding-http-1.0",
        "a chunked body in HTTP/1.0",
        "RFC 9112 section 6.1 (MUST)",
        "Its framing is faulty: the connection is closed after the answer.",
        _SMUGGLING,
        (
            _post(
                "/probe/read",
                "Transfer-Encoding: chunked",
                "Connection: keep-alive",
                body=chunked(b"hello"),
                version="1.0",
            ),
        ),
        reads(
            "hello", refusing={400: "right", 411: "right", 501: "right"}, must_close=True, otherwise="differs"
        ),
        _POST,
    ),
    Case(
        "transfer-encoding-space",
        "a space between Transfer-Encoding and its colon",
        "RFC 9112 section 5.1 (MUST)",
        "Whitespace between a name and its colon is answered with 400.",
        _SMUGGLING,
        (_post("/probe/read", "Transfer-Encoding : chunked", body=chunked(b"hello")),),
        status(400),
        _POST,
    ),
)
