"""Methods and request targets: what becomes of them on the way to REQUEST_METHOD and PATH_INFO."""

from __future__ import annotations

from webdemo.compare.corpus.case import (
    Case,
    Judge,
    Judgement,
    differs,
    environ_of,
    request,
    right,
    status,
    tells,
    wrong,
)
from webdemo.compare.wire import Exchange

_ROUTING = "The app routes to another page than on other servers, or checks another path than it serves."


def _target(
    name: str, title: str, target: str, judge: Judge, expected: str, section: str, meaning: str = _ROUTING
) -> Case:
    return Case(name, title, section, expected, meaning, (request(target),), judge)


def _method(name: str, title: str, method: str, judge: Judge, expected: str, section: str) -> Case:
    return Case(
        name,
        title,
        section,
        expected,
        "Methods of APIs, WebDAV or CalDAV do not reach the app, or reach it changed.",
        (request("/x", method=method),),
        judge,
        (method,),
    )


def _absolute(exchange: Exchange) -> Judgement:
    answer = exchange.answers[0]
    environ = environ_of(answer)
    if not environ:
        return wrong(f"answers {answer.status}")
    path, host = environ["PATH_INFO"], environ.get("HTTP_HOST")
    if path != "/path":
        return wrong(f"gives the app PATH_INFO as {path!r}")
    if host != "target.example":
        return wrong(f"gives the app HTTP_HOST as {host!r}")
    return right("gives the app the target's own host")


def _head(exchange: Exchange) -> Judgement:
    if not exchange.answers:
        return wrong("closes the connection without an answer")
    head, *others = exchange.answers
    if others and others[0].status == 200 and others[0].body == b"hello":
        return right("sends no body, and answers the next request")
    if exchange.rest or (others and others[0].body != b"hello"):
        behind = "closes behind it" if exchange.is_over else "loses step on the connection"
        what = "the end of a chunked body" if exchange.rest == b"0\r\n\r\n" else "the body"
        return wrong(f"sends {what}, and {behind}")
    if exchange.is_over and not others:
        told = "says so" if head.says_close else "does not say so"
        return (differs if head.says_close else wrong)(f"sends no body, closes, and {told}")
    return wrong("does not answer the next request")


CASES = (
    Case(
        "head-with-body",
        "HEAD to an app that sends a body even so",
        "RFC 9110 section 9.3.2",
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
        tells("REQUEST_METHOD", "PROPFIND"),
        "A method that is registered reaches the app.",
        "RFC 9110 section 9.1",
    ),
    _method(
        "method-unknown",
        "a method that nobody knows",
        "FROB",
        tells("REQUEST_METHOD", "FROB", refusing="differs"),
        "The app decides, or 501 is the answer.",
        "RFC 9110 section 9.1",
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
        "An invalid request line is to be answered with 400.",
        "RFC 9112 section 3",
    ),
    _method(
        "method-options-star",
        "OPTIONS *",
        "OPTIONS",
        status(200, 204, otherwise="differs"),
        "The server as a whole is asked; the app may be let answer.",
        "RFC 9112 section 3.2.4",
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
        "PATH_INFO is decoded.",
        "RFC 3875 section 4.1.5",
        "An app sees “/a/b” on one server and “/a%2Fb” on another: names with a slash in URLs do not travel.",
    ),
    _target(
        "target-double-slash",
        "slashes twice",
        "//a//b",
        tells("PATH_INFO", "//a//b", refusing="differs", otherwise="differs"),
        "A path may have empty segments, which mean something.",
        "RFC 3986 section 3.3",
    ),
    _target(
        "target-dots",
        "dot segments",
        "/a/../b/./c",
        tells("PATH_INFO", "/a/../b/./c", also=("/b/c",), refusing="differs"),
        "Whether they are removed is the server's choice; most leave that to the app.",
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
        tells("PATH_INFO", "/caf\xc3\xa9"),
        "Bytes beyond ASCII are given to the app as Latin-1.",
        "PEP 3333, Unicode Issues",
        "Paths in other languages than English lead to 404.",
    ),
    _target(
        "target-raw-utf-8",
        "an é that is not encoded",
        "/café",
        tells("PATH_INFO", "/caf\xc3\xa9", refusing="differs", otherwise="differs"),
        "It is no valid target: 400 is the answer to be given, though most let it pass.",
        "RFC 9112 section 3.2",
    ),
    _target(
        "target-nul",
        "%00 in a path",
        "/a%00b",
        tells("PATH_INFO", "/a\0b", refusing="differs", otherwise="differs"),
        "It is a valid target; a server may refuse it.",
        "RFC 3875 section 4.1.5",
        "An app that opens files by PATH_INFO meets a NUL, for which open() raises ValueError.",
    ),
    _target(
        "target-bad-percent",
        "%zz in a path",
        "/a%zzb",
        tells("PATH_INFO", "/a%zzb", refusing="differs", otherwise="differs"),
        "It is no valid target: 400 is the answer to be given, though most let it pass.",
        "RFC 9112 section 3.2",
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
        tells("PATH_INFO", "/a;v=1/b"),
        "They belong to the path.",
        "RFC 3986 section 3.3",
    ),
    _target(
        "target-query",
        "a query with encoded characters",
        "/x?a=%2F%26&b=c%20d+e",
        tells("QUERY_STRING", "a=%2F%26&b=c%20d+e"),
        "QUERY_STRING is not decoded.",
        "RFC 3875 section 4.1.7",
        "Values with & or = in them are taken apart wrongly.",
    ),
    _target(
        "target-query-raw",
        "a query with an é that is not encoded",
        "/x?name=é",
        tells("QUERY_STRING", "name=\xc3\xa9", refusing="differs", otherwise="differs"),
        "It is no valid target: 400 is the answer to be given, though most let it pass.",
        "RFC 9112 section 3.2",
        "Links that people type by hand work on one server and not on another.",
    ),
    _target(
        "target-fragment",
        "a fragment, which is not to be sent",
        "/a#b",
        status(400, otherwise="differs"),
        "A target has no fragment: 400 is the answer to be given.",
        "RFC 9112 section 3.2",
    ),
    _target(
        "target-absolute",
        "a whole URL as the target",
        "http://target.example/path?q=1",
        _absolute,
        "It is accepted, and its host counts, whatever Host says.",
        "RFC 9112 section 3.2.2",
        "Behind a proxy the app makes links to, or believes in, a host that the client did not ask.",
    ),
    _target(
        "target-relative",
        "a target without its slash",
        "path",
        status(400, otherwise="differs"),
        "An invalid request line is to be answered with 400.",
        "RFC 9112 section 3.2",
    ),
    _target(
        "target-with-space",
        "a space in the target",
        "/a b",
        status(400, otherwise="differs"),
        "An invalid request line is to be answered with 400, and not to be put right.",
        "RFC 9112 section 3.2",
    ),
    _target(
        "target-8000",
        "a target of 8,000 bytes",
        "/" + "a" * 7999,
        status(200, otherwise="differs"),
        "Request lines of 8,000 octets are to be supported.",
        "RFC 9112 section 3",
        "Long queries (filters, signed URLs) fail.",
    ),
    _target(
        "target-100000",
        "a target of 100,000 bytes",
        "/" + "a" * 99999,
        status(414, also=(200,)),
        "A target that is longer than the server wishes to parse is answered with 414.",
        "RFC 9112 section 3",
        "A client cannot tell what was wrong.",
    ),
)
