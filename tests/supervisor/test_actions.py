"""The table of actions is what the CLI, the control socket and the printer offer and report."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from webdemo.cli import COMMANDS as CLI_COMMANDS
from webdemo.cli import main
from webdemo.supervisor import events
from webdemo.supervisor.actions import ACTIONS
from webdemo.supervisor.control_messages import COMMANDS
from webdemo.supervisor.printer import Printer

NOT_IN_CLI = {"kill"}


@pytest.fixture
def printer() -> Iterator[Printer]:
    with Path(os.devnull).open("w") as nowhere:
        made = Printer(nowhere)
        yield made
        made.close()


@pytest.mark.parametrize("name", ACTIONS)
def test_each_action_is_a_command_of_the_control_socket_by_its_name(name: str) -> None:
    kind = ACTIONS[name].command
    required = {field: "8000" for field in kind._fields if field not in kind._field_defaults}
    assert type(COMMANDS.decode(json.dumps({"do": name} | required).encode())) is kind


@pytest.mark.parametrize("name", sorted(ACTIONS.keys() - NOT_IN_CLI))
def test_the_cli_has_each_action_with_its_fields_as_arguments(name: str) -> None:
    assert name in CLI_COMMANDS
    command = main.get_command(click.Context(main), name)
    assert command is not None
    fields = ACTIONS[name].command._fields
    assert [p.name for p in command.params if isinstance(p, click.Argument)] == list(fields)
    shown = CliRunner().invoke(command, ["--help"]).output
    assert ACTIONS[name].help.split(".")[0][:60] in " ".join(shown.split())


@pytest.mark.parametrize("name", ["again", *ACTIONS])
def test_the_printer_has_a_line_for_each_action(printer: Printer, name: str) -> None:
    [line] = printer.lines(events.Up("waitress 8000", name, 0.08, (11,)))
    assert line.startswith("waitress 8000 ")
    assert line.endswith(" after 80 ms (pid 11).")
