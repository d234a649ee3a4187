"""Methods and request targets: how they arrive in REQUEST_METHOD and PATH_INFO."""

from __future__ import annotations

from webdemo.client.wire import Exchange
from webdemo.compare.corpus.case import (
    RIGHT,
    Environ,
    Judgement,
    app_gets,
    case,
    differs,
    of_page,
    refuses_line,
    request,
    status,
    wrong,
)

_LONGEST_LINE = 8000  # without CRLF; every server should accept this length (RFC 9112 section 3)
_METHODS = "Methods of APIs, WebDAV or CalDAV do not reach the app, or reach it changed."
_ROUTING = (
    "The app routes to a different page than on other servers, or checks a different path than it serves."
)


@of_page("environ", also=(421,))  # the form is accepted, but not this host
def _absolute(environ: Environ) -> Judgement:
    path, host = environ.get("PATH_INFO", ""), environ.get("HTTP_HOST")
    if path != "/path":
        return wrong(f"gives the app PATH_INFO as {path!r}")
    if host != "target.example":
        return wrong(f"gives the app HTTP_HOST as {host!r}")
    return RIGHT


def _head(exchange: Exchange) -> Judgement:
    if not exchange.responses:
        return wrong("closes the connection without a response")
    head, *others = exchange.responses
    length = head.header("Content-Length")
    if length not in (None, "5"):  # RFC 9110 section 8.6
        return wrong(f"sends Content-Length: {length}, which the response to GET does not have")
    if others and others[0].status == 200 and others[0].body == b"hello":
        return RIGHT
    if exchange.rest or (others and others[0].body != b"hello"):
        then = "closes after it" if exchange.is_over else "loses sync on the connection"
        what = "the end of a chunked body" if exchange.rest == b"0\r\n\r\n" else "the body"
        return wrong(f"sends {what}, and {then}")
    if exchange.is_over and not others:
        return differs(f"sends no body, closes, and {'says' if head.says_close else 'does not say'} so")
    return wrong("does not respond to the next request")


CASES = (
    case(
        "head-with-body",
        "HEAD to an app that sends a body anyway",
        "RFC 9110 section 9.3.2 (MUST)",
        "The response to HEAD has no content.",
        "A client that keeps its connection takes the body for the next response.",
        _head,
        request("/probe/no-length", method="HEAD", close=False),
        request("/probe/hello"),
        responses=2,
        judges_breaks=True,
    ),
    case(
        "method-webdav",
        "PROPFIND",
        "RFC 9110 section 9.1",
        "A server need not have more than GET and HEAD; what it lets through reaches the app unchanged.",
        _METHODS,
        app_gets("REQUEST_METHOD", "PROPFIND", may_refuse=True),
        request("/x", method="PROPFIND"),
    ),
    case(
        "method-unknown",
        "an unknown method",
        "RFC 9110 section 9.1 (SHOULD)",
        "The app decides; a server that decides itself responds with 501.",
        _METHODS,
        app_gets("REQUEST_METHOD", "FROB", may_refuse=True),
        request("/x", method="FROB"),
    ),
    case(
        "method-lower-case",
        "get in lower case",
        "RFC 9110 section 9.1",
        "Methods are case-sensitive: get is not GET.",
        _METHODS,
        app_gets("REQUEST_METHOD", "get", may_refuse=True),
        request("/x", method="get"),
    ),
    case(
        "method-not-a-token",
        "a method with a character that is not allowed",
        "RFC 9112 section 3.2 (SHOULD)",
        "A method is a token; an invalid request line should be refused with 400.",
        _METHODS,
        status(400, also=(405, 501), otherwise="differs"),
        request("/x", method="G@T"),
    ),
    case(
        "method-options-star",
        "OPTIONS *",
        "RFC 9112 section 3.2.4",
        "The request is for the server as a whole, not a path; what an app gets is not specified.",
        _METHODS,
        app_gets("PATH_INFO", "*", also=("", "/", "/*"), may_refuse=True, otherwise="differs"),
        request("*", method="OPTIONS"),
    ),
    case(
        "method-trace",
        "TRACE",
        "RFC 9110 section 9.3.8",
        "It is optional: the app decides, or it is refused.",
        _METHODS,
        app_gets("REQUEST_METHOD", "TRACE", may_refuse=True),
        request("/x", method="TRACE"),
    ),
    case(
        "target-encoded-slash",
        "%2F in a path",
        "RFC 3875 section 4.1.5 (MAY)",
        "PATH_INFO is decoded; a server may refuse an encoded slash, as its meaning is lost.",
        "An app sees “/a/b” on one server and “/a%2Fb” on another: a slash in a name is not portable.",
        app_gets("PATH_INFO", "/a/b", otherwise="differs"),
        request("/a%2Fb"),
    ),
    case(
        "target-double-slash",
        "double slashes",
        "RFC 3986 section 3.3",
        "A path may have empty segments, which are significant; a server may normalize them.",
        _ROUTING,
        app_gets("PATH_INFO", "//a//b", may_refuse=True, otherwise="differs"),
        request("//a//b"),
    ),
    case(
        "target-dots",
        "dot segments",
        "RFC 3986 section 6.2.2.3",
        "Normalization removes them; whether a server does is its choice, and most leave it to the app.",
        _ROUTING,
        app_gets("PATH_INFO", "/a/../b/./c", also=("/b/c",), may_refuse=True),
        request("/a/../b/./c"),
    ),
    case(
        "target-encoded-dots",
        "dot segments, encoded",
        "RFC 3875 section 4.1.5",
        "PATH_INFO is decoded: the app sees dots, and has to handle them.",
        _ROUTING,
        app_gets("PATH_INFO", "/a/../b", also=("/b",), may_refuse=True),
        request("/a/%2e%2e/b"),
    ),
    case(
        "target-utf-8",
        "an é, as browsers send it",
        "PEP 3333, Unicode Issues (must)",
        "Non-ASCII bytes are passed to the app as Latin-1.",
        "Paths in other languages than English lead to 404.",
        app_gets("PATH_INFO", "/caf\xc3\xa9", may_refuse=True),
        request("/caf%C3%A9"),
    ),
    case(
        "target-raw-utf-8",
        "an é that is not encoded",
        "RFC 9112 section 3.2 (SHOULD)",
        "It is not a valid target and should be refused with 400. Some accept it, one of them changed.",
        _ROUTING,
        refuses_line("PATH_INFO", "/caf\xc3\xa9"),
        request("/café"),
    ),
    case(
        "target-nul",
        "%00 in a path",
        "RFC 3875 section 4.1.5 (MAY)",
        "It is a valid target; a server may refuse it.",
        "An app that opens files by PATH_INFO gets a NUL, for which open() raises ValueError.",
        app_gets("PATH_INFO", "/a\0b", may_refuse=True, otherwise="differs"),
        request("/a%00b"),
    ),
    case(
        "target-bad-percent",
        "%zz in a path",
        "RFC 9112 section 3.2 (SHOULD)",
        "It is not a valid target and should be refused with 400, though all accept it.",
        _ROUTING,
        refuses_line("PATH_INFO", "/a%zzb"),
        request("/a%zzb"),
    ),
    case(
        "target-plus",
        "a plus sign in a path",
        "RFC 3986 section 3.3",
        "In a path it is a plus, not a space.",
        _ROUTING,
        app_gets("PATH_INFO", "/a+b"),
        request("/a+b"),
    ),
    case(
        "target-params",
        "parameters of a path segment",
        "RFC 3986 section 3.3",
        "They belong to the path; in PATH_INFO, by RFC 3875 section 4.1.5, there are none.",
        _ROUTING,
        app_gets("PATH_INFO", "/a;v=1/b", also=("/a/b",)),
        request("/a;v=1/b"),
    ),
    case(
        "target-query",
        "a query with encoded characters",
        "RFC 3875 section 4.1.7 (MUST)",
        "QUERY_STRING is not decoded.",
        "Values that contain & or = are split wrongly.",
        app_gets("QUERY_STRING", "a=%2F%26&b=c%20d+e"),
        request("/x?a=%2F%26&b=c%20d+e"),
    ),
    case(
        "target-query-raw",
        "a query with an é that is not encoded",
        "RFC 9112 section 3.2 (SHOULD)",
        "It is not a valid target and should be refused with 400. Some accept it, one of them changed.",
        "Links that people type by hand work on one server and not on another.",
        refuses_line("QUERY_STRING", "name=\xc3\xa9"),
        request("/x?name=é"),
    ),
    case(
        "target-fragment",
        "a fragment, which must not be sent",
        "RFC 9112 section 3.2 (SHOULD)",
        "A target has no fragment: it should be refused with 400.",
        _ROUTING,
        refuses_line("PATH_INFO", "/a", "/a#b"),
        request("/a#b"),
    ),
    case(
        "target-absolute",
        "a whole URL as the target",
        "RFC 9112 section 3.2.2 (MUST)",
        "An origin server accepts it, and its host overrides Host: apps read it in HTTP_HOST.",
        "Behind a proxy the app links to, or trusts, a host that the client did not request.",
        _absolute,
        request("http://target.example/path?q=1"),
    ),
    case(
        "target-relative",
        "a target without its slash",
        "RFC 9112 section 3.2 (SHOULD)",
        "An invalid request line should be refused with 400.",
        _ROUTING,
        refuses_line("PATH_INFO", "path"),
        request("path"),
    ),
    case(
        "target-with-space",
        "a space in the target",
        "RFC 9112 section 3.2 (SHOULD)",
        "An invalid request line should be refused with 400, and not be repaired.",
        _ROUTING,
        refuses_line("PATH_INFO", "/a b"),
        request("/a b"),
    ),
    case(
        "target-8000",
        "a request line of 8,000 bytes",
        "RFC 9112 section 3 (RECOMMENDED)",
        "Request lines of up to 8,000 octets should be supported.",
        "Long queries (filters, signed URLs) fail.",
        status(200, otherwise="differs"),
        request("/" + "a" * (_LONGEST_LINE - len("GET / HTTP/1.1"))),
    ),
    case(
        "target-100000",
        "a target of 100,000 bytes",
        "RFC 9112 section 3 (MUST)",
        "A target that is longer than the server wishes to parse is refused with 414.",
        "A client cannot tell what was wrong.",
        status(414, also=(200,)),
        request("/" + "a" * 99999),
    ),
)
