"""What the shell completes: servers, running ports, files and folders. Runs only when it asks for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import click

from webdemo.servers.registry import names

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

Completion = Callable[[click.Context, click.Parameter, str], "list[CompletionItem] | list[str]"]


def _one_of(find: Callable[[], Iterable[str]]) -> Completion:
    return lambda context, parameter, typed: [value for value in find() if value.startswith(typed)]


def _left_to_the_shell(kind: str) -> Completion:
    def complete(context: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        return [CompletionItem(typed, type=kind)]

    return complete


def _running_ports() -> Iterable[str]:
    """The ports of this user's running webdemos."""
    from webdemo.supervisor.control import statuses

    return (port for run in statuses()[0] for service in run.services for port in service.ports)


servers = _one_of(names)
ports = _one_of(_running_ports)
_files = _left_to_the_shell("file")

BY_METAVAR = {
    "BIND": _one_of(lambda: [f"{name}://" for name in names()]),
    "DIR": _left_to_the_shell("dir"),
    "FILE": _files,
    "PATH": _files,
    "SERVER": servers,
}
"""How the value of a setting is completed, by the name that help gives it."""
