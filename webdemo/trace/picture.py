"""Draws a trace for a terminal: one bar per step, all on one time axis.

The rule: no line is wider than requested, and no text from a server can move the cursor.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from webdemo.text import format_duration
from webdemo.trace.description import clean, describe, describe_answering, describe_redirect
from webdemo.trace.facts import Failure, Hop, Step, Trace

NARROWEST = 40
_LABEL = 11
_TIME = 10
_WIDEST_BAR = 60

_BOLD, _DIM, _RED, _GREEN, _YELLOW, _CYAN = "1", "2", "31", "32", "33", "36"


def render(trace: Trace, width: int = 80, colour: bool = False) -> str:
    """The drawing, without a trailing newline. A `width` below 40 columns counts as 40."""
    pen = _Pen(max(width, NARROWEST), colour)
    return "\n\n".join("\n".join(_draw(hop, pen)) for hop in trace.hops)


class _Pen:
    def __init__(self, width: int, colour: bool) -> None:
        self.width = width
        self._colour = colour
        self.bar = min(width - _LABEL - _TIME - 4, _WIDEST_BAR)

    def paint(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour else text

    def wrap(self, *sentences: str, code: str | None = None, label: str = "") -> Iterable[str]:
        """Each sentence on its own lines in the facts column; the first line begins with the label."""
        start = self.paint(f"{label:<{_LABEL}}", _BOLD)
        for sentence in sentences:
            for line in textwrap.wrap(sentence, self.width - _LABEL - 2, break_on_hyphens=False) or [""]:
                yield f"{start} {self.paint(line, code) if code else line}".rstrip()
                start = " " * _LABEL

    def explain(self, failure: Failure | None) -> Iterable[str]:
        if failure is not None:
            yield from self.wrap(clean(failure.problem), code=_RED)
            yield from self.wrap(clean(failure.remedy))


def _draw(hop: Hop, pen: _Pen) -> Iterable[str]:
    for number, line in enumerate(textwrap.wrap(clean(hop.url), pen.width - 2)):
        yield pen.paint(line, _BOLD) if number == 0 else f"  {line}"
    text, code = _verdict(hop)
    yield from pen.wrap(text, code=code)
    for step in hop.steps:
        yield _bar(step, hop, pen)
        if step.facts is not None:
            yield from pen.wrap(*describe(step.facts), code=_DIM)
        yield from pen.explain(step.failure)
    if hop.answered_by is not None:
        yield from pen.wrap(*describe_answering(hop.answered_by), label="process")
    if hop.redirect is not None:
        yield from pen.wrap(*describe_redirect(hop.redirect), label="redirect")
        yield from pen.explain(hop.redirect.failure)


def _verdict(hop: Hop) -> tuple[str, str]:
    """The outcome of the hop, and its colour."""
    took = f"after {format_duration(hop.duration_ms / 1000)}"
    failed = next((step for step in hop.steps if step.failure is not None), None)
    if failed is not None:
        return f"ended at {failed.name} {took}", _RED
    if hop.response is not None:
        code = _GREEN if hop.response.status < 400 else _YELLOW
        return f"{hop.response.status} {clean(hop.response.reason)}".rstrip() + f" {took}", code
    assert hop.greeting is not None, "a hop that has not failed has a response or a greeting"
    return f"{hop.greeting.code} {took}", _GREEN


def _bar(step: Step, hop: Hop, pen: _Pen) -> str:
    scale = pen.bar / hop.duration_ms if hop.duration_ms > 0 else 0.0
    start = min(round(step.start_ms * scale), pen.bar - 1)
    length = max(1, min(round(step.duration_ms * scale), pen.bar - start))
    mark = "█" if step.duration_ms * scale >= 0.5 else "▏"
    code = _RED if step.failure is not None else _CYAN
    bar = " " * start + pen.paint(mark * length, code) + " " * (pen.bar - start - length)
    label = pen.paint(f"{step.name:<{_LABEL}}", _BOLD)
    return f"{label} {bar} {format_duration(step.duration_ms / 1000):>{_TIME}}"
