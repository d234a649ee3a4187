"""Responses: what a server makes of what apps return, including invalid responses."""

from __future__ import annotations

from collections.abc import Callable

from webdemo.client.wire import Exchange, Response
from webdemo.compare.corpus.case import (
    Case,
    Judge,
    Judgement,
    Level,
    differs,
    request,
    right,
    status,
    wrong,
)
from webdemo.compare.corpus.probe_app import ENDLESS, LARGE_BYTES, MOST_READS, SHRUNK_BYTES

_CALLABLE = "PEP 3333, The start_response() Callable"
_LENGTH = "PEP 3333, Handling the Content-Length Header"
_WHOLE = "A client, or a cache, keeps half an answer for a whole one."
_STEP = "A client that keeps its connection takes the body for the next answer."


def _page(
    name: str,
    title: str,
    judge: Judge,
    expected: str,
    section: str,
    meaning: str,
    *,
    page: str | None = None,
    judges_breaks: bool = False,
    close: bool = True,
) -> Case:
    steps = (request(f"/probe/{page or name}", close=close),)
    return Case(name, title, section, expected, meaning, steps, judge, judges_breaks=judges_breaks)


def _answer(judge: Callable[[Response], Judgement]) -> Judge:
    return lambda exchange: judge(exchange.responses[0])


def _body(expected: bytes) -> Judge:
    def judge(response: Response) -> Judgement:
        if response.status == 200 and response.body == expected:
            return right("sends it all")
        return wrong(f"answers {response.status} with {response.body[:40]!r}")

    return _answer(judge)


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
        return right("sends no body, and answers the next request")
    if not exchange.is_over:
        return wrong("does not answer the next request")
    return differs(f"sends no body, closes, and {'says' if first.says_close else 'does not say'} so")


def _no_made_up_length(response: Response) -> Judgement:
    length = response.header("Content-Length")
    if response.status != 304:
        return wrong(f"answers {response.status}")
    if length in (None, "5"):
        return right("sends " + ("the length" if length else "no length"))
    return wrong(f"sends Content-Length: {length}")


def _unfinished(exchange: Exchange) -> Judgement:
    """A response that is shorter than announced."""
    return (
        right("closes before the announced end") if exchange.is_over else wrong("leaves the client waiting")
    )


def _cut(exchange: Exchange) -> Judgement:
    """A response that failed midway must not look complete."""
    if not exchange.responses:
        return right("closes the connection before anything is sent")
    response = exchange.responses[0]
    if response.status == 500:
        return right("answers 500, as nothing had been sent yet")
    if not response.is_whole:
        return _unfinished(exchange)
    if b"sorry" in response.body:
        return wrong("lets the app go on as though nothing had failed")
    if response.body != b"hello":
        return differs("ends the body with a message of its own")
    if response.header("Content-Length") is None and not response.is_chunked:
        return differs("ends a body without a length, which looks whole")
    return wrong("ends the body as though it were whole")


def _too_short(exchange: Exchange) -> Judgement:
    if not exchange.responses:
        return differs("closes the connection without an answer")
    response = exchange.responses[0]
    if response.status == 500:
        return right("answers 500")
    if response.is_whole:
        return differs("announces another length than the app")
    return _unfinished(exchange)


def _too_long(exchange: Exchange) -> Judgement:
    if not exchange.responses:
        return right("closes the connection")
    first, *others = exchange.responses
    if exchange.rest or (others and others[0].body != b"hello"):
        if not others and b"HTTP/" not in exchange.rest:
            return differs("sends more than was announced, and nothing behind it")
        return wrong("sends more than was announced, and another answer behind it")
    if first.status == 500:
        return right("answers 500")
    if not first.is_whole:
        return _unfinished(exchange)
    if others:
        return right("sends as much as was announced, and answers the next request")
    return right("sends as much as was announced, and closes")


def _first_part_early(exchange: Exchange) -> Judgement:
    early = exchange.raw[: exchange.marks[1]]
    if b"first" in early:
        return right("sends the first part at once")
    return wrong("keeps the first part back until the second is there")


def _closed(exchange: Exchange) -> Judgement:
    times = len(exchange.recorded.get("happened", []))
    if times == 1:
        return right("calls close()")
    return differs(f"calls close() {times} times") if times else wrong("does not call close()")


def _hop_by_hop(response: Response) -> Judgement:
    if response.status == 500:
        return right("refuses it with 500")
    return differs("sends it" if "timeout=99" in (response.header("Keep-Alive") or "") else "leaves it out")


def _own_transfer_encoding(exchange: Exchange) -> Judgement:
    response = exchange.responses[0] if exchange.responses else None
    if response is None:
        return right("closes the connection")
    if response.status == 500:
        return right("refuses it with 500")
    if response.is_whole and response.body == b"hello":
        return differs("makes the chunks that the app promised" if response.is_chunked else "leaves it out")
    return wrong("sends a body without the chunks that it announces")


def _injected(exchange: Exchange) -> Judgement:
    if not exchange.responses:
        return right("closes the connection")
    response = exchange.responses[0]
    if response.header("X-Injected"):
        return wrong("sends it as it is: two headers")
    return right("refuses it with 500" if response.status == 500 else "does not send it as it is")


def _latin_1(response: Response) -> Judgement:
    value = response.header("X-Name")
    if value == "caf\xe9":
        return right("sends it as Latin-1")
    return wrong(f"answers {response.status}" if value is None else f"sends {value!r}")


def _wide(exchange: Exchange) -> Judgement:
    if not exchange.responses:
        return differs(
            f"closes the connection {'amid the headers' if exchange.rest else 'without an answer'}"
        )
    response = exchange.responses[0]
    if response.status == 500:
        return right("refuses it with 500")
    return differs(f"sends {response.header('X-Name')!r}")


def _cookies(response: Response) -> Judgement:
    cookies = response.values("Set-Cookie")
    return right("sends both") if cookies == ["a=1", "b=2"] else wrong(f"sends {cookies}")


def _name_kept(response: Response) -> Judgement:
    names = [name for name, _ in response.headers if name.lower() == "x-mixed-case"]
    if not names:
        return wrong("does not send it")
    return right("sends the name as it is") if names == ["x-mIxed-case"] else differs(f"sends {names[0]}")


def _date(response: Response) -> Judgement:
    times = len(response.values("Date"))
    return right("sends Date") if times == 1 else wrong(f"sends Date {times} times")


def _own(header: str, value: str, without: Level) -> Judge:
    """Judge that the app's own header is sent; `without` is the level of a response that lacks it."""

    def judge(response: Response) -> Judgement:
        values = response.values(header)
        if values == [value]:
            return right("sends the app's")
        if len(values) == 1:
            return differs("sends its own instead")
        return Judgement(without if not values else "wrong", f"sends {header} {len(values)} times")

    return _answer(judge)


def _odd_status(response: Response) -> Judgement:
    if (response.status, response.reason) == (299, "Quite Odd"):
        return right("sends it as it is")
    if response.status == 299:
        return differs(f"sends the reason {response.reason!r}")
    return wrong(f"answers {response.status}")


def _text(exchange: Exchange) -> Judgement:
    if not exchange.responses:
        return right("closes the connection")
    response = exchange.responses[0]
    if response.status == 500:
        return right("refuses it with 500")
    if not response.is_whole:
        return _unfinished(exchange)
    return differs(f"answers {response.status} with {response.body[:40]!r}")


def _shrunk(exchange: Exchange) -> Judgement:
    """A file that became shorter than its announced length."""
    if ENDLESS in exchange.recorded.get("happened", []):
        return wrong(
            f"reads on for ever behind the file's end (the probe stopped it after {MOST_READS} times)"
        )
    if not exchange.responses:
        return differs("closes the connection without an answer")
    response = exchange.responses[0]
    if response.status == 500:
        return right("answers 500")
    if response.is_whole:
        says_more = len(response.body) > SHRUNK_BYTES
        return wrong("fills it up") if says_more else differs("announces the length that is left")
    return _unfinished(exchange)


CASES = (
    *(
        Case(
            f"{code}-with-body",
            f"{code} with a body",
            "RFC 9112 section 6.3",
            f"An answer of {code} ends with its headers, whatever they say.",
            _STEP,
            (request(f"/probe/{code}-with-body", close=False), 0.1, request("/probe/hello")),
            _without_body,
            ("GET", "GET"),
        )
        for code in (204, 304)
    ),
    _page(
        "304-with-length",
        "304 with the length of what it stands for",
        _answer(_no_made_up_length),
        "An app may give it the length of the 200 answer; no other may be sent.",
        "RFC 9110 section 8.6 (MUST)",
        "Caches keep a wrong length, or an app's 304 fails.",
    ),
    _page(
        "stream",
        "an answer in parts, without a length",
        _body(b"one two three"),
        "All parts arrive, and an end that can be told.",
        "RFC 9112 section 6.3",
        "Downloads are cut, or hang.",
    ),
    Case(
        "stream-slowly",
        "the first part of an answer whose second takes its time",
        "PEP 3333, Buffering and Streaming (must)",
        "No part is kept back until the next one is there.",
        "Server-sent events and progress arrive late, or not before the end.",
        (request("/probe/stream-slowly"), 0.35),
        _first_part_early,
    ),
    _page(
        "stream-empty-parts",
        "empty parts within an answer",
        _body(b"one two three"),
        "An empty part is no end; middleware has to yield some.",
        "PEP 3333, Middleware Handling of Block Boundaries",
        "Answers of apps that yield b'' to give way are cut.",
    ),
    _page(
        "large",
        "an answer of 1 MB",
        _body(b"x" * LARGE_BYTES),
        "It arrives whole.",
        "RFC 9112 section 6.3",
        "Downloads are cut.",
    ),
    _page(
        "write",
        "write() and a body",
        _body(b"written, and returned"),
        "What was written comes first, then the body.",
        "PEP 3333, The write() Callable (must)",
        "Old apps lose a part of their answer.",
        page="by-write",
    ),
    _page(
        "file",
        "a file, by wsgi.file_wrapper where there is one",
        _body(bytes(range(256)) * 256),
        "It arrives whole.",
        "PEP 3333, Optional Platform-Specific File Handling",
        "Downloads are cut.",
    ),
    Case(
        "file-shrinks",
        "a file that becomes shorter while it is sent",
        f"{_LENGTH} (should)",
        "The file's end ends the answer, and the connection is closed, so that the client knows.",
        "A log that is rotated during its download leaves a client waiting, or a processor busy for ever.",
        (request("/probe/file-shrinks?{id}", close=False),),
        _shrunk,
        judges_breaks=True,
        recalls=True,
    ),
    *(
        Case(
            name,
            title,
            "PEP 3333, Specification Details (must)",
            "close() is called however the answer ends.",
            "Database connections and files are not given back.",
            steps,
            _closed,
            judges_breaks=True,
            recalls=True,
        )
        for name, title, steps in (
            ("close", "close() of an answer", (request("/probe/closing?{id}"),)),
            (
                "close-left",
                "close() when the client leaves early",
                (request("/probe/closing-endless?{id}"), 0.1),
            ),
            ("close-failed", "close() when the body fails", (request("/probe/closing-failed?{id}"),)),
        )
    ),
    _page(
        "raise-before-start",
        "an exception before start_response",
        status(500),
        "Nothing is sent yet: 500.",
        "PEP 3333, Error Handling",
        "A client cannot tell a failure of the app from one of the network.",
        page="raise-before",
    ),
    _page(
        "raise-after-start",
        "an exception after start_response, before the body",
        status(500),
        "The headers are not sent before the body: 500.",
        f"{_CALLABLE} (must)",
        "A failure looks like success, with an empty page.",
    ),
    _page(
        "raise-in-body",
        "an exception in the middle of a body",
        _cut,
        "The answer is left unfinished, so that the client knows.",
        "RFC 9112 section 8",
        _WHOLE,
        judges_breaks=True,
        close=False,
    ),
    _page(
        "raise-in-body-with-length",
        "an exception in the middle of a body with a length",
        _cut,
        "The answer is left unfinished, so that the client knows.",
        "RFC 9112 section 8",
        _WHOLE,
        judges_breaks=True,
        close=False,
    ),
    _page(
        "start-again",
        "start_response again, with exc_info, before the body",
        status(503),
        "The second status replaces the first, as long as nothing is sent.",
        _CALLABLE,
        "Error pages are sent with 200.",
    ),
    _page(
        "start-again-late",
        "start_response again, with exc_info, in the middle of the body",
        _cut,
        "It raises: the answer is left unfinished.",
        f"{_CALLABLE} (must)",
        _WHOLE,
        judges_breaks=True,
        close=False,
    ),
    _page(
        "start-twice",
        "start_response twice, without exc_info",
        status(500, otherwise="differs"),
        "It is a fatal error in the app; what a server is to do about it is not said.",
        _CALLABLE,
        "A mistake goes unnoticed on one server, and fails on another.",
    ),
    _page(
        "start-never",
        "an app that does not call start_response",
        status(500),
        "It is an error in the app: 500, and no answer with a status that nobody gave.",
        "PEP 3333, Specification Details",
        "A mistake goes unnoticed on one server, and fails on another.",
    ),
    _page(
        "too-short",
        "a body shorter than its Content-Length",
        _too_short,
        "The connection is closed, so that the client knows.",
        f"{_LENGTH} (should)",
        "The client waits for the rest until its time is over.",
        judges_breaks=True,
        close=False,
    ),
    Case(
        "too-long",
        "a body longer than its Content-Length",
        f"{_LENGTH} (should)",
        "No more is sent than was announced; least of all before another answer on the same connection.",
        _STEP,
        (request("/probe/too-long", close=False), 0.1, request("/probe/hello")),
        _too_long,
        ("GET", "GET"),
        judges_breaks=True,
    ),
    _page(
        "text-body",
        "a body of str instead of bytes",
        _text,
        "It is an error in the app: 500, or the answer is left unfinished.",
        "PEP 3333, A Note On String Types",
        "A mistake goes unnoticed on one server, and fails on another.",
        judges_breaks=True,
    ),
    _page(
        "hop-by-hop",
        "an app that sends Keep-Alive, a header of the connection",
        _answer(_hop_by_hop),
        "Apps are forbidden to; a server is to treat it as an error.",
        f"{_CALLABLE} (should)",
        "Clients are told what the server does not hold to.",
    ),
    _page(
        "own-transfer-encoding",
        "an app that sends Transfer-Encoding: chunked, and no chunks",
        _own_transfer_encoding,
        "Apps are forbidden to; a server is to treat it as an error. What it announces it has to send.",
        f"{_CALLABLE} (should)",
        "Clients cannot read the answer.",
        judges_breaks=True,
    ),
    _page(
        "line-break-in-header",
        "CR and LF in a header that an app sends",
        _injected,
        "Apps are forbidden to, and a sender sends no header that the grammar does not know.",
        "RFC 9110 section 2.2, 5.5 (MUST)",
        "User input in a redirect or a cookie can add headers to the answer, or a body of its own.",
        judges_breaks=True,
    ),
    _page(
        "latin-1-header",
        "an é in a header that an app sends",
        _answer(_latin_1),
        "It is sent as Latin-1.",
        "PEP 3333, Unicode Issues (must)",
        "File names in Content-Disposition arrive spoilt.",
    ),
    _page(
        "wide-header",
        "a € in a header that an app sends, which Latin-1 does not have",
        _wide,
        "It is a fatal error in the app: 500.",
        "PEP 3333, Unicode Issues",
        "User input in a header makes an answer fail, and on some servers the client wait.",
        judges_breaks=True,
    ),
    _page(
        "two-cookies",
        "two Set-Cookie headers",
        _answer(_cookies),
        "They stay two: they cannot be joined.",
        "RFC 9110 section 5.3",
        "All cookies but one are lost.",
    ),
    _page(
        "header-name-case",
        "the case of a header's name",
        _answer(_name_kept),
        "Names are case-insensitive.",
        "RFC 9110 section 5.1",
        "Tests and clients that compare names exactly fail.",
        page="lower-case-header",
    ),
    _page(
        "date",
        "Date, where the app gives none",
        _answer(_date),
        "A server with a clock sends Date.",
        "RFC 9110 section 6.6.1 (MUST)",
        "Caches cannot tell the age of a page.",
        page="hello",
    ),
    _page(
        "own-date",
        "an app that gives Date itself",
        _own("Date", "Thu, 01 Jan 1998 00:00:00 GMT", without="wrong"),
        "Date is sent once; whose it is, the app's or the server's, is open.",
        "RFC 9110 section 5.3, 6.6.1 (MUST)",
        "Clients and caches meet two dates.",
    ),
    _page(
        "own-server",
        "an app that gives Server itself",
        _own("Server", "the-app", without="differs"),
        "Server is sent at most once.",
        "RFC 9110 section 5.3 (MUST)",
        "Who hides the server's name finds it shown even so.",
    ),
    _page(
        "odd-status",
        "a status that nobody knows",
        _answer(_odd_status),
        "The status is the app's.",
        _CALLABLE,
        "Statuses of an app's own are replaced.",
    ),
)
