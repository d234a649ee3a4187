"""Does *your* app answer the same on every server? Its own paths, asked for on each.

No section says what is right here, so what most servers answer is: who answers otherwise, differs.
What changes from one answer to the next on the same server (a clock, a token, a counter) is left out of
account: GET and HEAD are asked for twice, and only what stays is compared.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote, urlsplit

from webdemo.compare import wire
from webdemo.compare.behaviour import OnProgress, evidence_of, missing, shown, side_by_side
from webdemo.compare.results import Behaviour, Finding, Probe
from webdemo.compare.runner import Run
from webdemo.errors import UsageError
from webdemo.run.load import Target

T = TypeVar("T")

_ANSWER_SECONDS = 10.0
_ROUTES_SECONDS = 30.0
_REPEATED = ("GET", "HEAD")  # safe to ask for twice, RFC 9110 section 9.2.1
_ANOTHERS = ("date", "server", "connection", "keep-alive", "via", "transfer-encoding", "x-request-id")
_LENGTH = "content-length"
_OURS = ("host", "connection", "content-length", "transfer-encoding", "accept-encoding")
_MEANING = "What users get depends on the server that the app runs on."
_FROM_PATH = "/:@!$&'()*+,;=-._~?%"


@dataclass(frozen=True, slots=True)
class AppRequest:
    """One request for the app, with a Host that is the same on every server."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    @property
    def name(self) -> str:
        return f"{self.method} {self.target}"

    def encode(self) -> bytes:
        lines = [f"{self.method} {self.target} HTTP/1.1", "Host: localhost", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        if self.body or self.method not in _REPEATED:
            lines.append(f"Content-Length: {len(self.body)}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + self.body


@dataclass(frozen=True, slots=True)
class _Seen:
    """What one server answered, without what changes each time."""

    status: str  # "200", or what became of the connection
    headers: frozenset[tuple[str, str]]
    body: bytes
    evidence: str


def of_paths(paths: Sequence[str]) -> list[AppRequest]:
    """Requests for the paths named; raises UsageError for what is none."""
    for path in paths:
        if not path.startswith("/"):
            raise UsageError(f"The path {path!r} does not begin with /.", remedy=f"Write --path /{path}")
    return [AppRequest("GET", quote(path, safe=_FROM_PATH)) for path in paths]


def of_har(file: Path) -> list[AppRequest]:
    """The requests that a browser recorded (HAR 1.2), in their order; raises UsageError."""
    try:
        entries = json.loads(file.read_text("utf-8-sig"))["log"]["entries"]
        found = [_of_entry(entry["request"]) for entry in entries]
    except OSError as exc:
        raise UsageError(
            f"{file} cannot be read: {exc.strerror}.", remedy="Give a HAR file: --har FILE"
        ) from exc
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise UsageError(
            f"{file} is no HAR file.", remedy="Record one: browser, developer tools, network, save as HAR."
        ) from exc
    return list({request.name: request for request in found}.values())


def _of_entry(request: dict[str, object]) -> AppRequest:
    url = urlsplit(str(request["url"]))
    headers = request.get("headers")
    data = request.get("postData")
    return AppRequest(
        method=str(request["method"]),
        target=quote(url.path or "/", safe=_FROM_PATH) + (f"?{url.query}" if url.query else ""),
        headers=tuple(
            (header["name"], header["value"])
            for header in (headers if isinstance(headers, list) else [])
            if header["name"].lower() not in _OURS and not header["name"].startswith(":")
        ),
        body=str(data.get("text", "")).encode() if isinstance(data, dict) else b"",
    )


def of_routes(target: Target) -> list[AppRequest]:
    """The GET routes without parameters of a webdemo app; of another app its front page.

    The app is imported in a process of its own. One that cannot be loaded has none here: each server
    says why.
    """
    listing = (
        "import json, sys\n"
        "from webdemo.run.load import Target, load\n"
        "from webdemo.web.app import App\n"
        "app = load(Target(**json.loads(sys.argv[1])))\n"
        "paths = app.paths() if isinstance(app, App) else []\n"
        "print('\\n' + json.dumps(paths))\n"
    )
    try:
        done = subprocess.run(
            [sys.executable, "-c", listing, json.dumps(asdict(target))],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_ROUTES_SECONDS,
            check=True,
        )
        paths = json.loads(done.stdout.splitlines()[-1])
    except (subprocess.SubprocessError, ValueError, IndexError):
        paths = []
    return of_paths(paths or ["/"])


def compare(runs: Sequence[Run], requests: Sequence[AppRequest], on_progress: OnProgress) -> Behaviour:
    """Send the requests to the app on each server."""
    began = time.monotonic()
    seen: dict[tuple[str, str], _Seen] = {}

    def ask(run: Run, is_over: threading.Event) -> list[Finding]:
        for request in requests:
            if is_over.is_set() or run.state != "up":
                break
            seen[run.choice.label, request.name] = _look(run, request)
            on_progress(run.choice.label)
        return []

    side_by_side(runs, ask)
    findings = [finding for request in requests for finding in _findings(runs, request, seen)]
    return Behaviour(tuple(map(_probe, requests)), tuple(findings), time.monotonic() - began)


def _probe(request: AppRequest) -> Probe:
    return Probe(
        name=request.name,
        group="app",
        layer="app",
        title=request.name,
        request=shown(request.encode()),
        section="",
        expected="What most servers answer.",
        meaning=_MEANING,
    )


def _look(run: Run, request: AppRequest) -> _Seen:
    first = _ask(run, request)
    if request.method not in _REPEATED:
        return first
    return _what_stays(first, _ask(run, request))


def _ask(run: Run, request: AppRequest) -> _Seen:
    try:
        exchange = wire.exchange(
            run.port, [request.encode()], [request.method], seconds=_ANSWER_SECONDS, quiet_seconds=0
        )
    except OSError as exc:
        return _Seen("dropped", frozenset(), b"", str(exc))
    evidence = evidence_of(exchange)
    if not exchange.is_answered:
        return _Seen("dropped" if exchange.is_over else "hung", frozenset(), b"", evidence)
    answer = exchange.answers[0]
    own = _Own(run)
    headers = frozenset(
        (name.lower(), own.hidden(value.encode("latin-1")).decode("latin-1"))
        for name, value in answer.headers
        # The server frames the body as it likes; that it arrives is what counts.
        if name.lower() not in _ANOTHERS and name.lower() != _LENGTH
    )
    return _Seen(str(answer.status), headers, own.hidden(answer.body), evidence)


class _Own:
    """Takes the numbers out of an answer that are another one for each server: its port, its process."""

    def __init__(self, run: Run) -> None:
        numbers = "|".join(map(str, (run.port, *run.pids)))
        self._pattern = re.compile(rf"(?<!\d)(?:{numbers})(?!\d)".encode())

    def hidden(self, data: bytes) -> bytes:
        return self._pattern.sub(b"NUMBER", data)


def _what_stays(first: _Seen, second: _Seen) -> _Seen:
    """The first, without the headers and the lines of the body that the second has otherwise."""
    changing = {name for name, _ in first.headers ^ second.headers}
    headers = frozenset((name, value) for name, value in first.headers if name not in changing)
    body = first.body
    if first.body != second.body:
        lines, others = first.body.split(b"\n"), second.body.split(b"\n")
        body = b"\n".join(a for a, b in zip(lines, others, strict=False) if a == b)
    return _Seen(first.status if first.status == second.status else "changing", headers, body, first.evidence)


def _findings(runs: Sequence[Run], request: AppRequest, seen: dict[tuple[str, str], _Seen]) -> list[Finding]:
    answers = {
        run.choice.label: seen[run.choice.label, request.name]
        for run in runs
        if (run.choice.label, request.name) in seen
    }
    usual_status = _most(Counter(answer.status for answer in answers.values()))
    usual_body = _most(Counter(answer.body for answer in answers.values()))
    names = Counter(header for answer in answers.values() for header in answer.headers)
    usual_headers = {header for header, count in names.items() if 2 * count > len(answers)}
    findings = []
    for run in runs:
        label = run.choice.label
        if label not in answers:
            findings.append(missing(run.row(), request.name))
            continue
        answer = answers[label]
        said = _differences(answer, usual_status, usual_headers, usual_body)
        if answer.status in ("dropped", "hung"):
            verdict = "dropped" if answer.status == "dropped" else "hung"
            said = ["closes the connection" if verdict == "dropped" else "does not answer in time"]
        else:
            verdict = "differs" if said else "right"
        findings.append(
            Finding(
                request.name,
                label,
                verdict,  # type: ignore[arg-type] # one of the four above
                answer.evidence,
                what=f"{label} {', and '.join(said)}." if said else "",
                who_is_right="Most servers answer otherwise." if said else "",
                meaning=_MEANING if said else "",
                is_new=bool(said),
            )
        )
    return findings


def _most(counted: Counter[T]) -> T | None:
    """What more than half have; None if nothing."""
    found = [value for value, count in counted.items() if 2 * count > counted.total()]
    return found[0] if found else None


def _differences(
    answer: _Seen, usual_status: str | None, usual_headers: set[tuple[str, str]], usual_body: bytes | None
) -> list[str]:
    """How it differs from what most servers answer, as ends of a sentence."""
    if answer.status != usual_status:
        most = f"most answer {usual_status}" if usual_status else "others do not"
        return [f"answers {answer.status}, where {most}"]
    said = []
    added, lacking = answer.headers - usual_headers, usual_headers - answer.headers
    if added:
        said.append("sends " + ", ".join(sorted(f"{name}: {value}" for name, value in added)))
    if gone := sorted({name for name, _ in lacking} - {name for name, _ in added}):
        said.append(f"does not send {', '.join(gone)}")
    if usual_body is None:
        said.append("sends a body of its own, as the others do")
    elif answer.body != usual_body:
        said.append(f"sends another body ({_first_difference(answer.body, usual_body)})")
    return said


def _first_difference(body: bytes, usual: bytes) -> str:
    for line, other in zip(body.split(b"\n"), usual.split(b"\n"), strict=False):
        if line != other:
            start = next((i for i, (a, b) in enumerate(zip(line, other, strict=False)) if a != b), 0)
            start = max(0, start - 20)
            return f"{shown(line[start : start + 60])!r} for {shown(other[start : start + 60])!r}"
    return f"{len(body)} bytes for {len(usual)}"
