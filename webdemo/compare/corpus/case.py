"""A probe with its expected result, and the building blocks of the corpus.

A judge rates an exchange, and says what the server does, as a predicate after the server's name ("answers
400"). Right is what the section demands by MUST or SHOULD or, where it leaves a choice, what most servers do;
differs is another choice, or a SHOULD not followed; wrong violates a MUST, or misinforms the app or client.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple

from webdemo.client.wire import Exchange, Response, Step, encode_request
from webdemo.compare.results import Verdict

HOST = "probe.example"

Environ = dict[str, Any]
Level = Literal["right", "differs", "wrong"]


class Judgement(NamedTuple):
    verdict: Verdict
    does: str  # "responds with 400"


Judge = Callable[[Exchange], Judgement]


@dataclass(frozen=True, slots=True)
class Case:
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
    responses: int = 1,
    judges_breaks: bool = False,
    recalls: bool = False,
) -> Case:
    """A row of the corpus: what is sent comes last."""
    return Case(name, title, section, expected, meaning, judge, steps, responses, judges_breaks, recalls)


request = partial(encode_request, host=HOST)


# -- judges ---------------------------------------------------------------------------------------


def right(does: str) -> Judgement:
    return Judgement("right", does)


def differs(does: str) -> Judgement:
    return Judgement("differs", does)


def wrong(does: str) -> Judgement:
    return Judgement("wrong", does)


def of_response(judge: Callable[[Response], Judgement]) -> Judge:
    """A judge of the first response."""
    return lambda exchange: judge(exchange.responses[0])


def of_environ(judge: Callable[[Environ], Judgement]) -> Judge:
    """A judge of the environ that the app got; a response without one is wrong."""

    @of_response
    def judge_response(response: Response) -> Judgement:
        environ = environ_of(response)
        return judge(environ) if environ else wrong(f"responds with {response.status}")

    return judge_response


def _extra(exchange: Exchange) -> Judgement | None:
    if len(exchange.responses) > exchange.expected:
        return wrong("takes what follows for another request, and responds to it as well")
    return None


def status(
    *good: int, also: Collection[int] = (), otherwise: Level = "wrong", must_close: bool = False
) -> Judge:
    """Judge by the first response's status: `good` is right, `also` differs, any other is `otherwise`.

    With `must_close` the server must then close the connection.
    """

    def judge(exchange: Exchange) -> Judgement:
        if extra := _extra(exchange):
            return extra
        code = exchange.responses[0].status
        does = f"responds with {code}"
        if must_close and not exchange.is_over:
            return wrong(f"{does} and keeps the connection open")
        if code in good:
            return right(does)
        return Judgement("differs" if code in also else otherwise, does)

    return judge


def app_gets(
    key: str,
    *good: str | None,
    also: Collection[str | None] = (),
    refusing: Level | None = None,
    otherwise: Level = "wrong",
) -> Judge:
    """Judge by a key of the environ that the app gets; None means that the key is absent.

    `refusing` is the level of a 4xx or 501; any other response that is not the app's is `otherwise`.
    """

    def judge(exchange: Exchange) -> Judgement:
        if extra := _extra(exchange):
            return extra
        response = exchange.responses[0]
        if "environ" not in response.json:
            level = refusing if refusing and is_refusal(response) else otherwise
            return Judgement(level, f"responds with {response.status}")
        value = environ_of(response).get(key)
        does = f"gives the app no {key}" if value is None else f"gives the app {key} as {value!r}"
        if value in good:
            return right(does)
        return Judgement("differs" if value in also else otherwise, does)

    return judge


def app_reads(
    good: str,
    *,
    refusing: dict[int, Level] | None = None,
    otherwise: Level = "wrong",
    must_close: bool = False,
) -> Judge:
    """Judge by the body that the app has read."""

    def judge(exchange: Exchange) -> Judgement:
        if extra := _extra(exchange):
            return extra
        response = exchange.responses[0]
        if must_close and not exchange.is_over:
            return wrong(f"responds with {response.status} and keeps the connection open")
        if "start" not in response.json:
            return Judgement(
                (refusing or {}).get(response.status, otherwise), f"responds with {response.status}"
            )
        start = response.json["start"]
        does = f"lets the app read {start!r}" if start else "lets the app read nothing"
        return right(does) if start == good else Judgement(otherwise, does)

    return judge


def refuses_line(key: str, *as_sent: str) -> Judge:
    """Judge the response to an invalid request line: it SHOULD be 400 or 301 (RFC 9112 section 3.2)."""

    def judge(exchange: Exchange) -> Judgement:
        if extra := _extra(exchange):
            return extra
        response = exchange.responses[0]
        if response.status in (301, 400):
            return right(f"responds with {response.status}")
        if "environ" not in response.json:
            return differs(f"responds with {response.status}")
        value = environ_of(response).get(key)
        return differs(f"gives the app {key} as {value!r}" + ("" if value in as_sent else ", changed"))

    return judge


def is_refusal(response: Response) -> bool:
    """Whether it blames the request (4xx) or says that it is not implemented (501)."""
    return 400 <= response.status < 500 or response.status == 501


def environ_of(response: Response) -> Environ:
    environ: Environ = response.json.get("environ", {})
    return environ
