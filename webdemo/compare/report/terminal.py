"""A comparison in a terminal: the answer on one screen, and with `verbose` all tables as well."""

from __future__ import annotations

from collections.abc import Iterable

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from webdemo.compare.report import rows, wording
from webdemo.compare.report.answer import Answer
from webdemo.compare.report.standings import standings
from webdemo.compare.results import Comparison, Finding, Speed

_GRID_COLUMN = 9  # "dropped*", "hypercorn"
_MOST_SHOWN = 5  # differences of the app, on the first screen
_LONGEST_SHOWN = 150
STYLES = {
    "right": "green",
    "differs": "yellow",
    "wrong": "red",
    "dropped": "red",
    "hung": "red",
    "up": "green",
}


def show(comparison: Comparison, answer: Answer, console: Console, *, verbose: bool = False) -> None:
    if verbose:
        _show_servers(comparison, console)
        labels = [server.label for server in comparison.servers if server.state == "up"]
        _show_grid(comparison, labels, console)
        _show_differences(comparison, console)
        if comparison.speed is not None:
            _show_speed(comparison.speed, console)
        console.print()
    _show_answer(comparison, answer, console)
    if verbose:
        for _, text in answer.hints:
            console.print(Text(f"• {text}"))


def _show_answer(comparison: Comparison, answer: Answer, console: Console) -> None:
    tried = [server for server in comparison.servers if server.state != "missing"]
    count = wording.counted(len(tried), "server")
    console.print(Text.assemble((comparison.app, "bold"), f" on {count}"))
    style = {True: "green", False: "yellow", None: ""}[answer.same]
    _say(console, "Does it behave the same?", answer.says, style)
    for difference in answer.differences[:_MOST_SHOWN]:
        for group in difference.groups:
            servers = wording.listed([finding.server for finding in group])
            said = wording.said(group[0])[:_LONGEST_SHOWN]
            text = Text.assemble((difference.probe.name, "bold"), "  ", (servers, "yellow"), f": {said}")
            console.print(Padding(text, (0, 0, 0, 2)))
    if (more := len(answer.differences) - _MOST_SHOWN) > 0:
        console.print(Text(f"  and {more} more"))
    for question, said in answer.details:
        _say(console, question, said, {"Problem:": "red", "Which server?": "bold"}.get(question, ""))


def _say(console: Console, question: str, text: str, style: str = "") -> None:
    console.print(Text.assemble((question, "bold"), " ", (text, style)))


def _show_servers(comparison: Comparison, console: Console) -> None:
    table = _table("Servers", "server", "version", "state", "")
    for server in comparison.servers:
        table.add_row(
            server.label,
            server.version or wording.NONE,
            Text(server.state, STYLES.get(server.state, "red")),
            Text(server.problem or ""),
        )
    console.print(table)


def _show_grid(comparison: Comparison, labels: list[str], console: Console) -> None:
    """Print the probes that are not right everywhere; the others are only counted."""
    if comparison.behaviour is None:
        return
    shown = [row for row in rows.grid(comparison, labels) if not _is_right(row.cells)]
    total, count = len(comparison.probes), wording.counted(len(labels), "server")
    if not shown:
        console.print(Text(f"\nBehaviour: all {total} probes are right on the {count} that ran", "bold"))
        return
    title = (
        f"Behaviour: the {len(shown)} of {total} probes that are not right on each of the {count} that ran"
    )
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
    return Text(finding.verdict + ("*" if finding.is_new else ""), STYLES.get(finding.verdict, "dim"))


def _show_differences(comparison: Comparison, console: Console) -> None:
    if any(finding.is_new for finding in comparison.findings):
        console.print("* not seen before in this server", style="dim")
    for difference in (*rows.differences(comparison, "app"), *rows.differences(comparison, "server")):
        probe = difference.probe
        console.print()
        title = f": {probe.title}. " if probe.title != probe.name else ""
        console.print(Text.assemble((probe.name, "bold"), title, (probe.section, "dim")))
        for group in difference.groups:
            servers = wording.listed([finding.server for finding in group])
            said = wording.said(group[0])
            console.print(Text.assemble("  ", (servers, STYLES[group[0].verdict]), f": {said}"))
        if difference.reasons:
            console.print(Text(f"  {difference.reasons}", "dim"))


def _show_speed(speed: Speed, console: Console) -> None:
    for case in standings(speed):
        names = ("requests/s", "p50", "p90", "p99", "CPU", "memory")
        table = _table(f"Speed: {case.title}", "server", numbers=names)
        for row in case.rows:
            m = row.measurement
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
        for row in case.rows:
            m = row.measurement
            facts = [row.words]
            if m.requests_per_second.value:
                facts.append(f"{wording.span(m.requests_per_second)} requests/s")
            if m.limited_by != "unknown":
                facts.append(f"limited by the {m.limited_by}")
            errors = (f", {m.errors} errors" if m.errors else "", "red")
            console.print(Text.assemble(f"  {m.server}: ", ", ".join(facts), errors))
    _show_lifecycles(speed, console)
    console.print(
        Text(f"GET {speed.path}, by {speed.client}; {wording.method(speed)} CPU: for a request.", "dim")
    )
    for note in speed.notes:
        console.print(Text(f"Note: {note}", "yellow"))


def _show_lifecycles(speed: Speed, console: Console) -> None:
    names = ("ready after", "back after kill -9", "stopped after", "lost at stop")
    table = _table("Start, kill -9 and stop", "server", numbers=names)
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


def _table(title: str, *columns: str, numbers: Iterable[str] = ()) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=len(name) <= len("requests/s"))
    return table
