"""What a server does not promise is declared by its adapter, and shown by docs and command alike."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from webdemo.cli.about import servers as command
from webdemo.servers import registry

DECLARED = [(name, lapse) for name in registry.built_in() for lapse in registry.find(name).lapses]


def test_the_docs_have_what_is_declared() -> None:
    text = Path(__file__).parents[2].joinpath("docs/servers.md").read_text()
    [section] = re.findall(r"## What a server does not keep\n(.*?)\n## ", text, re.S)
    assert sorted(re.findall(r"^\| `(\w+)` \| (.*) \|$", section, re.M)) == sorted(DECLARED)


def test_the_docs_have_the_table_of_what_each_server_supports_and_keeps() -> None:
    text = Path(__file__).parents[2].joinpath("docs/servers.md").read_text()
    [section] = re.findall(r"## What each server supports and keeps\n(.*?)\n## ", text, re.S)
    shown = [
        [cell.strip(" `") for cell in row.split("|")[1:-1]] for row in re.findall(r"^\|.*", section, re.M)
    ]
    output = CliRunner().invoke(command, [*registry.built_in(), "paste.waitress"]).output
    table = output.partition("What each server supports and keeps\n")[2].partition("\n\n")[0]
    assert [[cell.lower() for cell in row] for row in shown[:1]] == [table.splitlines()[0].lower().split()]
    assert shown[2:] == [row.split() for row in table.splitlines()[1:]]


def test_the_command_lists_what_is_declared() -> None:
    told = CliRunner().invoke(command, []).output.partition("What a server does not keep\n")[2]
    assert [tuple(line.split(maxsplit=1)) for line in told.splitlines()] == DECLARED
    facts = json.loads(CliRunner().invoke(command, ["--json", "hypercorn"]).output)
    assert facts[0]["lapses"] == list(registry.find("hypercorn").lapses)


@pytest.mark.parametrize("name", ["werkzeug", "waitress", "gunicorn"])
def test_what_is_promised_of_every_server_is_kept_by_the_first_tier(name: str) -> None:
    adapter = registry.find(name)
    assert (adapter.several_sockets, adapter.unix, adapter.opens_own_sockets) == (True, True, False)
    assert (adapter.drain, adapter.spread, adapter.framing, adapter.fields) == (True, True, True, True)
    assert adapter.bounds
