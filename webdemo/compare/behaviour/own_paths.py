"""Does *your* app answer the same on every server? Requests the app's own paths from each.

The rule: no RFC says what is right here, so the majority's response is, and every other one differs. What
changes on a single server (a clock, a token, a counter, the process) is ignored: GET and HEAD are sent twice,
differences are checked again on a second start of the server, and only stable values are compared
(`stable_values`).
"""

from __future__ import annotations

import json
import re
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote, urlsplit

from webdemo.client import wire
from webdemo.client.endpoint import Endpoint
from webdemo.compare.behaviour import quirks
from webdemo.compare.behaviour.probing import OnProgress, evidence_of, missing, shortened, shown, side_by_side
from webdemo.compare.behaviour.stable_values import Look, Steady, steady
from webdemo.compare.results import Behaviour, Finding, Probe
from webdemo.compare.runner import Run, running
from webdemo.compare.speed.processes import with_descendants
from webdemo.errors import UsageError
from webdemo.worker import interpreter
from webdemo.worker.app_import import Target

T = TypeVar("T")

_ANSWER_SECONDS = 10.0
_ROUTES_SECONDS = 30.0
_REPEATED = ("GET", "HEAD")  # safe to send twice (RFC 9110 section 9.2.1)
_ANOTHERS = ("date", "server", "connection", "keep-alive", "via", "transfer-encoding", "x-request-id")
_LENGTH = "content-length"
_OURS = ("host", "connection", "content-length", "transfer-encoding", "accept-encoding")
_LATER_SECONDS = 1.1  # long enough for a displayed time in seconds to change
_LONGEST_SHOWN = 160
_LINES_SHOWN = 3
_NUMBER = b"NUMBER"
# Parts of a target that servers are known to treat differently, and the probe that shows it.
_TELLING = (("%2f", "target-encoded-slash"), ("//", "target-double-slash"))
_LOST = {"dropped": "closes the connection", "hung": "does not answer in time"}
_MEANING = "What users get depends on the server that the app runs on."
_FROM_PATH = "/:@!$&'()*+,;=-._~?%"


@dataclass(frozen=True, slots=True)
class AppRequest:
    """One request to the app; its Host is the same on every server."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    number: int = 1  # among requests that differ only in their headers or body

    @property
    def name(self) -> str:
        return f"{self.method} {self.target}" + (f" ({self.number})" if self.number > 1 else "")

    def encode(self) -> bytes:
        lines = [f"{self.method} {self.target} HTTP/1.1", "Host: localhost", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        if self.body or self.method not in _REPEATED:
            lines.append(f"Content-Length: {len(self.body)}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + self.body


def of_paths(paths: Sequence[str]) -> list[AppRequest]:
    """GET requests for these paths; raises UsageError for anything but an absolute path."""
    for path in paths:
        if not path.startswith("/"):
            raise UsageError(f"The path {path!r} does not begin with /.", remedy=f"Write --path /{path}")
    return [AppRequest("GET", quote(path, safe=_FROM_PATH)) for path in paths]


def of_har(file: Path) -> list[AppRequest]:
    """The requests recorded by a browser (HAR 1.2), in order; raises UsageError."""
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
    counts: Counter[str] = Counter()
    requests = []
    for request in dict.fromkeys(found):
        counts[request.name] += 1
        requests.append(replace(request, number=counts[request.name]))
    return requests


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
    """GET requests for a webdemo app's routes without parameters, or for / of any other app.

    The app is imported in a separate process. If that fails, the list has only /: each server's run says why.
    """
    listing = (
        "import json, sys\n"
        "from webdemo.worker.app_import import Target, load\n"
        "from webdemo.web.app import App\n"
        "app = load(Target(**json.loads(sys.argv[1])))\n"
        "paths = app.paths() if isinstance(app, App) else []\n"
        "print('\\n' + json.dumps(paths))\n"
    )
    try:
        done = subprocess.run(
            [*interpreter.python(), "-c", listing, json.dumps(target._asdict())],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_ROUTES_SECONDS,
            check=True,
        )
        paths = json.loads(done.stdout.splitlines()[-1])
    except (subprocess.SubprocessError, ValueError, IndexError):
        paths = []
    return of_paths(paths or ["/"])


def compare(
    runs: Sequence[Run],
    requests: Sequence[AppRequest],
    on_progress: OnProgress,
    *,
    target: Target | None = None,
    on_second_look: Callable[[], None] = lambda: None,
) -> Behaviour:
    """Send the requests to the app on each server, and compare the responses.

    Differences are checked again: later and, with `target`, on a second start of the servers that differ.
    """
    began = time.monotonic()
    looks: dict[str, dict[str, list[Look]]] = {request.name: {} for request in requests}
    _ask_all(runs, requests, looks, on_progress)
    if different := _different(runs, requests, looks):
        on_second_look()
        _look_again(runs, requests, different, looks, target, began)
    findings = [finding for request in requests for finding in _findings(runs, request, looks[request.name])]
    return Behaviour(tuple(map(_probe, requests)), tuple(findings), time.monotonic() - began)


def _ask_all(
    runs: Sequence[Run],
    requests: Sequence[AppRequest],
    looks: dict[str, dict[str, list[Look]]],
    on_progress: OnProgress,
    others: Sequence[Run] = (),
) -> None:
    """Send the requests to each server, safe ones twice, and add the responses to `looks`."""
    own = _own_numbers([*runs, *others])

    def ask(run: Run, is_over: threading.Event) -> list[Finding]:
        for request in requests:
            if is_over.is_set() or not run.is_up():
                break
            for _ in range(2 if request.method in _REPEATED else 1):
                looks[request.name].setdefault(run.choice.label, []).append(_look(run.port, own, request))
            on_progress(run.choice.label)
        return []

    side_by_side(runs, ask)


def _different(
    runs: Sequence[Run], requests: Sequence[AppRequest], looks: dict[str, dict[str, list[Look]]]
) -> dict[str, list[AppRequest]]:
    """The servers that differ, and the requests on which they do."""
    different: dict[str, list[AppRequest]] = {}
    for request in requests:
        for finding in _findings(runs, request, looks[request.name]):
            if finding.verdict not in ("right", "missing"):
                different.setdefault(finding.server, []).append(request)
    return different


def _look_again(
    runs: Sequence[Run],
    requests: Sequence[AppRequest],
    different: dict[str, list[AppRequest]],
    looks: dict[str, dict[str, list[Look]]],
    target: Target | None,
    began: float,
) -> None:
    """Repeat what differs: a clock may show the same second twice, and a process may keep its own value."""
    if target is not None:
        choices = [run.choice for run in runs if run.choice.label in different]
        with running(choices, target) as again:
            # All requests, in order: a response may depend on earlier requests.
            _ask_all(again, requests, looks, lambda label: None, runs)
    if all(request.method in _REPEATED for request in requests):
        time.sleep(max(0.0, began + _LATER_SECONDS - time.monotonic()))
        names = {request.name for own in different.values() for request in own}
        _ask_all(runs, [request for request in requests if request.name in names], looks, lambda label: None)


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


def _own_numbers(runs: Sequence[Run]) -> re.Pattern[bytes]:
    """A pattern of the numbers that differ between runs: ports and process ids.

    Numbers below 1000 are left out, as they may mean anything; if one is a pid, the second start shows it.
    """
    numbers = {number for run in runs for number in (run.port, *with_descendants(run.pids)) if number > 999}
    return re.compile(rf"(?<!\d)(?:{'|'.join(map(str, numbers)) or '(?!)'})(?!\d)".encode())


def _look(port: int, own: re.Pattern[bytes], request: AppRequest) -> Look:
    try:
        exchange = wire.exchange(
            Endpoint.of_port(port), [request.encode()], [request.method], seconds=_ANSWER_SECONDS
        )
    except OSError as exc:
        return Look("dropped", (), b"", str(exc))
    if not exchange.is_answered:
        return Look("dropped" if exchange.is_over else "hung", (), b"", evidence_of(exchange))
    answer = exchange.responses[0]
    headers = tuple(
        (name.lower(), own.sub(_NUMBER, value.encode("latin-1")).decode("latin-1"))
        for name, value in answer.headers
        # How the server frames the body is its own choice; only the content counts.
        if name.lower() not in _ANOTHERS and name.lower() != _LENGTH
    )
    said = f"HTTP/{answer.version} {answer.status} {answer.reason}".strip()
    evidence = f"{said} {_printable(answer.body[:_LONGEST_SHOWN])}".strip()
    return Look(str(answer.status), headers, own.sub(_NUMBER, answer.body), evidence)


def _findings(runs: Sequence[Run], request: AppRequest, looks: dict[str, list[Look]]) -> list[Finding]:
    answers = steady(looks)
    usual_status = _most(Counter(answer.status for answer in answers.values()))
    alike = [answer for answer in answers.values() if answer.status == usual_status]
    usual_body = _most(Counter(answer.body for answer in alike))
    lines = Counter(line for answer in alike for line in set(answer.body.split(b"\n")))
    usual_lines = {line for line, count in lines.items() if 2 * count > len(alike)}
    names = Counter(header for answer in alike for header in answer.headers)
    usual_headers = {header for header, count in names.items() if 2 * count > len(alike)}
    findings = []
    for run in runs:
        label = run.choice.label
        if label not in answers:
            findings.append(missing(run.row(), request.name))
            continue
        answer = answers[label]
        lost = next((verdict for verdict in ("dropped", "hung") if verdict in answer.status), None)
        said = (
            [_LOST[lost]]
            if lost
            else _differences(answer, usual_status, usual_headers, usual_body, usual_lines)
        )
        findings.append(
            Finding(
                request.name,
                label,
                lost or ("differs" if said else "right"),  # type: ignore[arg-type] # one of the four
                answer.evidence,
                what=f"{label} {', and '.join(said)}." if said else "",
                who_is_right=_reason(label, request, usual_status, usual_body) if said else "",
                meaning=_MEANING if said else "",
                is_new=bool(said),
            )
        )
    return findings


def _reason(label: str, request: AppRequest, usual_status: str | None, usual_body: bytes | None) -> str:
    """Why it counts as a difference, and a known quirk of the server that may explain it."""
    most = usual_status is not None and usual_body is not None
    reason = "Most servers answer otherwise." if most else "No answer is that of most servers."
    name = label.partition("?")[0]
    known = quirks.load().get(label) or quirks.load().get(name)
    for text, probe in _TELLING:
        if known is not None and text in request.target.lower() and probe in known.does:
            does = known.does[probe][0].partition(": ")[2]
            reason += f" See {probe}: {name} {does}, whatever the app."
    return reason


def _most(counted: Counter[T]) -> T | None:
    """The value that more than half have; None if there is no majority."""
    found = [value for value, count in counted.items() if 2 * count > counted.total()]
    return found[0] if found else None


def _differences(
    answer: Steady,
    usual_status: str | None,
    usual_headers: set[tuple[str, str]],
    usual_body: bytes | None,
    usual_lines: set[bytes],
) -> list[str]:
    """How it differs from the majority's response, as predicates: `answers 404, where most answer 200`."""
    if answer.status != usual_status:
        most = f"most answer {usual_status}" if usual_status else "others do not"
        return [f"answers {answer.status}, where {most}"]
    said = []
    usual: dict[str, list[str]] = {}
    for name, value in sorted(usual_headers - answer.headers):
        usual.setdefault(name, []).append(value)
    for name, value in sorted(answer.headers - usual_headers):
        others = f" where most send {' and '.join(usual.pop(name))}" if name in usual else ""
        said.append(f"sends {name}: {value}{others}")
    if usual:
        said.append(f"does not send {', '.join(usual)}")
    if usual_body is None:
        said.append(f"sends a body of its own{_own_lines(answer.body, usual_lines)}")
    elif answer.body != usual_body:
        said.append(f"sends another body ({_first_difference(answer.body, usual_body)})")
    return said


def _own_lines(body: bytes, usual: set[bytes]) -> str:
    own = [line for line in body.split(b"\n") if line.strip() and line not in usual]
    if not own:
        return ""
    more = f" and {len(own) - _LINES_SHOWN} more" if len(own) > _LINES_SHOWN else ""
    return " (" + ", ".join(f"‘{_printable(line.strip()[:60])}’" for line in own[:_LINES_SHOWN]) + f"{more})"


def _first_difference(body: bytes, usual: bytes) -> str:
    for line, other in zip(body.split(b"\n"), usual.split(b"\n"), strict=False):
        if line != other:
            start = next((i for i, (a, b) in enumerate(zip(line, other, strict=False)) if a != b), 0)
            start = max(0, start - 20)
            return f"‘{_printable(line[start : start + 60])}’ for ‘{_printable(other[start : start + 60])}’"
    return f"{len(body)} bytes for {len(usual)}"


def _printable(data: bytes) -> str:
    """The data as printable text if it is UTF-8 (a partial last character is dropped), else escaped."""
    for cut in range(4):
        try:
            text = data[: len(data) - cut].decode()
        except UnicodeDecodeError:
            continue
        return shortened("".join(c if c.isprintable() else repr(c)[1:-1] for c in text))
    return shown(data)
