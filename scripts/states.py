"""Draws docs/pictures/states.svg, the states of a server process, from the table of transitions.

Run it in the checkout's folder: python -m scripts.states
"""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import escape

from webdemo.supervisor.actual import TRANSITIONS, State

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "pictures" / "states.svg"

_WIDTH, _HEIGHT, _TOP, _STEP = 130, 44, 40, 104
_LEFT = 40
_MEANINGS = {
    State.STARTING: "the loader was told to fork it",
    State.READY: "it is being probed",
    State.UP: "it serves",
    State.DRAINING: "it finishes the requests in flight",
    State.KILLED: "SIGKILL was sent",
}


def picture() -> str:
    """The SVG: the states in a column; arrows that skip states run at the right."""
    order = list(State)
    parts, lane = [], 0
    for row, state in enumerate(order):
        y = _TOP + row * _STEP
        parts.append(f'<rect class="box" x="{_LEFT}" y="{y}" width="{_WIDTH}" height="{_HEIGHT}" rx="6"/>')
        parts.append(f'<text class="name" x="{_LEFT + 14}" y="{y + 27}">{state.value}</text>')
        parts.append(f'<text class="note" x="{_LEFT + _WIDTH + 14}" y="{y + 27}">{_MEANINGS[state]}</text>')
        skips = 0
        for target, why in TRANSITIONS[state].items():
            distance = order.index(target) - row
            if distance == 1:
                x, end = _LEFT + 30, y + _STEP
                parts.append(f'<path class="line" marker-end="url(#arrow)" d="M{x} {y + _HEIGHT} V{end}"/>')
                parts.append(f'<text x="{x + 12}" y="{y + _HEIGHT + 36}">{escape(why)}</text>')
            elif distance > 1:
                x = 700 + lane * 50
                lane += 1
                skips += 1
                end = _TOP + order.index(target) * _STEP + 12 + lane * 6
                start = y + 12 + lane * 6
                left = _LEFT + _WIDTH
                note = left + 250
                parts.append(
                    f'<path class="line" marker-end="url(#arrow)" d="M{note} {start} H{x} V{end} H{note}"/>'
                )
                parts.append(
                    f'<text x="{note + 14}" y="{start + (-7 if skips == 1 else 18)}">{escape(why)}</text>'
                )
    height = _TOP + len(order) * _STEP - 20
    return _FRAME.format(height=height, body="\n  ".join(parts))


_FRAME = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 880 {height}" role="img"
     aria-labelledby="title description" font-family="system-ui, 'Segoe UI', Helvetica, Arial, sans-serif"
     font-size="14">
  <title id="title">The states of a server process</title>
  <desc id="description">Starting, ready, up, draining, killed, and why a process goes from one to the next.
    It can end in each of them.</desc>
  <style>
    .page {{ fill: #ffffff; }}
    .box {{ fill: #eef6f5; stroke: #00796b; stroke-width: 1.5; }}
    .line {{ fill: none; stroke: #424242; stroke-width: 1.5; }}
    .head {{ fill: #424242; }}
    text {{ fill: #212121; }}
    .name {{ font-weight: 600; font-size: 16px; }}
    .note {{ fill: #616161; }}
    @media (prefers-color-scheme: dark) {{
      .page {{ fill: #1e2129; }}
      .box {{ fill: #16302d; stroke: #4db6ac; }}
      .line {{ stroke: #cfcfcf; }}
      .head {{ fill: #cfcfcf; }}
      text {{ fill: #eeeeee; }}
      .note {{ fill: #b0b0b0; }}
    }}
  </style>
  <defs>
    <marker id="arrow" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8" orient="auto">
      <path class="head" d="M0 0 L10 5 L0 10 z"/>
    </marker>
  </defs>
  <rect class="page" width="880" height="{height}" rx="8"/>
  {body}
</svg>
"""

if __name__ == "__main__":
    PICTURE.write_text(picture())
