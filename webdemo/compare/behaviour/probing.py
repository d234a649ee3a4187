"""Sends the corpus to the probe app on each server and judges the responses.

Servers are probed in parallel, the probes of one server sequentially. The rule: an unexpected result is
retried with a longer timeout before it is reported, because a busy machine looks like a slow server.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from webdemo.client import wire
from webdemo.client.endpoint import Endpoint
from webdemo.client.wire import Exchange
from webdemo.compare.behaviour import known
from webdemo.compare.behaviour.observation import NO_CONNECTION, escaped, evidence_of, failure_of
from webdemo.compare.corpus import GROUPS
from webdemo.compare.corpus.case import Case, Judgement, request
from webdemo.compare.results import Behaviour, Finding, Probe, Server
from webdemo.compare.runner import Run, Stoppable, stop_all
from webdemo.worker.app_import import Target

PROBE_APP = Target("webdemo.compare.corpus.probe_app:app")

_RESPONSE_SECONDS = 1.5  # what is known of a server is accepted after it, anything else retried
_RETRY_RESPONSE_SECONDS = 7.5
_RETRY_QUIET_SECONDS = 1.0
_RECALL_SECONDS = 4.0


Asked = TypeVar("Asked", bound=Stoppable)

OnProgress = Callable[[], object]
"""Called after each request of a server, from any thread."""


def probes() -> tuple[Probe, ...]:
    """The corpus as probes for the report."""
    return tuple(
        Probe(
            name=case.name,
            group=group,
            layer="server",
            title=case.title,
            request=escaped(b"".join(step for step in case.steps if isinstance(step, bytes))),
            section=case.section,
            expected=case.expected,
            meaning=case.meaning,
        )
        for group, cases in GROUPS.items()
        for case in cases
    )


def probe(runs: Sequence[Run], on_progress: OnProgress) -> Behaviour:
    """Send the corpus to the probe app on each server."""
    began = time.monotonic()
    cases = [case for group in GROUPS.values() for case in group]

    def ask(run: Run, is_over: threading.Event) -> list[Finding]:
        findings = []
        for case in cases:
            if is_over.is_set():
                break
            findings.append(_probe(run, case))
            on_progress()
        return findings

    findings = side_by_side(runs, ask)
    return Behaviour(probes(), findings, time.monotonic() - began)


def side_by_side(
    runs: Sequence[Asked], ask: Callable[[Asked, threading.Event], list[Finding]]
) -> tuple[Finding, ...]:
    """Call `ask` for every server in its own thread; the event is set when the comparison is interrupted."""
    is_over = threading.Event()
    with ThreadPoolExecutor(max(1, len(runs))) as pool:
        asked = [pool.submit(ask, run, is_over) for run in runs]
        try:
            return tuple(finding for future in asked for finding in future.result())
        except BaseException:
            is_over.set()
            stop_all(runs)  # ends every wait for a response
            raise


def missing(server: Server, name: str) -> Finding:
    return Finding(name, server.label, "missing", evidence=server.problem or "")


def finding(
    probe: str, label: str, judgement: Judgement, evidence: str, who_is_right: str, meaning: str
) -> Finding:
    """What the server did; the reasons only if that is not right."""
    verdict, does = judgement
    if verdict == "right":
        return Finding(probe, label, verdict, evidence)
    seen_in = known.seen_in(label, probe, verdict, does)
    what = f"{label} {does}."
    return Finding(probe, label, verdict, evidence, what, who_is_right, meaning, seen_in, seen_in is None)


def _probe(run: Run, case: Case) -> Finding:
    server = run.row()
    if run.state != "up":
        return missing(server, case.name)
    found = _probe_once(run, server, case, _RESPONSE_SECONDS, wire.QUIET_SECONDS)
    is_missed = found.verdict == "right" and known.is_steady(server.label, server.version, case.name)
    if found.is_new or is_missed:  # a busy machine may have delayed the server for a moment
        found = _probe_once(run, server, case, _RETRY_RESPONSE_SECONDS, _RETRY_QUIET_SECONDS)
    return found


def _probe_once(run: Run, server: Server, case: Case, seconds: float, quiet_seconds: float) -> Finding:
    try:
        exchange = _send(run.endpoint, case, seconds, quiet_seconds)
    except OSError as exc:
        judgement, evidence = NO_CONNECTION, str(exc)
    else:
        judgement, evidence = _judge(case, exchange), evidence_of(exchange)
    who_is_right = f"{case.section}: {case.expected}"
    return finding(case.name, server.label, judgement, evidence, who_is_right, case.meaning)


def _judge(case: Case, exchange: Exchange) -> Judgement:
    failure = failure_of(exchange)
    if failure is None or (case.judges_breaks and (exchange.responses or exchange.is_over)):
        return case.judge(exchange)
    return failure


def _send(endpoint: Endpoint, case: Case, seconds: float, quiet_seconds: float) -> Exchange:
    key = uuid.uuid4().hex
    steps = [step.replace(b"{id}", key.encode()) if isinstance(step, bytes) else step for step in case.steps]
    exchange = wire.exchange(endpoint, steps, case.methods, seconds=seconds, quiet_seconds=quiet_seconds)
    return exchange._replace(recorded=_recall(endpoint, key)) if case.recalls else exchange


def _recall(endpoint: Endpoint, key: str) -> dict[str, Any]:
    """What happened to an earlier response in the app; waits up to _RECALL_SECONDS for it."""
    deadline = time.monotonic() + _RECALL_SECONDS
    steps = [request(f"/probe/recall?{key}")]
    while True:
        exchange = wire.exchange(endpoint, steps, ("GET",), seconds=_RECALL_SECONDS)
        happened = exchange.responses[0].json if exchange.responses else {}
        if happened.get("happened") or time.monotonic() > deadline:
            return happened
        time.sleep(0.05)


def join(layers: Sequence[Behaviour]) -> Behaviour:
    """Merge the layers of a comparison."""
    return Behaviour(
        tuple(p for layer in layers for p in layer.probes),
        tuple(f for layer in layers for f in layer.findings),
        sum(layer.seconds for layer in layers),
    )
