"""Commands to running webdemos: `ps`, `swap`, `restart`, `stop`, `start`, `reload`."""

from __future__ import annotations

import json
import time

import click

from webdemo.cli import print_table
from webdemo.errors import UsageError
from webdemo.net.holders import format_age
from webdemo.supervisor.control import instances


@click.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON; with --watch a line each time.")
@click.option("--watch", is_flag=True, help="Show how the servers fare, once a second, until q or Ctrl-C.")
def ps(as_json: bool, watch: bool) -> None:
    """List the webdemos that you run, with their servers and processes."""
    if watch:
        from webdemo.cli import watching

        watching.watch(as_json=as_json)
        return
    found = [instance.call({"do": "status"}) for instance in instances()]
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    if not found:
        click.echo("No webdemo of yours is running.")
        return
    rows = [("WEBDEMO", "APP", "SERVER", "PORT", "STATE", "PROCESS", "WORKERS", "RESTARTS", "UP")]
    for status in found:
        for service in status["services"]:
            processes = service["processes"]
            since = min((p["since"] for p in processes), default=None)
            rows.append(
                (
                    str(status["pid"]),
                    status["target"],
                    service["server"],
                    " ".join(service["ports"]),
                    service["state"],
                    " ".join(str(p["pid"]) for p in processes) or "-",
                    str(service["workers"]),
                    str(service["restarts"]),
                    format_age(time.time() - since) if since else "-",
                )
            )
    print_table(rows)


pid_option = click.option("--pid", type=int, metavar="PID", help="Which webdemo, where several run.")


@click.command()
@click.argument("port")
@click.argument("server")
@pid_option
def swap(port: str, server: str, pid: int | None) -> None:
    """Change the server behind PORT without refusing a connection.

    SERVER is a name, with options if need be: webdemo swap 8000 'gunicorn?workers=2'
    """
    command("swap", port, pid, server=server)


@click.command()
@click.argument("port", required=False)
@pid_option
def restart(port: str | None, pid: int | None) -> None:
    """Start the server behind PORT, or every one, anew, without refusing a connection."""
    command("restart", port, pid)


@click.command()
@click.argument("port", required=False)
@pid_option
def stop(port: str | None, pid: int | None) -> None:
    """Drain the server behind PORT and close the port, or stop the whole webdemo."""
    command("stop", port, pid)


@click.command()
@click.argument("port")
@pid_option
def start(port: str, pid: int | None) -> None:
    """Start a server again that was stopped or given up."""
    command("start", port, pid)


@click.command()
@pid_option
def reload(pid: int | None) -> None:
    """Load the app anew; if that fails, the old code goes on serving."""
    command("reload", None, pid)


def command(what: str, port: str | None, pid: int | None, **more: str) -> None:
    """Send a command to the right webdemo and wait until it is done; raises UsageError if that is unclear."""
    found = [i for i in instances() if pid in (None, i.pid)]
    if port is not None and len(found) > 1:
        having = [i for i in found if any(port in s["ports"] for s in i.call({"do": "status"})["services"])]
        found = having or found
    if not found:
        raise UsageError("No webdemo of yours is running.", remedy="Start one: python -m webdemo")
    if len(found) > 1:
        raise UsageError(
            f"Several webdemos are running: {', '.join(str(i.pid) for i in found)}.",
            remedy=f"Say which: webdemo {what} --pid {found[0].pid}",
        )
    began = time.monotonic()
    found[0].call({"do": what} | ({} if port is None else {"port": port}) | more)
    words = {"swap": "swapped", "restart": "restarted", "stop": "stopping" if port is None else "stopped",
             "start": "started", "reload": "reloaded"}  # fmt: skip
    where = f" {port}" if port else ""
    click.echo(
        f"webdemo {found[0].pid}{where}: {words[what]} after {(time.monotonic() - began) * 1000:.0f} ms."
    )
