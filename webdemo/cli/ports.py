"""`webdemo port` and `webdemo trace`: what a port is, who listens on it, and how a URL reaches it."""

from __future__ import annotations

import shutil
import sys

import click

from webdemo.cli import Seconds, terminal_width
from webdemo.errors import UsageError
from webdemo.net import report, stopping
from webdemo.net.bindtext import read_port


@click.command()
@click.argument("ports", nargs=-1, metavar="[NUMBER|NAME|RANGE ...]")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.option("--free", is_flag=True, help="Print a free port, for scripts.")
@click.option("--stop", "end", is_flag=True, help="Stop your program that listens there.")
@click.option("--yes", is_flag=True, help="With --stop: do not ask for confirmation.")
def port(ports: tuple[str, ...], as_json: bool, free: bool, end: bool, yes: bool) -> None:
    """Show what a port is for, and which program listens on it.

    \b
    webdemo port               everything that listens on this machine
    webdemo port 8000 smtp     two ports, by number and by name
    webdemo port 8000-8010     a range
    """
    if free:
        if ports or end:
            raise UsageError("--free takes no ports and no --stop.", remedy="Use: webdemo port --free")
        click.echo(report.free_port())
    elif end:
        stop_holder(ports, yes=yes)
    else:
        click.echo(report.answer(ports, as_json=as_json, width=terminal_width()))


def stop_holder(ports: tuple[str, ...], *, yes: bool) -> None:
    if len(ports) != 1 or not ports[0].isdecimal():
        raise UsageError("--stop takes one port number.", remedy="For example: webdemo port 8000 --stop")
    processes = stopping.find_stoppable(read_port(ports[0]))
    for process in processes:
        click.echo(f"{process.command} (pid {process.pid})")
    if not yes:
        click.confirm(f"End {'it' if len(processes) == 1 else 'them'}?", abort=True)
    for stopped in stopping.stop(processes):
        click.echo(stopped.describe())


@click.command()
@click.argument("url")
@click.option("-4", "only_ipv4", is_flag=True, help="Only IPv4 addresses.")
@click.option("-6", "only_ipv6", is_flag=True, help="Only IPv6 addresses.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.option("--head", is_flag=True, help="Send HEAD, which returns no body.")
@click.option("--no-follow", is_flag=True, help="Do not follow redirects.")
@click.option("--insecure", is_flag=True, help="Continue if a certificate is not trusted.")
@click.option(
    "--max-time",
    type=Seconds(0.1, 600),
    metavar="SECONDS",
    help="Limit for the whole trace.  [default: 10]",
)
def trace(
    url: str,
    only_ipv4: bool,
    only_ipv6: bool,
    as_json: bool,
    head: bool,
    no_follow: bool,
    insecure: bool,
    max_time: float | None,
) -> None:
    """Follow URL step by step to the process that answers.

    The steps are port, name, address, connection, TLS, request, response and process.

    \b
    webdemo trace 8000                         http://localhost:8000/
    webdemo trace https://localhost:8443/ --insecure
    webdemo trace smtp://127.0.0.1:2525
    """
    from webdemo import trace as tracing

    if only_ipv4 and only_ipv6:
        raise UsageError("-4 and -6 exclude each other.", remedy="Leave one of them out, or both.")
    if "://" not in url and not url.startswith("unix:"):
        url = f"http://localhost:{url}" if url.isdecimal() else f"http://{url}"
    followed = tracing.trace(
        url,
        family=4 if only_ipv4 else 6 if only_ipv6 else None,
        follow=not no_follow,
        timeout_seconds=max_time or tracing.DEFAULT_TIMEOUT_SECONDS,
        head=head,
        verify=not insecure,
    )
    if as_json:
        click.echo(tracing.to_json(followed))
    else:
        width = shutil.get_terminal_size().columns
        click.echo(tracing.render(followed, width=width, colour=sys.stdout.isatty()))
    click.get_current_context().exit(followed.exit_code)
