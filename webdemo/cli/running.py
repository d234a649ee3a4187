"""Commands for running webdemos: `ps`, `swap`, `restart`, `stop`, `start`, `reload`."""

from __future__ import annotations

import json
import time

import click

from webdemo.cli import completing, print_table
from webdemo.errors import UsageError
from webdemo.supervisor.actions import ACTIONS
from webdemo.supervisor.control import instances, statuses
from webdemo.supervisor.control_messages import ActionCommand, Completed
from webdemo.text import format_duration, terminal_line
from webdemo.worker.codec import build, plain

_HEADING = (
    "WEBDEMO", "APP", "SERVER", "PORT", "STATE", "PROCESS", "WORKERS", "RESTARTS", "UP", "OLDEST REQUEST",
)  # fmt: skip


@click.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON; with --watch, one line a second.")
@click.option("--watch", is_flag=True, help="Show live figures, once a second, until q or Ctrl-C.")
def ps(as_json: bool, watch: bool) -> None:
    """List your running webdemos with their servers and processes."""
    if watch:
        from webdemo.cli import watching

        watching.watch(as_json=as_json)
        return
    found, silent = statuses()
    for error in silent:
        click.echo(str(error), err=True)
    if as_json:
        click.echo(json.dumps([plain(status) for status in found], indent=2))
        return
    if not found and not silent:
        click.echo("No webdemo of yours is running.")
    if not found:
        raise click.exceptions.Exit(1 if silent else 0)
    rows: list[tuple[str, ...]] = [_HEADING]
    for status in found:
        for service in status.services:
            since = min((process.since for process in service.processes), default=None)
            oldest = service.figures.oldest_request_seconds if service.figures else 0.0
            rows.append(
                (
                    str(status.pid),
                    status.target,
                    service.server,
                    " ".join(service.ports),
                    service.state,
                    " ".join(str(process.pid) for process in service.processes) or "-",
                    str(service.workers),
                    str(service.restarts),
                    format_duration(time.time() - since) if since else "-",
                    format_duration(oldest) if oldest > 1 else "-",
                )
            )
    print_table(rows, key=_HEADING.index("PORT") + 1)
    for status in found:
        for problem in dict.fromkeys(service.problem for service in status.services if service.problem):
            click.echo(f"{status.pid}: given up: {problem}")
        for change in status.changes:
            seconds = format_duration(change.for_seconds)
            click.echo(f"{status.pid}: {change.what}, for {seconds}, waits for {change.waits_for}")


_COMPLETIONS = {"port": completing.ports, "server": completing.servers}


def _command_of(name: str) -> click.Command:
    """The CLI command that sends this action: the fields of its message are the arguments."""
    action = ACTIONS[name]

    def send(pid: int | None, **given: str | None) -> None:
        _send(name, build(action.command, given), pid)

    for field in reversed(action.command._fields):
        required = field not in action.command._field_defaults
        send = click.argument(field, required=required, shell_complete=_COMPLETIONS[field])(send)
    option = click.option(
        "--pid", type=int, metavar="PID", help="The PID of the webdemo, if several are running."
    )
    return click.command(name, help=action.help)(option(send))


reload = _command_of("reload")
restart = _command_of("restart")
start = _command_of("start")
stop = _command_of("stop")
swap = _command_of("swap")


def _send(name: str, command: ActionCommand, pid: int | None) -> None:
    """Send it to the right webdemo and wait until it is done; raises UsageError if that is unclear."""
    port = getattr(command, "port", None)
    running = list(instances())
    found = [instance for instance in running if pid in (None, instance.pid)]
    if port is not None and len(found) > 1:
        found = [one for one in found if any(port in s.ports for s in one.status().services)] or found
    if not running:
        raise UsageError("No webdemo of yours is running.", remedy="Start one: python -m webdemo")
    if not found:
        pids = ", ".join(str(instance.pid) for instance in running)
        raise UsageError(f"No webdemo of yours has the pid {pid}.", remedy=f"These are running: {pids}.")
    if len(found) > 1:
        raise UsageError(
            f"Several webdemos are running: {', '.join(str(i.pid) for i in found)}.",
            remedy=f"Say which: webdemo {name} --pid {found[0].pid}",
        )
    began = time.monotonic()
    completed = found[0].call(command, Completed)
    where = f" {port}" if port else ""
    took = format_duration(time.monotonic() - began)
    click.echo(f"webdemo {found[0].pid}{where}: {ACTIONS[name].done} after {took}.")
    if completed.note:
        click.echo(terminal_line(completed.note))
