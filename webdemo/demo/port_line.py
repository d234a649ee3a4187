"""Positions on the SVG line of all ports, as percentages of its width."""

from __future__ import annotations

_ALL_PORTS = 65536


def percent(ports: int) -> str:
    """The position of a port, or the length of a piece of that many ports, as a percentage."""
    return f"{ports / _ALL_PORTS:.3%}"


def text_anchor(port: int) -> str:
    """The text-anchor that keeps a label at this port within the drawing."""
    if port < _ALL_PORTS // 4:
        return "start"
    return "end" if port > _ALL_PORTS * 3 // 4 else "middle"
