"""Where a port lies on the line of all ports, in an SVG whose positions are percentages of its width."""

from __future__ import annotations

_ALL_PORTS = 65536


def percent(ports: int) -> str:
    """How far along the line a port lies, or how long a piece of so many ports is."""
    return f"{ports / _ALL_PORTS:.3%}"


def text_anchor(port: int) -> str:
    """The text-anchor with which a label at this port stays within the line."""
    if port < _ALL_PORTS // 4:
        return "start"
    return "end" if port > _ALL_PORTS * 3 // 4 else "middle"
