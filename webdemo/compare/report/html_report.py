"""A comparison as a page: the template context, and a single self-contained HTML file."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from webdemo import assets
from webdemo.compare.report import rows, wording
from webdemo.compare.report.answer import BAD, answer
from webdemo.compare.report.standings import latency_scale, standings
from webdemo.compare.results import Comparison, Finding
from webdemo.web.templates import make_environment

_COLOURS = 6  # the number of series colours in the style sheet
# The style sheet's badge class of each verdict and state.
BADGES = {"right": "ok", "up": "ok", "differs": "warn", "missing": ""} | dict.fromkeys(
    (*BAD, "crashed", "hung"), "bad"
)


def to_html(comparison: Comparison, accepted: Collection[Finding] = ()) -> str:
    """The whole report as one HTML file, including its style sheet."""
    # A file has no site to link to, so no URL functions are passed and the style sheet is inlined.
    environment = make_environment([assets.TEMPLATES])
    css = (assets.STATIC / "webdemo.css").read_text(encoding="utf-8")
    return environment.get_template("compare_file.html").render(context(comparison, accepted), css=css)


def context(comparison: Comparison, accepted: Collection[Finding] = ()) -> dict[str, Any]:
    """The template context of compare_report.html."""
    labels = [server.label for server in comparison.servers]
    speed = comparison.speed
    return {
        "comparison": comparison,
        "answer": answer(comparison, accepted),
        "made": datetime.fromisoformat(comparison.made_at),
        "labels": labels,
        "colours": {label: n % _COLOURS + 1 for n, label in enumerate(labels)},
        "grid": rows.grid(comparison, labels),
        "layers": {layer: rows.differences(comparison, layer) for layer in ("app", "server")},
        "cases": standings(speed) if speed else (),
        "latency_scale": latency_scale(speed) if speed else None,
        "badges": BADGES,
        "words": wording,
    }
