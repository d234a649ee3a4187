"""The template context of the overview, for the dashboard and for the demo site's page of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from webdemo.dashboard import chart, route_map
from webdemo.dashboard.overview import Overview
from webdemo.dashboard.wording import format_count, format_milliseconds, format_percent
from webdemo.text import format_duration, format_size


def context(
    overview: Overview, *, logs: Mapping[str, Sequence[str]] | None = None, act_url: str | None = None
) -> dict[str, Any]:
    """The context of dashboard_live.html; `logs` by card key. None leaves out the logs or the buttons."""
    return {
        "overview": overview,
        "map": route_map.draw(overview),
        "box": {"width": chart.WIDTH, "height": chart.HEIGHT, "minutes": chart.WINDOW_SECONDS // 60},
        "logs": logs,
        "act_url": act_url,
        "count": format_count,
        "milliseconds": format_milliseconds,
        "size": format_size,
        "percent_of_cpu": format_percent,
        "age": format_duration,
    }
