"""Formats figures for people: about three digits, with a suitable unit."""

from __future__ import annotations

DASH = "–"


def format_count(value: float) -> str:
    """A count or a rate per second."""
    if value >= 9_999_500:
        return f"{value / 1e6:.1f} M"
    if value >= 99_950:
        return f"{value / 1e3:.0f} k"
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.1f}"


def format_milliseconds(value: float | None) -> str:
    if value is None:
        return DASH
    if value >= 9_950:
        return f"{value / 1000:.0f} s"
    if value >= 995:
        return f"{value / 1000:.1f} s"
    return f"{value:.0f} ms" if value >= 9.95 else f"{value:.1f} ms" if value >= 0.95 else f"{value:.2f} ms"


def format_bytes(value: float) -> str:
    for unit in ("B", "kB", "MB"):
        if value < 999.5:
            return f"{value:.0f} {unit}" if value >= 99.5 or unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"


def format_percent(value: float) -> str:
    return f"{value:.0f} %" if value >= 9.95 or value == 0 else f"{value:.1f} %"
