"""The layout of a run's diagram: browser -> ports -> servers -> one app. Runs in the dashboard's process.

The vertical positions, in pixels, with one row per port; a service is centred on its ports. The horizontal
ones are percentages in the template, so that text keeps its size at every width.
"""

from __future__ import annotations

from dataclasses import dataclass

from webdemo.dashboard.overview import Card, Overview

ROW = 58
DENSE_ROW = 38  # with more than MANY ports
MANY = 6


@dataclass(frozen=True, slots=True)
class PortPlace:
    label: str
    y: float
    server_y: float
    colour: int
    is_open: bool


@dataclass(frozen=True, slots=True)
class ServerPlace:
    card: Card
    y: float


@dataclass(frozen=True, slots=True)
class RouteMap:
    height: int
    middle: float
    ports: tuple[PortPlace, ...]
    servers: tuple[ServerPlace, ...]


def draw(overview: Overview) -> RouteMap:
    ports: list[PortPlace] = []
    servers = []
    row = ROW if overview.ports <= MANY else DENSE_ROW
    for card in overview.cards:
        first = len(ports)
        server_y = (first + len(card.ports) / 2) * row
        servers.append(ServerPlace(card, server_y))
        ports += [
            PortPlace(
                label=port.label,
                y=(first + position + 0.5) * row,
                server_y=server_y,
                colour=card.colour,
                is_open=card.state not in ("stopped", "given up"),
            )
            for position, port in enumerate(card.ports)
        ]
    height = len(ports) * row
    return RouteMap(height, height / 2, tuple(ports), tuple(servers))
