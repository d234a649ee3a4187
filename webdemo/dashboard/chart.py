"""Draws time series as SVG paths. Runs in the dashboard's process.

All boxes have the same size and scale, so that cards can be compared. A second without a value leaves a
gap. Colours belong to the style sheet.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from webdemo.text import format_duration

WINDOW_SECONDS = 180
WIDTH = 360
HEIGHT = 64
# Latency is drawn on a logarithmic scale that begins here, because servers differ by factors.
LEAST_MS = 0.1

Values = Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Scales:
    """The values at the top edges of the boxes."""

    requests_per_second: float
    milliseconds: float

    def decades(self) -> list[float]:
        """The y coordinates of the latency box's grid lines: 1 ms, 10 ms and so on."""
        top = round(math.log10(self.milliseconds))
        marks = [10**power for power in range(top)]
        return [self.latency_y(mark) for mark in marks]

    @property
    def span(self) -> str:
        """The range of the latency box, in words."""
        return f"{format_duration(LEAST_MS / 1000)} to {format_duration(self.milliseconds / 1000)}"

    def rate_y(self, value: float) -> float:
        return HEIGHT - value / self.requests_per_second * HEIGHT

    def latency_y(self, value: float) -> float:
        share = math.log10(max(value, LEAST_MS) / LEAST_MS) / math.log10(self.milliseconds / LEAST_MS)
        return HEIGHT - share * HEIGHT


def scales(rates: Iterable[float | None], latencies: Iterable[float | None]) -> Scales:
    """Scales with round top values that fit all of these; rates per second, latencies in milliseconds."""
    fastest = max((value for value in rates if value is not None), default=0.0)
    slowest = max((value for value in latencies if value is not None), default=0.0)
    return Scales(
        requests_per_second=_round_up(max(fastest, 10.0)),
        milliseconds=10.0 ** math.ceil(math.log10(max(slowest, 10.0))),
    )


def line(times: Sequence[float], values: Values, now: float, height_of: Callable[[float], float]) -> str:
    """The SVG path of a series, "" if it has no value in the window; `times` and `now` in epoch seconds."""
    words = []
    pen_is_down = False
    for time, value in zip(times, values, strict=True):
        x = WIDTH - (now - time) / WINDOW_SECONDS * WIDTH
        if value is None or x < 0:
            pen_is_down = False
            continue
        words.append(f"{'L' if pen_is_down else 'M'}{x:.1f} {height_of(value):.1f}")
        pen_is_down = True
    return "".join(words)


def area(path: str) -> str:
    """The SVG path of the area below a line without gaps."""
    if not path:
        return ""
    first = path[1:].partition(" ")[0]
    last = path.rpartition("L")[2].removeprefix("M").partition(" ")[0]
    return f"{path}L{last} {HEIGHT}L{first} {HEIGHT}Z"


def _round_up(value: float) -> float:
    """The next value that is 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value)
