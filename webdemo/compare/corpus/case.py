"""A probe with its expected result, and the building blocks of the corpus.

A judge rates an exchange and, unless it is right, says what the server does, as a predicate after its name
("responds with 400"). Right is what the section demands by MUST or SHOULD or, where it leaves a choice, what
most servers do; differs is another choice, or a SHOULD not followed; wrong violates a MUST, or misinforms the
app or client.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from typing import Any, Literal, NamedTuple

from webdemo.client.wire import Exchange, Response, Step, encode_request
from webdemo.compare.results import Verdict

HOST = "probe.example"

Environ = dict[str, Any]
Level = Literal["right", "differs", "wrong"]


class Judgement(NamedTuple):
    verdict: Verdict
    does: str  # "responds with 400"; "" if it is right


Judge = Callable[[Exchange], Judgement]


class Case(NamedTuple):
    """One probe. `{id}` in its steps is replaced by a unique name."""

    name: str
    title: str
    section: str  # with the requirement's level, where it has one: "RFC 9112 section 6.3 (MUST)"
    expected: str
    meaning: str  # for an app or its users, if a server deviates
    judge: Judge
    steps: tuple[Step, ...]
    responses: int = 1  # expected
    judges_breaks: bool = False  # the judge is called even without a complete response
    recalls: bool = False  # the app is asked afterwards what happened to its response

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods of the requests, in order; those after the first are GET."""
        first = next(step for step in self.steps if isinstance(step, bytes))
        return (first.split(maxsplit=1)[0].decode(), *["GET"] * (self.responses - 1))


def case(
    name: str,
    title: str,
    section: str,
    expected: str,
    meaning: str,
    judge: Judge,
    *steps: Step,
    close: bool = True,
    then_hello: float | None = None,
    **more: Any,
) -> Case:
    """A row of the corpus; `more` are fields of Case.

    Without steps, the probe app's page with the probe's name is requested. With `then_hello`, /probe/hello is
    requested on the same connection, so many seconds after the steps.
    """
    steps = steps or (request(f"/probe/{name}", close=close),)
    if then_hello is not None:
        steps, more["responses"] = (*steps, then_hello, request("/probe/hello")), 2
    return Case(name, title, section, expected, meaning, judge, steps, **more)


request = partial(encode_request, host=HOST)


# -- judges ---------------------------------------------------------------------------------------


RIGHT = Judgement("right", "")
# Statuses that blame the request, or say that it is not implemented.
REFUSALS = (*range(400, 500), 501)
differs = partial(Judgement, "differs")
wrong = partial(Judgement, "wrong")


def of_response(judge: Callable[[Response], Judgement]) -> Judge:
    """A judge of the response to the only request."""

    def judge_exchange(exchange: Exchange) -> Judgement:
        if len(exchange.responses) > exchange.expected:
            return wrong("takes what follows for another request, and responds to it as well")
        return judge(exchange.responses[0])

    return judge_exchange


def must_close(judge: Judge) -> Judge:
    """The same judge for a server that MUST close the connection after its response."""

    def judge_exchange(exchange: Exchange) -> Judgement:
        if exchange.is_over or len(exchange.responses) != exchange.expected:
            return judge(exchange)
        return wrong(f"responds with {exchange.responses[0].status} and keeps the connection open")

    return judge_exchange


def of_page(
    key: str, *, refusing: Collection[int] = (), also: Collection[int] = (), otherwise: Level = "wrong"
) -> Callable[[Callable[[Any], Judgement]], Judge]:
    """A judge of what the app has seen, by its name on the probe app's page: "environ", "start" of the body.

    Any other response is rated by its status: right if it is in `refusing`, differs if it is in `also`.
    """

    def decorate(judge: Callable[[Any], Judgement]) -> Judge:
        @of_response
        def judge_response(response: Response) -> Judgement:
            if key in response.json:
                return judge(response.json[key])
            return rated(response.status, refusing, also, otherwise, f"responds with {response.status}")

        return judge_response

    return decorate


def when_closed(closed: Judgement) -> Callable[[Callable[[Response, Exchange], Judgement]], Judge]:
    """A judge of the first response, complete or not; `closed` rates a connection closed without one."""

    def decorate(judge: Callable[[Response, Exchange], Judgement]) -> Judge:
        return lambda exchange: judge(exchange.responses[0], exchange) if exchange.responses else closed

    return decorate


def status(*good: int, also: Collection[int] = (), otherwise: Level = "wrong") -> Judge:
    """Judge by the response's status: `good` is right, `also` differs, any other is `otherwise`."""

    @of_response
    def judge(response: Response) -> Judgement:
        return rated(response.status, good, also, otherwise, f"responds with {response.status}")

    return judge


def app_gets(
    key: str,
    *good: str | None,
    also: Collection[str | None] = (),
    may_refuse: bool = False,
    otherwise: Level = "wrong",
) -> Judge:
    """Judge by a key of the environ that the app gets; None means that the key is absent.

    If the server `may_refuse`, a 4xx or 501 differs; any other response that is not the app's is `otherwise`.
    """

    @of_page("environ", also=REFUSALS if may_refuse else (), otherwise=otherwise)
    def judge(environ: Environ) -> Judgement:
        value = environ.get(key)
        does = f"gives the app no {key}" if value is None else f"gives the app {key} as {value!r}"
        return rated(value, good, also, otherwise, does)

    return judge


def app_reads(
    good: str, *, refusing: Collection[int] = (), also: Collection[int] = (), otherwise: Level = "wrong"
) -> Judge:
    """Judge by the body that the app has read, or by the status of a response that is not the app's."""

    @of_page("start", refusing=refusing, also=also, otherwise=otherwise)
    def judge(start: str) -> Judgement:
        does = f"lets the app read {start!r}" if start else "lets the app read nothing"
        return rated(start, [good], (), otherwise, does)

    return judge


def refuses_line(key: str, *as_sent: str) -> Judge:
    """Judge the response to an invalid request line: it SHOULD be 400 or 301 (RFC 9112 section 3.2)."""

    @of_page("environ", refusing=(301, 400), otherwise="differs")
    def judge(environ: Environ) -> Judgement:
        value = environ.get(key)
        return differs(f"gives the app {key} as {value!r}" + ("" if value in as_sent else ", changed"))

    return judge


def rated(
    value: object, good: Collection[object], also: Collection[object], otherwise: Level, does: str
) -> Judgement:
    """Right if the value is among the `good`, differs if among `also`."""
    return RIGHT if value in good else Judgement("differs" if value in also else otherwise, does)
