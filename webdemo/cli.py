"""The commands and their exit codes. sys.exit is called here and nowhere else."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from webdemo import config, servers
from webdemo.errors import UsageError, WebdemoError
from webdemo.net.bind import Bind

F = TypeVar("F", bound=Callable[..., Any])

EXAMPLES = """\b
Examples:
  python -m webdemo --port 8000                  the demo site
  python -m webdemo --app mysite:app --reload    your app, loaded anew when it changes
  python -m webdemo --directory dist             a folder
  python -m webdemo -b werkzeug://:8000 -b waitress://:8001 -b 'gunicorn://:8002?workers=2'
                                                 one app, three servers, side by side
\b
Exit codes: 0 drained, 1 the app cannot be loaded or every server gave up, 2 usage,
69 port unavailable, 77 port not permitted."""


class Commands(click.Group):
    """Shows our errors on two lines, without a traceback, and exits with their code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except WebdemoError as exc:
            fail(exc)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        name = args[0]
        if name not in self.commands:
            guess = servers.nearest(name, self.commands)
            hint = f"Did you mean {guess}?" if guess else f"These are: {', '.join(sorted(self.commands))}."
            if ":" in name or name.endswith(".py"):
                hint = f"To serve an app: webdemo --app {name}"
            elif Path(name).is_dir():
                hint = f"To serve a folder: webdemo --directory {name}"
            fail(UsageError(f"There is no command {name!r}.", remedy=hint))
        return super().resolve_command(ctx, args)


def fail(error: WebdemoError) -> NoReturn:
    from webdemo.run.printer import error_lines

    for line in error_lines(error, colour=sys.stderr.isatty()):
        click.echo(line, err=True)
    sys.exit(error.exit_code)


def settings_as_options(function: F) -> F:
    """A click option for each setting, with its words, its type and its default."""
    for name, f in reversed(config.FIELDS.items()):
        facts = f.metadata
        kind = str(f.type)
        text = facts["help"]
        if f.default not in ("", (), 0, False):
            default = "yes" if f.default is True else f"{f.default:g}" if kind == "float" else f.default
            text += f"  [default: {default}]"
        if facts["variable"]:
            text += f"  [environment: {facts['variable']}]"
        flag = "--" + name.replace("_", "-")
        if kind == "bool":
            option = click.option(f"{flag}/--no-{flag[2:]}", name, default=None, help=text)
        else:
            names = [n for n in (facts["flag"], flag) if n]
            option = click.option(
                *names,
                name,
                default=None,
                multiple=kind == "tuple[str, ...]",
                type=click.Choice(facts["choices"])
                if facts["choices"]
                else {"int": int, "float": float}.get(kind, str),
                metavar=facts["metavar"] or None,
                help=text,
            )
        function = option(function)
    return function


def print_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if not wanted or ctx.resilient_parsing:
        return
    import platform
    from importlib.metadata import version

    click.echo(f"webdemo {version('webdemo')}, Python {platform.python_version()}")
    for adapter in servers.installed():
        if adapter.distribution is not None:
            click.echo(f"{adapter.name} {adapter.version()}")
    ctx.exit()


@click.group(
    cls=Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help="Serve one WSGI app with any server, on any port, side by side.",
    epilog=EXAMPLES,
)
@settings_as_options
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=print_version,
    help="Show the versions of webdemo, Python and the servers installed.",
)  # fmt: skip
@click.pass_context
def main(ctx: click.Context, /, **flags: Any) -> None:
    ctx.obj = flags
    if ctx.invoked_subcommand is None:
        sys.exit(run(flags))


def run(flags: dict[str, Any]) -> int:
    """Open the sockets, then start the servers on them: a bind's way begins here."""
    from webdemo.net.listener import DEFAULT_PORT, listen_all, listen_default
    from webdemo.run.plan import services
    from webdemo.run.printer import Printer
    from webdemo.run.supervisor import Supervisor

    resolved = config.read(flags)
    wanted = config.binds(resolved, config.activated_binds())
    notes = [config.why_host(resolved)]
    colour = sys.stdout.isatty()
    if wanted:
        services(wanted, default_server=resolved.settings.server)  # refused before a socket is opened
        listeners = listen_all(wanted)
    else:
        default = Bind(host=config.default_host(resolved), port=DEFAULT_PORT)
        services([default], default_server=resolved.settings.server)
        bind, sockets, taken = listen_default(default)
        wanted, listeners = [bind], [(bind, sockets)]
        if taken is not None:
            notes.append(f"{taken.problem} Using {bind.port} instead.")
    printer = Printer(colour=colour, as_json=resolved.settings.log_format == "json")
    for note in filter(None, notes):
        printer.say(note)
    try:
        return Supervisor(config.make_plan(resolved, wanted, colour=colour), listeners, printer).run()
    finally:
        printer.close()


@main.command("config")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_obj
def show_config(flags: dict[str, Any], as_json: bool) -> None:
    """Show every setting and where its value came from."""
    rows = config.shown(config.read(flags))
    if as_json:
        click.echo(
            json.dumps({name: {"value": value, "source": source} for name, value, source in rows}, indent=2)
        )
    else:
        print_table([("SETTING", "VALUE", "FROM"), *rows])


@main.command("servers")
@click.argument("names", nargs=-1, metavar="[NAME ...]")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def show_servers(names: tuple[str, ...], as_json: bool) -> None:
    """List the servers: installed version or the command that installs it, abilities, options."""
    from webdemo.run.plan import describe

    facts = [describe(servers.find(name)) for name in names or servers.names()]
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return
    rows = [("SERVER", "VERSION", "TLS", "UNIX", "WORKERS", "HOW IT ANSWERS")]
    for fact in facts:
        rows.append(
            (
                fact["name"],
                fact["version"] or f"not installed: {fact['install']}",
                "yes" if fact["tls"] else "-",
                "yes" if fact["unix"] else "-",
                fact["workers"],
                fact["summary"],
            )
        )
    print_table(rows)
    for fact in facts if names else ():
        click.echo(f"\nOptions of {fact['name']}, as in {fact['name']}://:8000?NAME=VALUE")
        print_table(
            [(f"  {o['name']}", f"{o['type']}, default {o['default']!r}", o["help"]) for o in fact["options"]]
        )


@main.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def ps(as_json: bool) -> None:
    """List the webdemos that you run, with their servers and processes."""
    from webdemo.run.control import instances

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
                    age(time.time() - since) if since else "-",
                )
            )
    print_table(rows)


pid_option = click.option("--pid", type=int, metavar="PID", help="Which webdemo, where several run.")


@main.command()
@click.argument("port")
@click.argument("server")
@pid_option
def swap(port: str, server: str, pid: int | None) -> None:
    """Change the server behind PORT without refusing a connection.

    SERVER is a name, with options if need be: webdemo swap 8000 'gunicorn?workers=2'
    """
    command("swap", port, pid, server=server)


@main.command()
@click.argument("port", required=False)
@pid_option
def restart(port: str | None, pid: int | None) -> None:
    """Start the server behind PORT, or every one, anew, without refusing a connection."""
    command("restart", port, pid)


@main.command()
@click.argument("port", required=False)
@pid_option
def stop(port: str | None, pid: int | None) -> None:
    """Drain the server behind PORT and close the port, or stop the whole webdemo."""
    command("stop", port, pid)


@main.command()
@click.argument("port")
@pid_option
def start(port: str, pid: int | None) -> None:
    """Start a server again that was stopped or given up."""
    command("start", port, pid)


@main.command()
@pid_option
def reload(pid: int | None) -> None:
    """Load the app anew; if that fails, the old code goes on serving."""
    command("reload", None, pid)


def command(what: str, port: str | None, pid: int | None, **more: str) -> None:
    """Send a command to the webdemo that is meant, and wait until it is done."""
    from webdemo.run.control import instances

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
    found[0].call({"do": what, "port": port} | more)
    words = {"swap": "swapped", "restart": "restarted", "stop": "stopping" if port is None else "stopped",
             "start": "started", "reload": "reloaded"}  # fmt: skip
    where = f" {port}" if port else ""
    click.echo(
        f"webdemo {found[0].pid}{where}: {words[what]} after {(time.monotonic() - began) * 1000:.0f} ms."
    )


def print_table(rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def age(seconds: float) -> str:
    """How long, in its largest unit: 40 s, 12 min, 3 h, 5 d."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
