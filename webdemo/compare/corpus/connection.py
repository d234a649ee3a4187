"""Several requests on one connection, how it ends, and the versions of HTTP."""

from __future__ import annotations

from webdemo.client.wire import Exchange, Response, chunked
from webdemo.compare.corpus.case import (
    REFUSALS,
    RIGHT,
    Judge,
    Judgement,
    app_gets,
    case,
    differs,
    of_response,
    rated,
    request,
    status,
    wrong,
)

_SLOW = "Each request costs a connection; behind a proxy or with TLS that is much slower."
_STEP = "A client, or a proxy that shares connections among clients, gets the response to another request."


def _both_answered(exchange: Exchange) -> Judgement:
    """Two requests on one connection: both are answered, or the connection ends after the first."""
    first, *others = exchange.responses
    if len(exchange.responses) > exchange.expected or (others and others[0].status >= 400):
        return wrong("takes the body for a request")
    if first.status >= 400:
        return rated(first.status, (), REFUSALS, "wrong", f"responds with {first.status}")
    if len(others) == 1:
        return RIGHT
    if not exchange.is_over:
        return wrong("responds to the first, and leaves the connection open without responding to the second")
    return differs(
        f"closes after the first response, and {'says so' if first.says_close else 'does not say so'}"
    )


def _kept_or_said(exchange: Exchange) -> Judgement:
    """A server without persistent connections MUST say so; one that closes a connection only SHOULD."""
    judgement = _both_answered(exchange)
    closes_unsaid = len(exchange.responses) == 1 and not exchange.responses[0].says_close
    return wrong(judgement.does) if judgement.verdict == "differs" and closes_unsaid else judgement


def _closes(exchange: Exchange) -> Judgement:
    if not exchange.is_over:
        return wrong("keeps the connection open")
    return RIGHT if exchange.responses[0].says_close else differs("closes, and does not say so")


def _keeps_http_1_0(exchange: Exchange) -> Judgement:
    response = exchange.responses[0]
    says_keep = "keep-alive" in (response.header("Connection") or "").lower()
    if exchange.is_over:
        return differs("says keep-alive, and closes") if says_keep else RIGHT
    return RIGHT if says_keep else differs("keeps it, and does not say so")


@of_response
def _plain_to_http_1_0(response: Response) -> Judgement:
    if response.is_chunked:
        return wrong("sends chunks, which HTTP/1.0 does not have")
    return RIGHT if response.body == b"one two three" else wrong(f"sends {response.body!r}")


def _large_unread(exchange: Exchange) -> Judgement:
    if exchange.responses and exchange.responses[0].is_whole:
        return RIGHT
    return differs("resets the connection, so that its response is lost")


def _version(*good: int) -> Judge:
    """Judge the response to an unknown version; it must not claim one that does not exist."""

    @of_response
    def judge(response: Response) -> Judgement:
        if response.version not in ("1.0", "1.1"):
            return wrong(f"claims that its response is HTTP/{response.version}, which does not exist")
        return rated(response.status, good, (), "differs", f"responds with {response.status}")

    return judge


def _old_request(exchange: Exchange) -> Judgement:
    if exchange.responses:
        code = exchange.responses[0].status
        return rated(code, (400, 505), (), "differs", f"responds with {code}")
    return differs("responds as HTTP/0.9 did") if exchange.raw else RIGHT


CASES = (
    case(
        "keep-alive",
        "a second request on the same connection",
        "RFC 9112 section 9.3 (SHOULD)",
        "Connections persist; a server that keeps none sends “close” in every response, which is a MUST.",
        _SLOW,
        _kept_or_said,
        request("/probe/hello", close=False),
        then_hello=0.25,
    ),
    case(
        "pipelining",
        "two requests sent at once",
        "RFC 9112 section 9.3.2 (MUST)",
        "Both get responses in order, or the connection is closed after the first.",
        "Clients that pipeline have to send the second request again.",
        _both_answered,
        request("/probe/hello", close=False) + request("/probe/hello"),
        responses=2,
    ),
    case(
        "pipelining-behind-body",
        "a request directly after the body of another",
        "RFC 9112 section 9.3.2 (MUST)",
        "Both get responses in order, or the connection is closed after the first.",
        _STEP,
        _both_answered,
        request("/probe/read", "Content-Length: 5", method="POST", body=b"hello", close=False)
        + request("/probe/hello"),
        responses=2,
    ),
    case(
        "unread-body",
        "a body that the app does not read, and another request",
        "RFC 9112 section 9.3 (MUST)",
        "The unread part of the body is discarded, or the connection is closed.",
        _STEP,
        _both_answered,
        request(
            "/probe/hello",
            "Content-Length: 20",
            method="POST",
            body=b"GET /x HTTP/9.9\r\n\r\n ",
            close=False,
        ),
        then_hello=0.25,
    ),
    case(
        "unread-chunked-body",
        "a chunked body that the app does not read, and another request",
        "RFC 9112 section 9.3 (MUST)",
        "The unread part of the body is discarded, or the connection is closed.",
        _STEP,
        _both_answered,
        request(
            "/probe/hello",
            "Transfer-Encoding: chunked",
            method="POST",
            body=chunked(b"GET /x HTTP/9.9\r\n\r\n"),
            close=False,
        ),
        then_hello=0.25,
    ),
    case(
        "unread-large-body",
        "3 MB that the app does not read",
        "RFC 9112 section 9.6",
        "Servers typically close in stages, so that the response reaches a client that is still sending.",
        "An upload that is refused (401, 413) looks like a network failure to the client.",
        _large_unread,
        request("/probe/hello", "Content-Length: 3000000", method="POST", body=b"x" * 3_000_000),
        judges_breaks=True,
    ),
    case(
        "no-length-keep-alive",
        "a response without a length, and a second request",
        "RFC 9112 section 9.3 (SHOULD)",
        "The response is chunked and the connection persists, or the response announces its end.",
        _SLOW,
        _both_answered,
        request("/probe/stream", close=False),
        then_hello=0.25,
    ),
    case(
        "connection-close",
        "Connection: close",
        "RFC 9112 section 9.6 (MUST)",
        "The server closes after its response, and SHOULD send “close” in it.",
        "Clients wait for an end that never comes.",
        _closes,
        request("/probe/hello"),
    ),
    case(
        "http-1.0-closes",
        "HTTP/1.0",
        "RFC 9112 section 9.3",
        "The connection is closed after the response.",
        "Old clients wait for an end that never comes.",
        lambda exchange: RIGHT if exchange.is_over else differs("keeps the connection open"),
        request("/probe/hello", version="1.0", close=False),
    ),
    case(
        "http-1.0-keep-alive",
        "HTTP/1.0 with Connection: keep-alive",
        "RFC 9112 section 9.3",
        "The connection may persist, if the server wishes; clients rely on keep-alive in the response.",
        "Old proxies and ApacheBench (ab -k) hang, or make a connection for each request.",
        _keeps_http_1_0,
        request("/probe/hello", "Connection: keep-alive", version="1.0", close=False),
    ),
    case(
        "http-1.0-stream",
        "a response without a length, to HTTP/1.0",
        "RFC 9112 section 6.1 (MUST)",
        "Chunks are not sent to HTTP/1.0: the end of the connection is the end of the body.",
        "Old clients and proxies take the chunk sizes for part of the page.",
        _plain_to_http_1_0,
        request("/probe/stream", version="1.0", close=False),
    ),
    case(
        "http-9.9",
        "HTTP/9.9",
        "RFC 9110 section 6.2",
        "An unsupported major version may be refused with 505; the response must not claim an unknown one.",
        "Usually none: no client sends it.",
        _version(505),
        request(version="9.9"),
    ),
    case(
        "http-1.2",
        "HTTP/1.2",
        "RFC 9110 section 6.2 (SHOULD)",
        "It is processed as the highest known one, HTTP/1.1. To claim it in the response violates a MUST.",
        "Usually none: there is no HTTP/1.2.",
        _version(200),
        request(version="1.2"),
    ),
    case(
        "http-lower-case",
        "http/1.1 in lower case",
        "RFC 9112 section 2.3, 3.2 (SHOULD)",
        "The name is case-sensitive: the request line is invalid and should be refused with 400.",
        "Usually none: no client sends it.",
        status(400, 505, otherwise="differs"),
        b"GET / http/1.1\r\nHost: probe.example\r\nConnection: close\r\n\r\n",
    ),
    case(
        "http-0.9",
        "a request line without a version",
        "RFC 9112 section 3, 3.2 (SHOULD)",
        "It is not a valid request line: it should be refused with 400, or the connection is closed.",
        "Port scanners and broken probes get a response that no current client can read.",
        _old_request,
        b"GET /\r\n\r\n",
        judges_breaks=True,
    ),
    case(
        "empty-line-first",
        "an empty line before the request",
        "RFC 9112 section 2.2 (SHOULD)",
        "A server should ignore at least one.",
        "Old clients that send CRLF after a body fail.",
        status(200, otherwise="differs"),
        b"\r\n" + request("/probe/hello"),
    ),
    case(
        "slow-request",
        "a request that arrives in three pieces",
        "RFC 9112 section 2.2 (MUST)",
        "A message is a sequence of octets, however they arrive.",
        "Clients on slow networks fail.",
        app_gets("PATH_INFO", "/a"),
        b"GET /a HT",
        0.15,
        b"TP/1.1\r\nHost: probe.exam",
        0.15,
        b"ple\r\nConnection: close\r\n\r\n",
    ),
    case(
        "upgrade",
        "Upgrade to an unknown protocol",
        "RFC 9110 section 7.8 (MAY)",
        "It may be ignored.",
        "Clients that offer h2c or websockets fail.",
        status(200),
        request("/probe/hello", "Connection: upgrade", "Upgrade: frob/1", close=False),
    ),
)
