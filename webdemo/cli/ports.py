"""`webdemo port` and `webdemo trace`: what a port is, who has it, and the way to it."""

from __future__ import annotations

import click

from webdemo.errors import UsageError
from webdemo.net import report, stopping


@click.command()
@click.argument("ports", nargs=-1, metavar="[NUMBER|NAME|RANGE ...]")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.option("--free", is_flag=True, help="Print a port that is free, for scripts.")
@click.option("--stop", "end", is_flag=True, help="End the program of yours that listens there.")
@click.option("--yes", is_flag=True, help="With --stop: do not ask.")
def port(ports: tuple[str, ...], as_json: bool, free: bool, end: bool, yes: bool) -> None:
    """Tell what a port is for, who listens there and what to do; without one, who listens where.

    \b
    webdemo port               everything that listens on this machine
    webdemo port 8000 smtp     two ports, by number and by name
    webdemo port 8000-8010     a range
    """
    if free:
        if ports or end:
            raise UsageError(
                "--free finds a port by itself.", remedy="Leave the rest out: webdemo port --free"
            )
        click.echo(report.free_port())
    elif end:
        stop_holder(ports, yes=yes)
    else:
        click.echo(report.answer(ports, as_json=as_json))


def stop_holder(ports: tuple[str, ...], *, yes: bool) -> None:
    if len(ports) != 1 or not ports[0].isdecimal():
        raise UsageError(
            "--stop takes one port, by its number.", remedy="For example: webdemo port 8000 --stop"
        )
    processes = stopping.find_stoppable(int(ports[0]))
    for process in processes:
        click.echo(f"{process.command} (pid {process.pid})")
    if not yes:
        click.confirm(f"End {'it' if len(processes) == 1 else 'them'}?", abort=True)
    for stopped in stopping.stop(processes):
        click.echo(stopped.describe())
