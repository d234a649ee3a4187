"""A comparison as a page: the template context, and a single self-contained HTML file."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from webdemo import assets
from webdemo.compare.report import bars, rows, wording
from webdemo.compare.report.advice import advise
from webdemo.compare.report.standings import standings
from webdemo.compare.results import Comparison
from webdemo.web.templates import make_environment

_COLOURS = 6  # the number of series colours in the style sheet
# The style sheet's badge class of each verdict.
BADGES = {"right": "ok", "differs": "warn", "wrong": "bad", "dropped": "bad", "hung": "bad", "missing": ""}
STATES = {"up": "ok", "crashed": "bad", "hung": "bad", "missing": ""}


def to_html(comparison: Comparison) -> str:
    """The whole report as one HTML file, including its style sheet."""
    # A file has no site to link to, so no URL functions are passed and the style sheet is inlined.
    environment = make_environment([assets.TEMPLATES])
    css = (assets.STATIC / "webdemo.css").read_text(encoding="utf-8")
    return environment.get_template("compare_file.html").render(context(comparison), css=css)


def context(comparison: Comparison) -> dict[str, Any]:
    """The template context of compare_report.html."""
    labels = [server.label for server in comparison.servers]
    return {
        "comparison": comparison,
        "made": datetime.fromisoformat(comparison.made_at),
        "labels": labels,
        "colours": {label: n % _COLOURS + 1 for n, label in enumerate(labels)},
        "grid": rows.grid(comparison.behaviour, labels) if comparison.behaviour else (),
        "differences": rows.differences(comparison.behaviour) if comparison.behaviour else (),
        "cases": standings(comparison.speed) if comparison.speed else (),
        "charts": bars.charts(comparison.speed) if comparison.speed else {},
        "latency_scale": bars.latency_scale(comparison.speed) if comparison.speed else None,
        "advice": advise(comparison),
        "badges": BADGES,
        "states": STATES,
        "words": wording,
    }
