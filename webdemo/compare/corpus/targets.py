"""Methods and request targets: how they arrive in REQUEST_METHOD and PATH_INFO."""

from __future__ import annotations

from webdemo.client.wire import Exchange
from webdemo.compare.corpus.case import (
    Case,
    Judge,
    Judgement,
    differs,
    environ_of,
    refuses_line,
    request,
    right,
    status,
    tells,
    wrong,
)

_LONGEST_LINE = 8000  # without CRLF; every server should accept this length (RFC 9112 section 3)
_ROUTING = "The app routes to another page than on other servers, or checks another path than it serves."


def _target(
    name: str, title: str, target: str, judge: Judge, expected: str, section: str, meaning: str = _ROUTING
) -> Case:
    return Case(name, title, section, expected, meaning, (request(target),), judge)


def _method(
    name: str, title: str, method: str, judge: Judge, expected: str, section: str, *, target: str = "/x"
) -> Case:
    return Case(
        name,
        title,
        section,
        expected,
        "Methods of APIs, WebDAV or CalDAV do not reach the app, or reach it changed.",
        (request(target, method=method),),
        judge,
        (method,),
    )


def _absolute(exchange: Exchange) -> Judgement:
    response = exchange.responses[0]
    environ = environ_of(response)
    if not environ:  # 421: the form is accepted, but not this host
        return (differs if response.status == 421 else wrong)(f"answers {response.status}")
    path, host = environ.get("PATH_INFO", ""), environ.get("HTTP_HOST")
    if path != "/path":
        return wrong(f"gives the app PATH_INFO as {path!r}")
    if host != "target.example":
        return wrong(f"gives the app HTTP_HOST as {host!r}")
    return right("gives the app the target's own host")


def _head(exchange: Exchange) -> Judgement:
    if not exchange.responses:
        return wrong("closes the connection without an answer")
    head, *others = exchange.responses
    length = head.header("Content-Length")
    if length not in (None, "5"):  # RFC 9110 section 8.6
        return wrong(f"sends Content-Length: {length}, which the answer to GET does not have")
    if others and others[0].status == 200 and others[0].body == b"hello":
        return right("sends no body, and answers the next request")
    if exchange.rest or (others and others[0].body != b"hello"):
        behind = "closes behind it" if exchange.is_over else "loses step on the connection"
        what = "the end of a chunked body" if exchange.rest == b"0\r\n\r\n" else "the body"
        return wrong(f"sends {what}, and {behind}")
    if exchange.is_over and not others:
        return differs(f"sends no body, closes, and {'says' if head.says_close else 'does not say'} so")
    return wrong("does not answer the next request")


CASES = (
    Case(
        "head-with-body",
        "HEAD to an app that sends a body even so",
        "RFC 9110 section 9.3.2 (MUST)",
        "The answer to HEAD has no content.",
        "A client that keeps its connection takes the body for the next answer.",
        (
            request("/probe/no-length", method="HEAD", close=False),
            request("/probe/hello"),
        ),
        _head,
        ("HEAD", "GET"),
        judges_breaks=True,
    ),
    _method(
        "method-webdav",
        "PROPFIND",
        "PROPFIND",
        tells("REQUEST_METHOD", "PROPFIND", refusing="differs"),
        "A server need not have more than GET and HEAD; what it lets through reaches the app unchanged.",
        "RFC 9110 section 9.1",
    ),
    _method(
        "method-unknown",
        "a method that nobody knows",
        "FROB",
        tells("REQUEST_METHOD", "FROB", refusing="differs"),
        "The app decides; a server that does so itself answers 501.",
        "RFC 9110 section 9.1 (SHOULD)",
    ),
    _method(
        "method-lower-case",
        "get in small letters",
        "get",
        tells("REQUEST_METHOD", "get", refusing="differs"),
        "Methods are case-sensitive: get is not GET.",
        "RFC 9110 section 9.1",
    ),
    _method(
        "method-not-a-token",
        "a method with a character that is not allowed",
        "G@T",
        status(400, also=(405, 501), otherwise="differs"),
        "A method is a token; an invalid request line is to be answered with 400.",
        "RFC 9112 section 3.2 (SHOULD)",
    ),
    _method(
        "method-options-star",
        "OPTIONS *",
        "OPTIONS",
        tells("PATH_INFO", "*", also=("", "/", "/*"), refusing="differs", otherwise="differs"),
        "The server as a whole is asked, and no path; what an app is told then is nowhere said.",
        "RFC 9112 section 3.2.4",
        target="*",
    ),
    _method(
        "method-trace",
        "TRACE",
        "TRACE",
        tells("REQUEST_METHOD", "TRACE", refusing="differs"),
        "It is optional: the app decides, or it is refused.",
        "RFC 9110 section 9.3.8",
    ),
    _target(
        "target-encoded-slash",
        "%2F in a path",
        "/a%2Fb",
        tells("PATH_INFO", "/a/b", otherwise="differs"),
        "PATH_INFO is decoded; a server may refuse an encoded slash, as its meaning is lost.",
        "RFC 3875 section 4.1.5 (MAY)",
        "An app sees “/a/b” on one server and “/a%2Fb” on another: names with a slash in URLs do not travel.",
    ),
    _target(
        "target-double-slash",
        "slashes twice",
        "//a//b",
        tells("PATH_INFO", "//a//b", refusing="differs", otherwise="differs"),
        "A path may have empty segments, which mean something; a server may tell a canonical form.",
        "RFC 3986 section 3.3",
    ),
    _target(
        "target-dots",
        "dot segments",
        "/a/../b/./c",
        tells("PATH_INFO", "/a/../b/./c", also=("/b/c",), refusing="differs"),
        "Who normalizes removes them; whether a server does is its choice, and most leave it to the app.",
        "RFC 3986 section 6.2.2.3",
    ),
    _target(
        "target-encoded-dots",
        "dot segments, encoded",
        "/a/%2e%2e/b",
        tells("PATH_INFO", "/a/../b", also=("/b",), refusing="differs"),
        "PATH_INFO is decoded: the app sees dots, and has to deal with them.",
        "RFC 3875 section 4.1.5",
    ),
    _target(
        "target-utf-8",
        "an é, as browsers send it",
        "/caf%C3%A9",
        tells("PATH_INFO", "/caf\xc3\xa9", refusing="differs"),
        "Bytes beyond ASCII are given to the app as Latin-1.",
        "PEP 3333, Unicode Issues (must)",
        "Paths in other languages than English lead to 404.",
    ),
    _target(
        "target-raw-utf-8",
        "an é that is not encoded",
        "/café",
        refuses_line("PATH_INFO", "/caf\xc3\xa9"),
        "It is no valid target: 400 is the answer to be given. Some let it pass, one of them changed.",
        "RFC 9112 section 3.2 (SHOULD)",
    ),
    _target(
        "target-nul",
        "%00 in a path",
        "/a%00b",
        tells("PATH_INFO", "/a\0b", refusing="differs", otherwise="differs"),
        "It is a valid target; a server may refuse it.",
        "RFC 3875 section 4.1.5 (MAY)",
        "An app that opens files by PATH_INFO meets a NUL, for which open() raises ValueError.",
    ),
    _target(
        "target-bad-percent",
        "%zz in a path",
        "/a%zzb",
        refuses_line("PATH_INFO", "/a%zzb"),
        "It is no valid target: 400 is the answer to be given, though all let it pass.",
        "RFC 9112 section 3.2 (SHOULD)",
    ),
    _target(
        "target-plus",
        "a plus sign in a path",
        "/a+b",
        tells("PATH_INFO", "/a+b"),
        "In a path it is a plus, and no space.",
        "RFC 3986 section 3.3",
    ),
    _target(
        "target-params",
        "parameters of a path segment",
        "/a;v=1/b",
        tells("PATH_INFO", "/a;v=1/b", also=("/a/b",)),
        "They belong to the path; in PATH_INFO, by RFC 3875 section 4.1.5, there are none.",
        "RFC 3986 section 3.3",
    ),
    _target(
        "target-query",
        "a query with encoded characters",
        "/x?a=%2F%26&b=c%20d+e",
        tells("QUERY_STRING", "a=%2F%26&b=c%20d+e"),
        "QUERY_STRING is not decoded.",
        "RFC 3875 section 4.1.7 (MUST)",
        "Values with & or = in them are taken apart wrongly.",
    ),
    _target(
        "target-query-raw",
        "a query with an é that is not encoded",
        "/x?name=é",
        refuses_line("QUERY_STRING", "name=\xc3\xa9"),
        "It is no valid target: 400 is the answer to be given. Some let it pass, one of them changed.",
        "RFC 9112 section 3.2 (SHOULD)",
        "Links that people type by hand work on one server and not on another.",
    ),
    _target(
        "target-fragment",
        "a fragment, which is not to be sent",
        "/a#b",
        refuses_line("PATH_INFO", "/a", "/a#b"),
        "A target has no fragment: 400 is the answer to be given.",
        "RFC 9112 section 3.2 (SHOULD)",
    ),
    _target(
        "target-absolute",
        "a whole URL as the target",
        "http://target.example/path?q=1",
        _absolute,
        "An origin server accepts it, and its host counts, whatever Host says: apps read it in HTTP_HOST.",
        "RFC 9112 section 3.2.2 (MUST)",
        "Behind a proxy the app makes links to, or believes in, a host that the client did not ask.",
    ),
    _target(
        "target-relative",
        "a target without its slash",
        "path",
        refuses_line("PATH_INFO", "path"),
        "An invalid request line is to be answered with 400.",
        "RFC 9112 section 3.2 (SHOULD)",
    ),
    _target(
        "target-with-space",
        "a space in the target",
        "/a b",
        refuses_line("PATH_INFO", "/a b"),
        "An invalid request line is to be answered with 400, and not to be put right.",
        "RFC 9112 section 3.2 (SHOULD)",
    ),
    _target(
        "target-8000",
        "a request line of 8,000 bytes",
        "/" + "a" * (_LONGEST_LINE - len("GET / HTTP/1.1")),
        status(200, otherwise="differs"),
        "Request lines of 8,000 octets, and shorter ones, are to be supported.",
        "RFC 9112 section 3 (RECOMMENDED)",
        "Long queries (filters, signed URLs) fail.",
    ),
    _target(
        "target-100000",
        "a target of 100,000 bytes",
        "/" + "a" * 99999,
        status(414, also=(200,)),
        "A target that is longer than the server wishes to parse is answered with 414.",
        "RFC 9112 section 3 (MUST)",
        "A client cannot tell what was wrong.",
    ),
)
