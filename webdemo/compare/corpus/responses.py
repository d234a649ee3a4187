"""Responses: what a server makes of what apps return, including invalid responses."""

from __future__ import annotations

from collections.abc import Callable

from webdemo.client.wire import Exchange, Response
from webdemo.compare.corpus.case import (
    RIGHT,
    Judge,
    Judgement,
    Level,
    case,
    differs,
    of_response,
    request,
    status,
    when_closed,
    wrong,
)
from webdemo.compare.corpus.probe_app import ENDLESS, LARGE_BYTES, MOST_READS, SHRUNK_BYTES

_CALLABLE = "PEP 3333, The start_response() Callable"
_LENGTH = "PEP 3333, Handling the Content-Length Header"
_WHOLE = "A client, or a cache, takes half a response for a complete one."
_STEP = "A client that keeps its connection takes the body for the next response."


def _body(expected: bytes) -> Judge:
    @of_response
    def judge(response: Response) -> Judgement:
        if response.status == 200 and response.body == expected:
            return RIGHT
        return wrong(f"responds with {response.status} and {response.body[:40]!r}")

    return judge


def _without_body(exchange: Exchange) -> Judgement:
    first, *others = exchange.responses
    if first.status == 500:
        return differs("refuses it with 500")
    if exchange.rest or (others and others[0].body != b"hello"):
        return wrong("sends the body")
    # A 204 response may have neither: RFC 9110 section 8.6, RFC 9112 section 6.1.
    for name in ("Content-Length", "Transfer-Encoding"):
        if first.status == 204 and first.values(name):
            return wrong(f"sends {name} with it")
    if len(others) == 1:
        return RIGHT
    if not exchange.is_over:
        return wrong("does not respond to the next request")
    return differs(f"sends no body, closes, and {'says so' if first.says_close else 'does not say so'}")


@of_response
def _no_made_up_length(response: Response) -> Judgement:
    length = response.header("Content-Length")
    if response.status != 304:
        return wrong(f"responds with {response.status}")
    return RIGHT if length in (None, "5") else wrong(f"sends Content-Length: {length}")


def _failed(closed: Judgement) -> Callable[[Callable[[Response], Judgement]], Judge]:
    """A judge of a complete response to an app that fails, where 500 is right, and so is an incomplete one.

    `closed` rates a connection closed without a response.
    """

    def decorate(judge: Callable[[Response], Judgement]) -> Judge:
        @when_closed(closed)
        def judge_first(response: Response, exchange: Exchange) -> Judgement:
            if response.status == 500:
                return RIGHT
            return judge(response) if response.is_whole else _ended(exchange)

        return judge_first

    return decorate


def _ended(exchange: Exchange) -> Judgement:
    """Judge a response that is shorter than announced."""
    return RIGHT if exchange.is_over else wrong("leaves the client waiting")


@_failed(RIGHT)
def _cut(response: Response) -> Judgement:
    """A response that failed midway must not look complete."""
    if b"sorry" in response.body:
        return wrong("lets the app continue as if nothing had failed")
    if response.body != b"hello":
        return differs("ends the body with its own message")
    if response.header("Content-Length") is None and not response.is_chunked:
        return differs("ends a body without a length, which looks complete")
    return wrong("ends the body as if it were complete")


@_failed(differs("closes the connection without a response"))
def _too_short(_: Response) -> Judgement:
    return differs("announces a different length than the app")


@when_closed(RIGHT)
def _too_long(first: Response, exchange: Exchange) -> Judgement:
    others = exchange.responses[1:]
    if exchange.rest or (others and others[0].body != b"hello"):
        if not others and b"HTTP/" not in exchange.rest:
            return differs("sends more than was announced, then nothing")
        return wrong("sends more than was announced, then another response")
    if first.status == 500:
        return RIGHT
    return RIGHT if first.is_whole else _ended(exchange)


def _first_part_early(exchange: Exchange) -> Judgement:
    early = exchange.raw[: exchange.marks[1]]
    return RIGHT if b"first" in early else wrong("holds the first part back until the second is available")


def _closed(exchange: Exchange) -> Judgement:
    times = len(exchange.recorded.get("happened", []))
    if times == 1:
        return RIGHT
    return differs(f"calls close() {times} times") if times else wrong("does not call close()")


@of_response
def _hop_by_hop(response: Response) -> Judgement:
    if response.status == 500:
        return RIGHT
    return differs("sends it" if "timeout=99" in (response.header("Keep-Alive") or "") else "leaves it out")


@when_closed(RIGHT)
def _own_transfer_encoding(response: Response, _: Exchange) -> Judgement:
    if response.status == 500:
        return RIGHT
    if response.is_whole and response.body == b"hello":
        return differs("sends the chunks that the app announced" if response.is_chunked else "leaves it out")
    return wrong("sends a body without the chunks that it announces")


@when_closed(RIGHT)
def _injected(response: Response, _: Exchange) -> Judgement:
    return wrong("sends it as it is: two headers") if response.header("X-Injected") else RIGHT


@of_response
def _latin_1(response: Response) -> Judgement:
    value = response.header("X-Name")
    if value == "caf\xe9":
        return RIGHT
    return wrong(f"responds with {response.status}" if value is None else f"sends {value!r}")


def _wide(exchange: Exchange) -> Judgement:
    if not exchange.responses:
        where = "in the middle of the headers" if exchange.rest else "without a response"
        return differs(f"closes the connection {where}")
    response = exchange.responses[0]
    if response.status == 500:
        return RIGHT
    return differs(f"sends {response.header('X-Name')!r}")


@of_response
def _cookies(response: Response) -> Judgement:
    cookies = response.values("Set-Cookie")
    return RIGHT if cookies == ["a=1", "b=2"] else wrong(f"sends {cookies}")


@of_response
def _name_kept(response: Response) -> Judgement:
    names = [name for name, _ in response.headers if name.lower() == "x-mixed-case"]
    if not names:
        return wrong("does not send it")
    return RIGHT if names == ["x-mIxed-case"] else differs(f"sends {names[0]}")


@of_response
def _date(response: Response) -> Judgement:
    times = len(response.values("Date"))
    return RIGHT if times == 1 else wrong(f"sends Date {times} times")


def _own(header: str, value: str, without: Level) -> Judge:
    """Judge that the app's own header is sent; `without` is the level of a response that lacks it."""

    @of_response
    def judge(response: Response) -> Judgement:
        values = response.values(header)
        if values == [value]:
            return RIGHT
        if len(values) == 1:
            return differs("sends its own instead")
        return Judgement(without if not values else "wrong", f"sends {header} {len(values)} times")

    return judge


@of_response
def _odd_status(response: Response) -> Judgement:
    if (response.status, response.reason) == (299, "Quite Odd"):
        return RIGHT
    if response.status == 299:
        return differs(f"sends the reason {response.reason!r}")
    return wrong(f"responds with {response.status}")


@_failed(RIGHT)
def _text(response: Response) -> Judgement:
    return differs(f"responds with {response.status} and {response.body[:40]!r}")


def _shrunk(exchange: Exchange) -> Judgement:
    """A file that became shorter than its announced length."""
    if ENDLESS in exchange.recorded.get("happened", []):
        return wrong(
            f"reads past the end of the file forever (the probe stopped it after {MOST_READS} times)"
        )
    if (
        exchange.responses
        and len(exchange.responses[0].body) > SHRUNK_BYTES
        and exchange.responses[0].is_whole
    ):
        return wrong("pads it")
    return _too_short(exchange)


CASES = (
    *(
        case(
            f"{code}-with-body",
            f"{code} with a body",
            "RFC 9112 section 6.3",
            f"A {code} response ends with its headers, whatever they say.",
            _STEP,
            _without_body,
            close=False,
            then_hello=0.1,
        )
        for code in (204, 304)
    ),
    case(
        "304-with-length",
        "304 with the length of the selected representation",
        "RFC 9110 section 8.6 (MUST)",
        "An app may send the length of the 200 response; no other may be sent.",
        "Caches store a wrong length, or an app's 304 fails.",
        _no_made_up_length,
    ),
    case(
        "stream",
        "a response in parts, without a length",
        "RFC 9112 section 6.3",
        "All parts arrive, with a recognizable end.",
        "Downloads are truncated, or hang.",
        _body(b"one two three"),
    ),
    case(
        "stream-slowly",
        "the first part of a response whose second part is slow",
        "PEP 3333, Buffering and Streaming (must)",
        "No part is held back until the next one is available.",
        "Server-sent events and progress arrive late, or only at the end.",
        _first_part_early,
        request("/probe/stream-slowly"),
        0.35,
    ),
    case(
        "stream-empty-parts",
        "empty parts in a response",
        "PEP 3333, Middleware Handling of Block Boundaries",
        "An empty part is not the end; middleware has to yield some.",
        "Responses of apps that yield b'' to give other threads a turn are truncated.",
        _body(b"one two three"),
    ),
    case(
        "large",
        "a response of 1 MB",
        "RFC 9112 section 6.3",
        "It arrives completely.",
        "Downloads are truncated.",
        _body(b"x" * LARGE_BYTES),
    ),
    case(
        "write",
        "write() and a body",
        "PEP 3333, The write() Callable (must)",
        "What was written comes first, then the body.",
        "Old apps lose a part of their response.",
        _body(b"written, and returned"),
    ),
    case(
        "file",
        "a file, through wsgi.file_wrapper if there is one",
        "PEP 3333, Optional Platform-Specific File Handling",
        "It arrives completely.",
        "Downloads are truncated.",
        _body(bytes(range(256)) * 256),
    ),
    case(
        "file-shrinks",
        "a file that becomes shorter while it is sent",
        f"{_LENGTH} (should)",
        "The end of the file ends the response, and the connection is closed, so that the client knows.",
        "A log that is rotated during its download leaves a client waiting, or a processor busy forever.",
        _shrunk,
        request("/probe/file-shrinks?{id}", close=False),
        judges_breaks=True,
        recalls=True,
    ),
    *(
        case(
            name,
            title,
            "PEP 3333, Specification Details (must)",
            "close() is called however the response ends.",
            "Database connections and files are not released.",
            _closed,
            *steps,
            judges_breaks=True,
            recalls=True,
        )
        for name, title, steps in (
            ("close", "close() of a response", (request("/probe/closing?{id}"),)),
            (
                "close-left",
                "close() when the client leaves early",
                (request("/probe/closing-endless?{id}"), 0.1),
            ),
            ("close-failed", "close() when the body fails", (request("/probe/closing-failed?{id}"),)),
        )
    ),
    case(
        "raise-before-start",
        "an exception before start_response",
        "PEP 3333, Error Handling",
        "Nothing is sent yet: 500.",
        "A client cannot distinguish a failure of the app from one of the network.",
        status(500),
    ),
    case(
        "raise-after-start",
        "an exception after start_response, before the body",
        f"{_CALLABLE} (must)",
        "The headers are not sent before the body: 500.",
        "A failure looks like success, with an empty page.",
        status(500),
    ),
    case(
        "raise-in-body",
        "an exception in the middle of a body",
        "RFC 9112 section 8",
        "The response is left incomplete, so that the client knows.",
        _WHOLE,
        _cut,
        close=False,
        judges_breaks=True,
    ),
    case(
        "raise-in-body-with-length",
        "an exception in the middle of a body with a length",
        "RFC 9112 section 8",
        "The response is left incomplete, so that the client knows.",
        _WHOLE,
        _cut,
        close=False,
        judges_breaks=True,
    ),
    case(
        "start-again",
        "start_response again, with exc_info, before the body",
        _CALLABLE,
        "The second status replaces the first, as long as nothing is sent.",
        "Error pages are sent with 200.",
        status(503),
    ),
    case(
        "start-again-late",
        "start_response again, with exc_info, in the middle of the body",
        f"{_CALLABLE} (must)",
        "It raises: the response is left incomplete.",
        _WHOLE,
        _cut,
        close=False,
        judges_breaks=True,
    ),
    case(
        "start-twice",
        "start_response twice, without exc_info",
        _CALLABLE,
        "It is a fatal error in the app; what a server should do is not specified.",
        "A mistake goes unnoticed on one server, and fails on another.",
        status(500, otherwise="differs"),
    ),
    case(
        "start-never",
        "an app that does not call start_response",
        "PEP 3333, Specification Details",
        "It is an error in the app: 500, and never a status that the app did not set.",
        "A mistake goes unnoticed on one server, and fails on another.",
        status(500),
    ),
    case(
        "too-short",
        "a body shorter than its Content-Length",
        f"{_LENGTH} (should)",
        "The connection is closed, so that the client knows.",
        "The client waits for the rest until it times out.",
        _too_short,
        close=False,
        judges_breaks=True,
    ),
    case(
        "too-long",
        "a body longer than its Content-Length",
        f"{_LENGTH} (should)",
        "No more is sent than was announced, above all before another response on the same connection.",
        _STEP,
        _too_long,
        close=False,
        then_hello=0.1,
        judges_breaks=True,
    ),
    case(
        "text-body",
        "a body of str instead of bytes",
        "PEP 3333, A Note On String Types",
        "It is an error in the app: 500, or the response is left incomplete.",
        "A mistake goes unnoticed on one server, and fails on another.",
        _text,
        judges_breaks=True,
    ),
    case(
        "hop-by-hop",
        "an app that sends Keep-Alive, a hop-by-hop header",
        f"{_CALLABLE} (should)",
        "Apps must not; a server should treat it as an error.",
        "Clients are promised what the server does not do.",
        _hop_by_hop,
    ),
    case(
        "own-transfer-encoding",
        "an app that sends Transfer-Encoding: chunked, and no chunks",
        f"{_CALLABLE} (should)",
        "Apps must not; a server should treat it as an error. What it announces it has to send.",
        "Clients cannot read the response.",
        _own_transfer_encoding,
        judges_breaks=True,
    ),
    case(
        "line-break-in-header",
        "CR and LF in a header that an app sends",
        "RFC 9110 section 2.2, 5.5 (MUST)",
        "Apps must not, and a sender must not send a header that violates the grammar.",
        "User input in a redirect or a cookie can add headers to the response, or a body.",
        _injected,
        judges_breaks=True,
    ),
    case(
        "latin-1-header",
        "an é in a header that an app sends",
        "PEP 3333, Unicode Issues (must)",
        "It is sent as Latin-1.",
        "File names in Content-Disposition arrive corrupted.",
        _latin_1,
    ),
    case(
        "wide-header",
        "a € in a header that an app sends, which Latin-1 does not have",
        "PEP 3333, Unicode Issues",
        "It is a fatal error in the app: 500.",
        "User input in a header makes a response fail, and on some servers the client hang.",
        _wide,
        judges_breaks=True,
    ),
    case(
        "two-cookies",
        "two Set-Cookie headers",
        "RFC 9110 section 5.3",
        "They stay separate: they cannot be joined.",
        "All cookies but one are lost.",
        _cookies,
    ),
    case(
        "header-name-case",
        "the case of a header's name",
        "RFC 9110 section 5.1",
        "Names are case-insensitive.",
        "Tests and clients that compare names exactly fail.",
        _name_kept,
    ),
    case(
        "date",
        "Date, if the app sets none",
        "RFC 9110 section 6.6.1 (MUST)",
        "A server with a clock sends Date.",
        "Caches cannot determine the age of a page.",
        _date,
        request("/probe/hello"),
    ),
    case(
        "own-date",
        "an app that sets Date itself",
        "RFC 9110 section 5.3, 6.6.1 (MUST)",
        "Date is sent once, either the app's or the server's.",
        "Clients and caches get two dates.",
        _own("Date", "Thu, 01 Jan 1998 00:00:00 GMT", without="wrong"),
    ),
    case(
        "own-server",
        "an app that sets Server itself",
        "RFC 9110 section 5.3 (MUST)",
        "Server is sent at most once.",
        "A server name that was meant to be hidden is shown anyway.",
        _own("Server", "the-app", without="differs"),
    ),
    case(
        "odd-status",
        "an unknown status",
        _CALLABLE,
        "The status is the app's.",
        "An app's own status codes are replaced.",
        _odd_status,
    ),
)
