"""The commands and their exit codes. The rule: sys.exit is called by commands, never by other code.

`webdemo` without a command serves; every other command is in a module of this package that is imported
when it is called, so that serving starts fast.
"""

from __future__ import annotations

import errno
import importlib
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn, TypeVar, cast

import click

from webdemo import __version__, servers
from webdemo.cli.completing import BY_METAVAR
from webdemo.config.binds import (
    activated_binds,
    admin_bind,
    default_host,
    development_server_note,
    wanted_binds,
    why_host,
)
from webdemo.config.checks import check
from webdemo.config.planning import archive_note, make_plan
from webdemo.config.reloading import Rereading
from webdemo.config.settings import FIELDS
from webdemo.config.sources import Resolved, env_file_note, given_folder, read_settings, settings_note
from webdemo.errors import SystemRefusal, UsageError, WebdemoError
from webdemo.net.bind import Bind
from webdemo.portable import CAN_FORK
from webdemo.servers import registry
from webdemo.supervisor.plan import Plan, Service
from webdemo.text import table

F = TypeVar("F", bound=Callable[..., Any])

EXAMPLES = """\b
Examples:
  python -m webdemo --port 8000                  the demo site
  python -m webdemo --app mysite:app --reload    your app, reloaded when it changes
  python -m webdemo --directory dist             a folder
  python -m webdemo -b werkzeug://:8000 -b waitress://:8001 -b 'gunicorn://:8002?workers=2'
                                                 one app, three servers, side by side
\b
Exit codes: 0 drained, 1 the app cannot be loaded or every server gave up, 2 usage,
69 port unavailable, 77 port not permitted."""


WITHOUT_FORK = (
    "This system has no fork: one server runs, in this process. There is no supervisor, reload, swap, worker "
    "process, second server, dashboard or admin address."
)

# Each command, and its module in this package.
COMMANDS = {
    "assets": "assets",
    "compare": "compare",
    "compress": "files",
    "config": "about",
    "export": "export",
    "port": "ports",
    "ps": "running",
    "reload": "running",
    "restart": "running",
    "servers": "about",
    "start": "running",
    "stop": "running",
    "swap": "running",
    "trace": "ports",
}

# They need processes beside this one, or descriptors of folders.
_NOT_ON_WINDOWS = {"assets", "compare", "compress", "ps", "reload", "restart", "start", "stop", "swap"}


_SHORTAGES = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


class Seconds(click.FloatRange):
    """A time within a range, which NaN is not, although it is on neither side of it."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        seconds: float = super().convert(value, param, ctx)
        if math.isnan(seconds):
            self.fail(f"{value!r} is not a time.", param, ctx)
        return seconds


class Commands(click.Group):
    """Imports a command when it is called; prints an error on two lines and exits with its exit code."""

    def main(self, *args: Any, **kwargs: Any) -> NoReturn:
        try:
            sys.exit(super().main(*args, **kwargs | {"standalone_mode": False}) or 0)
        except WebdemoError as exc:
            fail(exc)
        except click.UsageError as exc:
            path = exc.ctx.command_path if exc.ctx else "webdemo"
            problem = " ".join(exc.format_message().split())  # click lists choices on lines
            fail(UsageError(problem, remedy=f"See: {path} --help"))
        except (click.Abort, KeyboardInterrupt):
            sys.exit(130)
        except BrokenPipeError:
            # The reader of our output (head, less) has quit.
            sys.stdout = None
            sys.exit(0)
        except OSError as exc:
            if exc.errno not in _SHORTAGES:
                raise
            fail(SystemRefusal("The command cannot be carried out", exc))

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not ctx.resilient_parsing:  # as for completion
            refuse_empty(args)
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name in COMMANDS if CAN_FORK or name not in _NOT_ON_WINDOWS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        if not CAN_FORK and cmd_name in _NOT_ON_WINDOWS:
            raise UsageError(
                f"webdemo {cmd_name} does not work on this system.",
                remedy="Use it on Linux or macOS; on Windows, in WSL or a container.",
            )
        module = importlib.import_module(f"{__name__}.{COMMANDS[cmd_name]}")
        return cast("click.Command", getattr(module, cmd_name))

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        name = args[0]
        if name not in COMMANDS:
            guess = servers.nearest(name, COMMANDS)
            remedy = f"Did you mean {guess}?" if guess else f"These are: {', '.join(COMMANDS)}."
            if ":" in name or name.endswith(".py"):
                remedy = f"To serve an app: webdemo --app {name}"
            elif Path(name).is_dir():
                remedy = f"To serve a folder: webdemo --directory {name}"
            raise UsageError(f"There is no command {name!r}.", remedy=remedy)
        return super().resolve_command(ctx, args)


def refuse_empty(args: Sequence[str]) -> None:
    """Raise UsageError for an empty argument: nothing takes one, and a variable of the shell may be unset."""
    for before, given in pairwise(("webdemo", *args)):
        option, equals, value = given.partition("=")
        is_option = given.startswith("--") and bool(equals)
        if not (value if is_option else given).strip():
            what = option if is_option else f"The argument after {before}"
            raise UsageError(f"{what} is empty.", remedy="Give it a value, or leave it out.")


def fail(error: WebdemoError) -> NoReturn:
    from webdemo.supervisor.printer import error_lines

    for line in error_lines(error, colour=sys.stderr.isatty()):
        click.echo(line, err=True)
    sys.exit(error.exit_code)


def settings_as_options(function: F) -> F:
    """Add a click option for each setting, with its help text, type and default."""
    for name, f in reversed(FIELDS.items()):
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
                shell_complete=BY_METAVAR.get(facts["metavar"]),
                **({"is_flag": False, "flag_value": facts["alone"]} if facts["alone"] else {}),
            )
        function = option(function)
    return function


def print_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        import platform

        click.echo(f"webdemo {__version__}, Python {platform.python_version()}")
        for adapter in registry.installed():
            if adapter.distribution:
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
    """Open the sockets, then run the supervisor on them, and return its exit code."""
    from webdemo.cli.dashboard import add_dashboard
    from webdemo.cli.opening import closed_at_the_end, open_browser, open_sockets
    from webdemo.supervisor.events import Event, Note, Started
    from webdemo.supervisor.printer import Printer

    resolved = read_settings(flags)
    activated = activated_binds()
    wanted = wanted_binds(resolved, activated)
    colour = sys.stdout.isatty()
    check(resolved, activated)  # before any socket is opened
    listeners, note = open_sockets(wanted, host=default_host(resolved))
    admin_at = admin_bind(resolved)
    admin, _ = open_sockets([admin_at], host=None, option="--admin") if admin_at else ([], None)
    with closed_at_the_end(listeners), closed_at_the_end(admin):
        binds = [bind for bind, _ in listeners]
        plan = make_plan(resolved, binds)
        rereading = Rereading(flags, resolved, given_folder(), binds, activated)
        plan, dashboard_url, dashboard_note = add_dashboard(resolved, plan, listeners)
        plan, notes = _with_certificates(plan)
        own = tuple(service for service in plan.services if not service.is_of_app)

        def reread() -> tuple[Plan, str]:
            read, note = rereading.read()
            read, _ = _with_certificates(read, plan.services)
            printer.as_json = rereading.resolved.settings.log_format == "json"
            return read._replace(services=(*read.services, *own)), note

        printer = Printer(colour=colour, as_json=resolved.settings.log_format == "json")
        told = [*_notes(resolved, binds), note, dashboard_note, *notes]
        for text in filter(None, [*told, *(f"Admin address: {bind}" for bind, _ in admin)]):
            printer(Note(text))

        def emit(event: Event) -> None:
            printer(event)
            if isinstance(event, Started):
                if dashboard_url:
                    printer(Note(f"Dashboard: {dashboard_url}"))
                if resolved.settings.open:
                    urls = [dashboard_url or "", *(url for row in event.rows for url in row.urls)]
                    open_browser(urls, lambda text: printer(Note(text)))

        if resolved.settings.in_process or not CAN_FORK:
            from webdemo.cli.in_process import serve

            printer.close()
            return serve(plan, listeners, opens=resolved.settings.open)
        from webdemo.supervisor.supervisor import Supervisor

        try:
            admin_sockets = admin[0][1] if admin else None
            return Supervisor(plan, listeners, emit, admin_sockets, reread).run()
        finally:
            printer.close()


def _notes(resolved: Resolved, binds: Sequence[Bind]) -> list[str | None]:
    from webdemo.cli.hints import app_note

    return [
        None if CAN_FORK else WITHOUT_FORK,
        settings_note(resolved),
        env_file_note(resolved),
        archive_note(resolved),
        app_note(resolved),
        why_host(resolved),
        development_server_note(resolved, binds),
    ]


def _with_certificates(plan: Plan, before: Iterable[Service] = ()) -> tuple[Plan, list[str]]:
    if not any(service.tls for service in plan.services):
        return plan, []
    from webdemo.supervisor.certificates import with_certificates

    return with_certificates(plan, before)


def print_table(rows: Sequence[tuple[str, ...]], *, key: int = 1) -> None:
    """Print a table whose rows are named by the first `key` columns."""
    for line in table(rows, width=terminal_width(), key=key):
        click.echo(line)


def terminal_width() -> int | None:
    """The columns of the terminal; None if the output goes elsewhere, such as to grep."""
    if not sys.stdout.isatty():
        return None
    import shutil  # slow to import, and needed for tables only

    return shutil.get_terminal_size().columns
