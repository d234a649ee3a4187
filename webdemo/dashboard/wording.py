"""Formats figures for people: about three digits, with a suitable unit."""

from __future__ import annotations

from webdemo.text import format_duration

DASH = "–"


def format_count(value: float) -> str:
    """A count or a rate per second."""
    if value >= 9_999_500:
        return f"{value / 1e6:.1f} M"
    if value >= 99_950:
        return f"{value / 1e3:.0f} k"
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.1f}"


def format_milliseconds(value: float | None) -> str:
    return DASH if value is None else format_duration(value / 1000)


def format_percent(value: float) -> str:
    return f"{value:.0f} %" if value >= 9.95 or value == 0 else f"{value:.1f} %"
