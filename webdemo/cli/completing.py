"""What the shell completes: servers, running ports, files and folders. Runs only when it asks for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

Completion = Callable[[click.Context, click.Parameter, str], "list[CompletionItem]"]


def _starting_with(incomplete: str, values: Iterable[str]) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    return [CompletionItem(value) for value in values if value.startswith(incomplete)]


def servers(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from webdemo.servers import names

    return _starting_with(incomplete, names())


def binds(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from webdemo.servers import names

    return _starting_with(incomplete, (f"{name}://" for name in names()))


def ports(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The ports of this user's running webdemos."""
    from webdemo.supervisor.control import statuses

    found, _ = statuses()
    return _starting_with(
        incomplete, (port for run in found for service in run.services for port in service.ports)
    )


def files(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type="file")]


def folders(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type="dir")]


BY_METAVAR: dict[str, Completion] = {
    "BIND": binds,
    "DIR": folders,
    "FILE": files,
    "PATH": files,
    "SERVER": servers,
}
"""How the value of a setting is completed, by the name that help gives it."""
