"""Does the user's app respond the same on every server? Sends its requests to each and compares.

The rule: no RFC says what is right here, so the majority's response is, and every other one differs. What
changes on a single server (a clock, a token, a counter, the process) is ignored: safe requests are sent
twice, differences are checked again on a second start of the server, and only stable values are compared
(`stable_values`). What a server decides, whatever the app does, is not compared (`of_server` in
known_differences.toml).
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from webdemo.client.endpoint import Endpoint
from webdemo.client.wire import Request
from webdemo.compare.behaviour import known
from webdemo.compare.behaviour.app_requests import AppRequest
from webdemo.compare.behaviour.differences import ABSENT, Row, header_rows, majority, status_row, usual_lines
from webdemo.compare.behaviour.observation import Observation, escaped, observe, printable
from webdemo.compare.behaviour.probing import OnProgress, finding, missing, side_by_side
from webdemo.compare.behaviour.stable_values import stable
from webdemo.compare.corpus.case import Judgement
from webdemo.compare.results import Behaviour, Finding, Probe, Server

_RESPONSE_SECONDS = 10.0
_LATER_SECONDS = 1.1  # long enough for a displayed time in seconds to change
_LINES_SHOWN = 3
_OWN = b"OWN"
# Parts of a target that servers are known to treat differently, and the probe that shows it.
_QUIRKS_OF_TARGETS = (("%2f", "target-encoded-slash"), ("//", "target-double-slash"))
_MEANING = "What users get depends on the server that the app runs on."


_Observed = dict[str, dict[str, list[Observation]]]
"""The observations of each request, by its name and the server's label."""


class Subject(Protocol):
    """What is compared: a server's run, or a host that runs the app already."""

    @property
    def label(self) -> str: ...
    @property
    def host(self) -> str: ...  # for the Host header
    @property
    def endpoint(self) -> Endpoint: ...
    def is_up(self) -> bool: ...
    def row(self) -> Server: ...
    def stop(self) -> object: ...
    def own_words(self) -> set[str]: ...  # numbers and names that say nothing but which subject it is


def compare(
    subjects: Sequence[Subject],
    requests: Sequence[AppRequest],
    on_progress: OnProgress = lambda: None,
    *,
    start_again: Callable[[set[str]], AbstractContextManager[Sequence[Subject]]] | None = None,
) -> Behaviour:
    """Send the requests to the app on each server, and compare the responses.

    Differences are checked again: later and, with `start_again`, on a second start of these servers.
    """
    began = time.monotonic()
    observed: _Observed = {request.name: {} for request in requests}
    _ask(observed, subjects, requests, on_progress)
    findings = _findings(observed, subjects, requests)
    differing = [one for one in findings if one.differs]
    if differing:
        if start_again is not None:
            with start_again({one.server for one in differing}) as again:
                # All requests, in order: a response may depend on earlier requests.
                _ask(observed, again, requests, also=subjects)
        if all(request.request.is_safe for request in requests):
            # A clock may show the same second twice.
            time.sleep(max(0.0, began + _LATER_SECONDS - time.monotonic()))
            names = {one.probe for one in differing}
            _ask(observed, subjects, [request for request in requests if request.name in names])
        findings = _findings(observed, subjects, requests)
    return Behaviour(tuple(map(_probe, requests)), findings, time.monotonic() - began)


def _probe(request: AppRequest) -> Probe:
    return Probe(
        name=request.name,
        group="app",
        layer="app",
        title=request.name,
        request=escaped(request.request.encode("localhost")),
        section="",
        expected="What most servers respond.",
        meaning=_MEANING,
    )


def _ask(
    observed: _Observed,
    subjects: Sequence[Subject],
    requests: Sequence[AppRequest],
    on_progress: OnProgress = lambda: None,
    *,
    also: Sequence[Subject] = (),
) -> None:
    """Send the requests to each server, safe ones twice; the words that only name `also` are masked too."""
    own = _own_words([*subjects, *also])

    def ask(subject: Subject, is_over: threading.Event) -> list[Finding]:
        for request in requests:
            if is_over.is_set() or not subject.is_up():
                break
            found = observed[request.name].setdefault(subject.label, [])
            for _ in range(2 if request.request.is_safe else 1):
                found.append(_observe(subject, own, request.request))
            on_progress()
        return []

    side_by_side(subjects, ask)


def _own_words(subjects: Sequence[Subject]) -> re.Pattern[bytes]:
    words = sorted({word for subject in subjects for word in subject.own_words()}, key=len, reverse=True)
    return re.compile(rf"(?<!\d)(?:{'|'.join(map(re.escape, words)) or '(?!)'})(?!\d)".encode())


def _observe(subject: Subject, own: re.Pattern[bytes], request: Request) -> Observation:
    """The response without the words that only name a subject, and the headers that servers decide."""
    found = observe(subject.endpoint, request, subject.host, seconds=_RESPONSE_SECONDS)
    headers = tuple(
        (name, own.sub(_OWN, value.encode("latin-1")).decode("latin-1"))
        for name, value in found.headers
        if not ((reason := known.reason_of(f"header {name}")) and reason.of_server)
    )
    return found._replace(headers=headers, body=own.sub(_OWN, found.body))


def _findings(
    observed: _Observed, subjects: Sequence[Subject], requests: Sequence[AppRequest]
) -> tuple[Finding, ...]:
    """A finding for each request and server."""
    findings = []
    for request in requests:
        found = stable(observed[request.name])
        differences, has_majority = _differences(found)
        for subject in subjects:
            label = subject.label
            if label not in found:
                findings.append(missing(subject.row(), request.name))
                continue
            failure, said = found[label].failure, ", and ".join(differences[label])
            judgement = Judgement(failure.verdict if failure else "differs" if said else "right", said)
            reason = _reason(label, request, has_majority=has_majority)
            findings.append(finding(request.name, label, judgement, found[label].evidence, reason, _MEANING))
    return tuple(findings)


def _reason(label: str, request: AppRequest, *, has_majority: bool) -> str:
    """Why it counts as a difference, and a known quirk of the server that may explain it."""
    reason = "Most servers respond differently." if has_majority else "No response is that of most servers."
    quirks = known.quirks_of(label)
    for text, probe in _QUIRKS_OF_TARGETS:
        if quirks is not None and text in request.request.target.lower() and probe in quirks.does:
            does = quirks.does[probe][0].partition(": ")[2]
            reason += f" See {probe}: {label.partition('?')[0]} {does}, whatever the app."
    return reason


def _differences(found: Mapping[str, Observation]) -> tuple[dict[str, list[str]], bool]:
    """How each server differs from the majority, as predicates, and whether there is a majority.

    A predicate is, for example, `responds with 404, where most respond with 200`.
    """
    status = status_row(found.values()).usual
    most = f"most respond with {status}" if status else "others do not"
    same_status = {label: own for label, own in found.items() if own.status == status and not own.failure}
    headers = list(header_rows(same_status.values()))
    bodies = [response.body for response in same_status.values()]
    usual_body, usual = majority(bodies), set(usual_lines(bodies))
    columns = {label: number for number, label in enumerate(same_status)}

    def said_of(label: str, response: Observation) -> Iterator[str]:
        if response.failure:
            yield response.failure.does
        elif label not in columns:
            yield f"responds with {response.status}, where {most}"
        else:
            yield from _header_differences(headers, columns[label])
            if usual_body is None:
                yield f"sends a body of its own{_own_lines(response.body, usual)}"
            elif response.body != usual_body:
                yield f"sends another body ({_first_difference(response.body, usual_body)})"

    return {label: list(said_of(label, own)) for label, own in found.items()}, usual_body is not None


def _header_differences(headers: Sequence[Row], column: int) -> Iterator[str]:
    absent = []
    for row in headers:
        cell, name = row.cells[column], row.name.lower()
        if cell.marked and cell.text == ABSENT:
            absent.append(name)
        elif cell.marked:
            usual = f" where most send {row.usual}" if row.usual not in (None, ABSENT) else ""
            yield f"sends {name}: {cell.text}{usual}".replace("\n", " and ")
    if absent:
        yield f"does not send {', '.join(absent)}"


def _own_lines(body: bytes, usual: set[bytes]) -> str:
    own = [line for line in body.split(b"\n") if line.strip() and line not in usual]
    if not own:
        return ""
    more = f" and {len(own) - _LINES_SHOWN} more" if len(own) > _LINES_SHOWN else ""
    return " (" + ", ".join(f"‘{printable(line.strip()[:60])}’" for line in own[:_LINES_SHOWN]) + f"{more})"


def _first_difference(body: bytes, usual: bytes) -> str:
    """The first line that differs, from shortly before the difference on."""
    differing = (n for n, (a, b) in enumerate(zip(body, usual, strict=False)) if a != b)
    same = next(differing, min(len(body), len(usual)))
    start = max(body.rfind(b"\n", 0, same) + 1, same - 20)
    own, other = (printable(text[start:].partition(b"\n")[0][:60]) for text in (body, usual))
    return f"‘{own}’ for ‘{other}’"
