"""The template context of the SVG line of all ports: positions are percentages of its width."""

from __future__ import annotations

from typing import Any

from webdemo.demo.connection_path import ConnectionPath
from webdemo.net.ports import RANGES, ephemeral_range, range_of

_ALL_PORTS = 65536


def line_context(connection: ConnectionPath, may_see: bool) -> dict[str, Any]:
    return {
        "connection": connection,
        "may_see": may_see,
        "ranges": RANGES,
        "port_range": range_of(connection.port) if connection.port else None,
        "client_port_range": range_of(connection.client_port) if connection.client_port else None,
        "ephemeral": ephemeral_range() if may_see else None,
        "percent": percent,
        "text_anchor": text_anchor,
    }


def percent(ports: int) -> str:
    """The position of a port, or the length of a piece of that many ports, as a percentage."""
    return f"{ports / _ALL_PORTS:.3%}"


def text_anchor(port: int) -> str:
    """The text-anchor that keeps a label at this port within the drawing."""
    if port < _ALL_PORTS // 4:
        return "start"
    return "end" if port > _ALL_PORTS * 3 // 4 else "middle"
