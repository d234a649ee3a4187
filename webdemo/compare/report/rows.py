"""The findings by probe and server, for the terminal and the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from webdemo.compare.report import wording
from webdemo.compare.results import Behaviour, Finding, Probe


@dataclass(frozen=True, slots=True)
class GridRow:
    probe: Probe
    cells: tuple[Finding | None, ...]  # in the order of the servers


@dataclass(frozen=True, slots=True)
class Difference:
    """One probe that is not right everywhere; findings with the same text are grouped."""

    probe: Probe
    groups: tuple[tuple[Finding, ...], ...]

    @property
    def shared(self) -> str:
        """Who is right and what it means, if that is the same for all groups; else ""."""
        said = {f"{group[0].who_is_right} {group[0].meaning}" for group in self.groups}
        return said.pop() if len(said) == 1 else ""


def grid(behaviour: Behaviour, labels: Sequence[str]) -> tuple[GridRow, ...]:
    found = {(finding.probe, finding.server): finding for finding in behaviour.findings}
    return tuple(
        GridRow(probe, tuple(found.get((probe.name, label)) for label in labels))
        for probe in behaviour.probes
    )


def differences(behaviour: Behaviour) -> tuple[Difference, ...]:
    found = []
    for probe in behaviour.probes:
        groups: dict[tuple[str, ...], list[Finding]] = {}
        for finding in behaviour.findings:
            if finding.probe == probe.name and finding.differs:
                said = (finding.verdict, wording.said(finding), finding.who_is_right, finding.meaning)
                groups.setdefault(said, []).append(finding)
        if groups:
            found.append(Difference(probe, tuple(map(tuple, groups.values()))))
    return tuple(found)
