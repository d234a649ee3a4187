"""A comparison as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterable

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from webdemo.compare.report import rows, wording
from webdemo.compare.report.advice import advise
from webdemo.compare.report.standings import standings
from webdemo.compare.results import Behaviour, Comparison, Finding, Speed

_GRID_COLUMN = 9  # "dropped*", "hypercorn"
STYLES = {
    "right": "green",
    "differs": "yellow",
    "wrong": "red",
    "dropped": "red",
    "hung": "red",
    "missing": "dim",
}


def show(comparison: Comparison, console: Console) -> None:
    """Print the whole comparison: servers, behaviour, speed and advice."""
    _show_servers(comparison, console)
    labels = [server.label for server in comparison.servers if server.state == "up"]
    if comparison.behaviour is not None:
        _show_grid(comparison.behaviour, labels, console)
        _show_differences(comparison.behaviour, console)
    if comparison.speed is not None:
        _show_speed(comparison.speed, console)
    pieces = advise(comparison)
    if pieces:
        _head(console, "Advice")
        for piece in pieces:
            console.print(Text(f"• {piece.text}"))


def _show_servers(comparison: Comparison, console: Console) -> None:
    table = _table(f"{comparison.app} on {len(comparison.servers)} servers", "server", "version", "state", "")
    for server in comparison.servers:
        style = "green" if server.state == "up" else "dim" if server.state == "missing" else "red"
        table.add_row(
            server.label,
            server.version or wording.NONE,
            Text(server.state, style),
            Text(server.problem or ""),
        )
    console.print(table)


def _show_grid(behaviour: Behaviour, labels: list[str], console: Console) -> None:
    """Print the probes that are not right everywhere; the others are only counted."""
    shown = [row for row in rows.grid(behaviour, labels) if not _is_right(row.cells)]
    same = len(behaviour.probes) - len(shown)
    title = f"Behaviour: {same} of {len(behaviour.probes)} probes are right on every server"
    if not shown:
        _head(console, title)
        return
    names = max(len(row.probe.name) for row in shown)
    fitting = max(1, (console.width - names) // (_GRID_COLUMN + 2))
    for first in range(0, len(labels), fitting):  # as many columns as fit the terminal
        table = _table("" if first else title)
        table.add_column("probe", no_wrap=True)
        for label in labels[first : first + fitting]:
            table.add_column(label, overflow="fold", width=_GRID_COLUMN)
        for row in shown:
            cells = row.cells[first : first + fitting]
            if not _is_right(cells):
                table.add_row(row.probe.name, *map(_cell, cells))
        console.print()
        console.print(table)


def _is_right(cells: Iterable[Finding | None]) -> bool:
    return all(finding is not None and finding.verdict == "right" for finding in cells)


def _cell(finding: Finding | None) -> Text:
    if finding is None:
        return Text(wording.NONE, "dim")
    if finding.verdict == "right":
        return Text("✓", "green")
    return Text(finding.verdict + ("*" if finding.is_new else ""), STYLES[finding.verdict])


def _show_differences(behaviour: Behaviour, console: Console) -> None:
    if any(finding.is_new for finding in behaviour.findings):
        console.print("* not seen before in this server", style="dim")
    for difference in rows.differences(behaviour):
        probe = difference.probe
        console.print()
        title = f": {probe.title}. " if probe.title != probe.name else ""
        console.print(Text.assemble((probe.name, "bold"), title, (probe.section, "dim")))
        firsts = [group[0] for group in difference.groups]
        for first, group in zip(firsts, difference.groups, strict=True):
            servers = wording.listed([finding.server for finding in group])
            console.print(Text.assemble("  ", (servers, STYLES[first.verdict]), f": {wording.said(first)}"))
        tail = " ".join(dict.fromkeys(s for f in firsts for s in (f.who_is_right, f.meaning) if s))
        if tail:
            console.print(Text(f"  {tail}", "dim"))


def _show_speed(speed: Speed, console: Console) -> None:
    for case in standings(speed):
        table = _table(f"Speed: {case.title}", "server")
        for name in ("requests/s", "p50", "p90", "p99", "CPU", "memory"):
            table.add_column(name, justify="right", no_wrap=True)
        for place in case.places:
            m = place.measurement
            table.add_row(
                m.server,
                wording.count(m.requests_per_second.value),
                wording.milliseconds(m.p50_ms.value),
                wording.milliseconds(m.p90_ms.value),
                wording.milliseconds(m.p99_ms.value),
                wording.microseconds(m.cpu_us_per_request),
                wording.megabytes(m.memory_bytes),
            )
        console.print()
        console.print(table)
        for place in case.places:
            m = place.measurement
            facts = [place.standing]
            if m.requests_per_second.value:
                facts.append(f"{wording.span(m.requests_per_second)} requests/s")
            if m.limited_by != "unknown":
                facts.append(f"limited by the {m.limited_by}")
            line = Text.assemble(f"  {m.server}: ", ", ".join(facts))
            if m.errors:
                line.append(f", {m.errors} errors", "red")
            console.print(line)
    _show_lifecycles(speed, console)
    console.print(
        Text(f"GET {speed.path}, by {speed.client}; {wording.method(speed)} CPU: for a request.", "dim")
    )
    for note in speed.notes:
        console.print(Text(f"Note: {note}", "yellow"))


def _show_lifecycles(speed: Speed, console: Console) -> None:
    table = _table("Start, kill -9 and stop", "server")
    for name in ("ready after", "back after kill -9", "stopped after", "lost at stop"):
        table.add_column(name, justify="right")
    for one in speed.lifecycles:
        lost = wording.NONE if one.lost_at_stop is None else str(one.lost_at_stop)
        table.add_row(
            one.server,
            wording.seconds(one.start_seconds),
            wording.seconds(one.back_seconds),
            wording.seconds(one.stop_seconds),
            Text(lost, "red" if one.lost_at_stop else ""),
        )
    console.print()
    console.print(table)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _head(console: Console, text: str) -> None:
    console.print()
    console.print(Text(text, "bold"))
