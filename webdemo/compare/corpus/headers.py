"""Request headers, Host and Expect included: how they reach the app, and which are refused."""

from __future__ import annotations

from webdemo.client.wire import AWAIT_RESPONSE, Exchange
from webdemo.compare.corpus.case import (
    REFUSALS,
    RIGHT,
    Environ,
    Judge,
    Judgement,
    app_gets,
    case,
    differs,
    of_page,
    request,
    status,
    wrong,
)

_LOST = "The app gets something else than was sent."
_FORGED = "A header that a proxy sets, and the app trusts, can be forged by a client."
_SPLIT = "Behind a proxy that reads it differently, its checks are bypassed."
_REFUSED = range(400, 500)
_HOST = "An app that builds URLs from Host, or selects the site by it, gets an invalid one."


def _continue(exchange: Exchange) -> Judgement:
    response = exchange.responses[0]
    if not exchange.marks[1]:  # nothing arrived before the body was sent
        return wrong("sends nothing until the body arrives")
    if not response.interim or response.json.get("start") == "hello":
        return RIGHT
    return wrong(f"sends 100, then responds with {response.status}")


def _ignores_expect(exchange: Exchange) -> Judgement:
    return wrong("sends 100 to HTTP/1.0") if exchange.responses[0].interim else status(200)(exchange)


@of_page("environ", also=REFUSALS)
def _names_kept(environ: Environ) -> Judgement:
    user = environ.get("HTTP_X_USER")
    return RIGHT if user == "real" else differs(f"gives the app HTTP_X_USER as {user!r}")


@of_page("environ", refusing=(400,))
def _fold(environ: Environ) -> Judgement:
    value = environ.get("HTTP_X_FOLDED", "")
    is_spaces = value.split() == ["one", "two"] and not set(value) & set("\r\n\t")
    return RIGHT if is_spaces else wrong(f"gives the app {value!r}")


def _control(replaced: str) -> Judge:
    """Judge a control character in X-Odd; `replaced` is the value with a space in its place."""

    @of_page("environ", refusing=_REFUSED)
    def judge(environ: Environ) -> Judgement:
        if "HTTP_X_HIDDEN" in environ:
            return wrong("takes what follows for another header")
        value = environ.get("HTTP_X_ODD")
        if value is None:
            return differs("leaves the header out")
        return RIGHT if value == replaced else wrong(f"gives the app {value!r}")

    return judge


@of_page("environ", refusing=_REFUSED, otherwise="differs")  # a server error refuses it as well
def _space_first(environ: Environ) -> Judgement:
    return wrong("gives the app the header") if "HTTP_X_FIRST" in environ else RIGHT


CASES = (
    case(
        "header-twice",
        "a header sent twice",
        "RFC 9110 section 5.2, 5.3 (MAY)",
        "The values are joined by a comma and a space, in order, and none is lost.",
        "X-Forwarded-For, Accept or Forwarded in two lines lose a part, or are not split by “, ” alone.",
        app_gets("HTTP_X_TWICE", "1, 2", also=("1,2",)),
        request("/", "X-Twice: 1", "X-Twice: 2"),
    ),
    case(
        "cookie-twice",
        "Cookie sent twice",
        "RFC 9113 section 8.2.3",
        "A client sends one, a gateway from HTTP/2 joins them by “; ”. A server that gets two loses none; "
        "joined by a comma, most apps read one.",
        "Behind a careless proxy that speaks HTTP/2 to browsers, cookies are lost, and sessions with them.",
        app_gets("HTTP_COOKIE", "a=1; b=2", also=("a=1,b=2", "a=1, b=2")),
        request("/", "Cookie: a=1", "Cookie: b=2"),
    ),
    case(
        "header-underscore",
        "a header with an underscore in its name",
        "RFC 9110 section 17.10",
        "It is a valid name; in the environ it cannot be told from one with a hyphen, so most drop it.",
        _FORGED,
        app_gets("HTTP_X_UNDER", None, also=("1",), may_refuse=True),
        request("/", "X_Under: 1"),
    ),
    case(
        "header-underscore-forged",
        "X-User and X_User at once",
        "RFC 9110 section 17.10",
        "Both become HTTP_X_USER; the one with the hyphen alone is safe.",
        _FORGED,
        _names_kept,
        request("/", "X-User: real", "X_User: forged"),
    ),
    case(
        "header-folded",
        "a header continued on the next line",
        "RFC 9112 section 5.2 (MUST)",
        "It is refused with 400, or the fold is replaced by spaces.",
        _SPLIT,
        _fold,
        request("/", "X-Folded: one\r\n two"),
    ),
    case(
        "header-space-before-colon",
        "a space before the colon",
        "RFC 9112 section 5.1 (MUST)",
        "Whitespace between a name and its colon is refused with 400.",
        _SPLIT,
        status(400),
        request("/", "X-Space : 1"),
    ),
    case(
        "header-space-first",
        "a space before the first header",
        "RFC 9112 section 2.2 (MUST)",
        "It is refused, or such lines are ignored.",
        _SPLIT,
        _space_first,
        b"GET / HTTP/1.1\r\n X-First: 1\r\nHost: probe.example\r\nConnection: close\r\n\r\n",
    ),
    case(
        "header-without-colon",
        "a line without a colon",
        "RFC 9112 section 2.2 (SHOULD)",
        "It is not a header: the message is invalid and should be refused with 400.",
        _SPLIT,
        status(400, otherwise="differs"),
        request("/", "nonsense"),
    ),
    case(
        "header-without-name",
        "a header without a name",
        "RFC 9112 section 2.2 (SHOULD)",
        "A name has at least one character: the message is invalid and should be refused with 400.",
        _SPLIT,
        status(400, otherwise="differs"),
        request("/", ": value"),
    ),
    case(
        "header-name-not-a-token",
        "a header name with a character that is not allowed",
        "RFC 9112 section 2.2 (SHOULD)",
        "A name is a token: the message is invalid and should be refused with 400.",
        _SPLIT,
        status(400, otherwise="differs"),
        request("/", "X(Y): 1"),
    ),
    case(
        "header-empty",
        "a header without a value",
        "RFC 9110 section 5.5",
        "An empty value is a value.",
        _LOST,
        app_gets("HTTP_X_EMPTY", "", also=(None,)),
        request("/", "X-Empty:"),
    ),
    case(
        "header-padded",
        "a value with spaces and tabs around it",
        "RFC 9110 section 5.5 (MUST)",
        "Whitespace around a value is not part of it.",
        _LOST,
        app_gets("HTTP_X_PADDED", "a b"),
        request("/", "X-Padded: \t  a b \t "),
    ),
    case(
        "header-beyond-ascii",
        "a non-ASCII value",
        "PEP 3333, Unicode Issues (must)",
        "It is opaque data: its bytes are passed to the app as Latin-1.",
        _LOST,
        app_gets("HTTP_X_NAME", "caf\xc3\xa9", may_refuse=True),
        request("/", "X-Name: café"),
    ),
    case(
        "header-nul",
        "a NUL in a value",
        "RFC 9110 section 5.5 (MUST)",
        "It is refused, or the NUL is replaced by a space.",
        _SPLIT,
        _control("a b"),
        request("/", "X-Odd: a\0b"),
    ),
    case(
        "header-bare-cr",
        "a bare CR in a value",
        "RFC 9112 section 2.2 (MUST)",
        "It is refused, or the CR is replaced by a space.",
        _SPLIT,
        _control("a X-Hidden: 1"),
        request("/", "X-Odd: a\rX-Hidden: 1"),
    ),
    case(
        "header-bare-lf",
        "lines that end with a bare LF",
        "RFC 9112 section 2.2 (MAY)",
        "A recipient may accept a bare LF as the end of a line; one that does not may wait for CRLF.",
        "Hand-written HTTP clients work on one server and not on another.",
        status(200, also=(400,)),
        b"GET / HTTP/1.1\nHost: probe.example\nConnection: close\n\n",
    ),
    case(
        "header-8000",
        "a header of 8,000 bytes",
        "RFC 9110 section 5.4 (MUST)",
        "No limit is specified; large cookies and tokens come near this. Beyond a server's limit: a 4xx.",
        "Requests with large cookies or tokens (Kerberos, OIDC) are refused.",
        status(200, also=_REFUSED),
        request("/", "X-Long: " + "a" * 8000),
    ),
    case(
        "header-300000",
        "a header of 300,000 bytes",
        "RFC 9110 section 5.4 (MUST)",
        "A header larger than the server wishes to process is refused with a 4xx, preferably 431.",
        "A client cannot tell what was wrong, or a server without a limit holds it in memory.",
        status(431, also=(200, *_REFUSED)),
        request("/", "X-Long: " + "a" * 300_000),
    ),
    case(
        "headers-90",
        "90 headers",
        "RFC 9110 section 5.4 (MUST)",
        "No limit is specified; 100 is common. Beyond a server's limit: a 4xx.",
        "Requests through several proxies are refused.",
        status(200, also=_REFUSED),
        request("/", *tuple(f"X-{number}: {number}" for number in range(90))),
    ),
    case(
        "headers-200",
        "200 headers",
        "RFC 9110 section 5.4 (MUST)",
        "They are accepted, or refused with a 4xx, preferably 431.",
        "A client cannot tell what was wrong.",
        status(200, 431, also=_REFUSED),
        request("/", *tuple(f"X-{number}: {number}" for number in range(200))),
    ),
    case(
        "header-proxy",
        "Proxy, which becomes HTTP_PROXY",
        "RFC 3875 section 4.1.18",
        "It is a header like any other; some programs take HTTP_PROXY for their own setting (httpoxy).",
        "CGI programs that the app starts may send their traffic through a client's proxy.",
        app_gets("HTTP_PROXY", "http://evil.example", also=(None,), may_refuse=True),
        request("/", "Proxy: http://evil.example"),
    ),
    case(
        "forwarded-proto",
        "X-Forwarded-Proto: https from this machine",
        "RFC 9112 section 3.3",
        "It is the scheme of the URL that the server was sent, unless a trusted gateway says otherwise; "
        "no gateway has been declared as trusted.",
        "Redirects and secure cookies depend on it: on one server any local client can say https.",
        app_gets("wsgi.url_scheme", "http", otherwise="differs"),
        request("/", "X-Forwarded-Proto: https"),
    ),
    case(
        "forwarded-headers",
        "X-Forwarded-For, passed to the app",
        "PEP 3333, environ Variables",
        "It reaches the app, which decides whom to trust.",
        "An app's own ProxyFix has no effect where the server removes the header.",
        app_gets("HTTP_X_FORWARDED_FOR", "203.0.113.7", otherwise="differs"),
        request("/", "X-Forwarded-For: 203.0.113.7"),
    ),
    case(
        "host-missing",
        "no Host",
        "RFC 9112 section 3.2 (MUST)",
        "HTTP/1.1 without Host is refused with 400.",
        _HOST,
        status(400),
        request(host=None),
    ),
    case(
        "host-twice",
        "two Hosts",
        "RFC 9112 section 3.2 (MUST)",
        "More than one Host is refused with 400.",
        _HOST,
        status(400),
        request("/", "Host: other.example"),
    ),
    case(
        "host-invalid",
        "an invalid Host",
        "RFC 9112 section 3.2 (MUST)",
        "An invalid Host is refused with 400.",
        _HOST,
        status(400),
        request(host="a b/c@d"),
    ),
    case(
        "host-missing-http-1.0",
        "no Host in HTTP/1.0",
        "RFC 9112 section 3.3",
        "HTTP/1.0 needs none; a server without a default name may refuse it.",
        "Old health checks fail.",
        status(200, also=(400,)),
        request(host=None, version="1.0"),
    ),
    case(
        "expect-continue",
        "Expect: 100-continue, and a body that waits for it",
        "RFC 9110 section 10.1.1 (MUST)",
        "100 or a final response is sent before the body arrives. (PEP 3333 lets a server wait, "
        "and advises against it.)",
        "curl waits a second before each upload over 1 MB; other clients may wait forever.",
        _continue,
        request("/probe/read", "Content-Length: 5", "Expect: 100-continue", method="POST"),
        AWAIT_RESPONSE,
        b"hello",
    ),
    case(
        "expect-without-body",
        "Expect: 100-continue with Content-Length: 0",
        "RFC 9110 section 10.1.1",
        "No client should send it, and there is nothing to wait for: a response comes, with or without 100.",
        "Clients that always send Expect hang.",
        status(200),
        request("/probe/read", "Content-Length: 0", "Expect: 100-continue", method="POST"),
    ),
    case(
        "expect-http-1.0",
        "Expect: 100-continue in HTTP/1.0",
        "RFC 9110 section 10.1.1 (MUST)",
        "The expectation is ignored.",
        "An old client takes the 100 for its response.",
        _ignores_expect,
        request(
            "/probe/read",
            "Content-Length: 5",
            "Expect: 100-continue",
            method="POST",
            version="1.0",
            body=b"hello",
        ),
    ),
    case(
        "expect-unknown",
        "an unknown expectation",
        "RFC 9110 section 10.1.1 (MAY)",
        "The response may be 417; most ignore it.",
        "Usually none: no client sends it.",
        status(200, also=(417,)),
        request("/", "Expect: something"),
    ),
)
