"""A comparison as a page: the template context, and a single self-contained HTML file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from webdemo import assets
from webdemo.compare.report import bars, wording
from webdemo.compare.report.advice import advise
from webdemo.compare.report.standings import standings
from webdemo.compare.results import Behaviour, Comparison, Finding, Probe
from webdemo.web.templates import Pages

_COLOURS = 6  # the number of series colours in the style sheet
# The style sheet's badge class of each verdict.
BADGES = {"right": "ok", "differs": "warn", "wrong": "bad", "dropped": "bad", "hung": "bad", "missing": ""}
STATES = {"up": "ok", "crashed": "bad", "hung": "bad", "missing": ""}


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


def to_html(comparison: Comparison) -> str:
    """The whole report as one HTML file, including its style sheet."""
    # A file has no site to link to, so no URL functions are passed and the style sheet is inlined.
    pages = Pages(assets.TEMPLATES, {})
    css = (assets.STATIC / "webdemo.css").read_text(encoding="utf-8")
    return pages.render("compare_file.html", context(comparison) | {"css": css})


def context(comparison: Comparison) -> dict[str, Any]:
    """The template context of compare_report.html."""
    labels = [server.label for server in comparison.servers]
    return {
        "comparison": comparison,
        "made": datetime.fromisoformat(comparison.made_at),
        "labels": labels,
        "colours": {label: n % _COLOURS + 1 for n, label in enumerate(labels)},
        "grid": _grid(comparison.behaviour, labels) if comparison.behaviour else (),
        "differences": _differences(comparison.behaviour) if comparison.behaviour else (),
        "cases": standings(comparison.speed) if comparison.speed else (),
        "charts": bars.charts(comparison.speed) if comparison.speed else {},
        "latency_scale": bars.latency_scale(comparison.speed) if comparison.speed else None,
        "advice": advise(comparison),
        "badges": BADGES,
        "states": STATES,
        "words": wording,
    }


def _grid(behaviour: Behaviour, labels: Iterable[str]) -> tuple[GridRow, ...]:
    found = {(finding.probe, finding.server): finding for finding in behaviour.findings}
    labels = tuple(labels)
    return tuple(
        GridRow(probe, tuple(found.get((probe.name, label)) for label in labels))
        for probe in behaviour.probes
    )


def _differences(behaviour: Behaviour) -> tuple[Difference, ...]:
    found = []
    for probe in behaviour.probes:
        groups: dict[tuple[str, ...], list[Finding]] = {}
        for finding in behaviour.findings:
            if finding.probe == probe.name and finding.verdict not in ("right", "missing"):
                said = (finding.verdict, wording.said(finding), finding.who_is_right, finding.meaning)
                groups.setdefault(said, []).append(finding)
        if groups:
            found.append(Difference(probe, tuple(map(tuple, groups.values()))))
    return tuple(found)
