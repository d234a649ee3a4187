"""`webdemo config` and `webdemo servers`: the settings, and the servers that can be used."""

from __future__ import annotations

import json
from typing import Any

import click

from webdemo.cli import completing, print_table
from webdemo.config.checks import check
from webdemo.config.sources import read_settings, setting_rows
from webdemo.servers import PROMISES, registry
from webdemo.supervisor.plan import describe


@click.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_obj
def config(flags: dict[str, Any], as_json: bool) -> None:
    """Show every setting and its source, and check them all.

    What a start would refuse is refused in the same words.
    """
    resolved = read_settings(flags)
    rows = setting_rows(resolved)
    if as_json:
        click.echo(
            json.dumps({name: {"value": value, "source": source} for name, value, source in rows}, indent=2)
        )
    else:
        print_table([("SETTING", "VALUE", "FROM"), *rows])
    check(resolved)


_ABILITIES = ("tls", "unix", "sockets", "workers", "swap", *PROMISES)


def _abilities(fact: dict[str, Any]) -> tuple[str, ...]:
    """A row of the table: whether a server has each of _ABILITIES; "partly": with the exceptions listed."""

    def cell(has: bool | tuple[str, ...]) -> str:
        return "partly" if isinstance(has, tuple) else "yes" if has else "-"

    sockets = "several" if fact["several_sockets"] else "one"
    kept = map(cell, fact["keeps"].values())
    return (
        f"  {fact['name']}",
        *(cell(fact["tls"]), cell(fact["unix"]), sockets, fact["workers"], cell(fact["swap"]), *kept),
    )


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME ...]", shell_complete=completing.servers)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def servers(names: tuple[str, ...], as_json: bool) -> None:
    """List the servers, and what each supports and keeps.

    Each has its installed version, or how to install it; those that are named have their options, too.
    """
    facts = [describe(adapter) for adapter in (map(registry.find, names) if names else registry.known())]
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return
    rows = [("SERVER", "VERSION", "PROTOCOL", "HOW IT ANSWERS")]
    for fact in facts:
        version = fact["version"] or f"not installed: {fact['install']}"
        rows.append((fact["name"], version, fact["protocol"], fact["summary"]))
    print_table(rows)
    click.echo("\nWhat each server supports and keeps")
    print_table([("  SERVER", *map(str.upper, _ABILITIES)), *(_abilities(fact) for fact in facts)])
    lapses = [(f"  {fact['name']}", lapse) for fact in facts for lapse in fact["lapses"]]
    if lapses:
        click.echo("\nWhat a server does not keep")
        print_table(lapses)
    for fact in facts if names else ():
        click.echo(f"\nOptions of {fact['name']}, as in {fact['name']}://:8000?NAME=VALUE")
        print_table(
            [(f"  {o['name']}", f"{o['type']}, default {o['default']!r}", o["help"]) for o in fact["options"]]
        )
