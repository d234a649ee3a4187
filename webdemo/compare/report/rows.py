"""The findings by probe and server, for the terminal and the page."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from webdemo.compare.report import wording
from webdemo.compare.results import Comparison, Finding, Probe


class GridRow(NamedTuple):
    probe: Probe
    cells: tuple[Finding | None, ...]  # in the order of the servers


class Difference(NamedTuple):
    """One probe that is not right everywhere; findings with the same text are grouped."""

    probe: Probe
    groups: tuple[tuple[Finding, ...], ...]

    @property
    def findings(self) -> list[Finding]:
        return [finding for group in self.groups for finding in group]

    @property
    def labels(self) -> list[str]:
        """The servers that are not right."""
        return [finding.server for finding in self.findings]

    @property
    def has_failed(self) -> bool:
        """Whether no complete response came from any of them."""
        return all(finding.verdict in ("dropped", "hung") for finding in self.findings)

    @property
    def reasons(self) -> str:
        """Who is right and what it means, each sentence once."""
        sentences = (said for first, *_ in self.groups for said in (first.who_is_right, first.meaning))
        return " ".join(dict.fromkeys(filter(None, sentences)))

    @property
    def level(self) -> str:
        """MUST, SHOULD or MAY, if the section says so; else ""."""
        return self.probe.section.partition("(")[2].partition(")")[0]


def grid(comparison: Comparison, labels: Sequence[str]) -> tuple[GridRow, ...]:
    found = {(finding.probe, finding.server): finding for finding in comparison.findings}
    return tuple(
        GridRow(probe, tuple(found.get((probe.name, label)) for label in labels))
        for probe in comparison.probes
    )


def differences(
    comparison: Comparison, layer: str, leave_out: Collection[Finding] = ()
) -> tuple[Difference, ...]:
    """The probes of a layer ("app", "server") that are not right on every server that ran."""
    found = []
    for probe in wording.probes_of(comparison, layer):
        groups: dict[tuple[str, ...], list[Finding]] = {}
        for finding in comparison.findings:
            if finding.probe == probe.name and finding.differs and finding not in leave_out:
                said = (finding.verdict, wording.said(finding), finding.who_is_right, finding.meaning)
                groups.setdefault(said, []).append(finding)
        if groups:
            found.append(Difference(probe, tuple(map(tuple, groups.values()))))
    return tuple(found)
