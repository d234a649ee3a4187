"""Separates accepted differences from the remaining ones.

The rule: known quirks of a server, which are the same for every app, are not differences. A build fails
because of the app's own paths, and because of new behaviour of a server.

The file is TOML. Each entry names a server by its label ("*" for any), a probe, and why it is accepted; with
a verdict it covers only that one, so that a worse result is a difference again:

    [[accepted]]
    server = "waitress"
    probe = "GET /about"
    verdict = "differs"
    why = "Its header names are capitalised; our clients do not care."
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from webdemo.compare.results import Comparison, Finding, Server
from webdemo.errors import UsageError
from webdemo.worker.codec import FieldType, InvalidMessage, build


def _reason(_: str, text: str) -> str:
    if not text:
        raise ValueError
    return text


class Entry(NamedTuple):
    server: str
    probe: str
    why: Annotated[str, FieldType("text that says why", (str,), _reason)]
    verdict: Literal["differs", "wrong", "dropped", "hung"] | None = None

    def covers(self, finding: Finding) -> bool:
        return (
            self.server in ("*", finding.server)
            and self.probe == finding.probe
            and self.verdict in (None, finding.verdict)
        )


class Judgement(NamedTuple):
    """The result of a comparison for CI."""

    differences: tuple[Finding, ...]  # neither known nor accepted
    accepted: tuple[tuple[Finding, Entry], ...]
    known: tuple[Finding, ...]  # quirks of servers, whatever the app
    failed: tuple[Server, ...]  # installed, but they did not run the app
    unused: tuple[Entry, ...]  # their servers ran, but they cover no difference any more

    @property
    def is_same(self) -> bool:
        return not self.differences and not self.failed


class _File(NamedTuple):
    accepted: tuple[Entry, ...] = ()


def read(path: Path) -> tuple[Entry, ...]:
    """Read the entries of a file; raises UsageError."""
    try:
        return build(_File, tomllib.loads(path.read_text(encoding="utf-8"))).accepted
    except InvalidMessage as exc:
        why = f"{exc.problem} {exc.remedy.rstrip('.')}"
        cause: Exception = exc
    except (OSError, ValueError) as exc:
        why, cause = getattr(exc, "strerror", None) or str(exc), exc
    raise UsageError(
        f"The accepted differences in {path} cannot be used: {why}.",
        remedy="An entry is a table [[accepted]] with server, probe and why, and a verdict if need be.",
    ) from cause


def judge(comparison: Comparison, entries: tuple[Entry, ...] = ()) -> Judgement:
    """Sort the findings into accepted, known and remaining differences. Servers not installed are skipped."""
    differences, accepted, known = [], [], []
    of_servers = {probe.name for probe in comparison.probes if probe.layer == "server"}
    for finding in comparison.findings:
        if not finding.differs:
            continue
        entry = next((entry for entry in entries if entry.covers(finding)), None)
        if entry is not None:
            accepted.append((finding, entry))
        elif finding.probe in of_servers and not finding.is_new:
            known.append(finding)
        else:
            differences.append(finding)
    used = {entry for _, entry in accepted}
    absent = {server.label for server in comparison.servers if server.state != "up"}
    return Judgement(
        differences=tuple(differences),
        accepted=tuple(accepted),
        known=tuple(known),
        failed=tuple(server for server in comparison.servers if server.state in ("crashed", "hung")),
        unused=tuple(entry for entry in entries if entry not in used and entry.server not in absent),
    )
