"""The pages of the docs' site that are made from the code; a hook of MkDocs (see mkdocs.yml).

Nothing of them is in the repository, so that they cannot be out of date.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, get_type_hints

import click
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

import webdemo
from webdemo import config, errors, servers
from webdemo.cli import main

ROOT = Path(__file__).resolve().parents[1]

# What the exit codes mean that are not those of errors.
OTHER_EXITS = {0: "drained: every request in flight was finished", 130: "a command was interrupted"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made; MkDocs calls this once for each build."""
    for path, make in PAGES.items():
        files.append(File.generated(config, path, content=make()))
    return files


def settings() -> str:
    """Every setting: its flag, its key in a file, its variable, its default."""
    parts = [
        "# Settings\n",
        "The command line overrides the environment, and the environment overrides the file: "
        "`webdemo.toml`, or else `[tool.webdemo]` of `pyproject.toml`, in the current folder. "
        "`webdemo config` shows each setting and where it came from. "
        "In a file, `-` and `_` in a name mean the same.\n",
    ]
    for name, field in config.FIELDS.items():
        facts = field.metadata
        key = name.replace("_", "-")
        flags = [flag for flag in (facts["flag"], f"--{key}") if flag]
        if field.type == "bool":
            flags.append(f"--no-{key}")
        variables = [v for v in (facts["variable"], config.PREFIX + name.upper()) if v]
        parts += [
            f"## {key}\n",
            f"{_escaped(facts['help'])}\n",
            f"- command line: {_codes(flags)}" + (f" `{facts['metavar']}`" if facts["metavar"] else ""),
            f"- environment: {_codes(variables)}",
            *([f"- choices: {_codes(facts['choices'])}"] if facts["choices"] else []),
            f"- default: {_code(_toml(field.default)) if field.default not in ('', ()) else 'none'}\n",
        ]
    return "\n".join(parts)


def commands() -> str:
    """The help of webdemo and of each of its commands."""
    parts = ["# Commands\n"]
    with click.Context(main, info_name="webdemo", terminal_width=100, max_content_width=100) as parent:
        parts += ["## webdemo\n", _fenced(main.get_help(parent))]
        for name in main.list_commands(parent):
            command = main.get_command(parent, name)
            assert command
            with click.Context(command, info_name=name, parent=parent) as ctx:
                parts += [f"## {name}\n", _fenced(command.get_help(ctx))]
    return "\n".join(parts)


def servers_page() -> str:
    """What each server declares that it can do, and its options."""
    adapters = [servers.find(name) for name in servers.built_in()]
    declared = [name for name, kind in get_type_hints(servers.Adapter).items() if kind is bool]
    parts = [
        "# What the servers declare\n",
        "Each server's adapter says what it can do, and a command that asks for something else is refused. "
        "[The servers](../servers.md) says which one to choose.\n",
        _table(
            ("server", *(name.replace("_", " ") for name in declared)),
            [(_code(a.name), *("yes" if getattr(a, name) else "no" for name in declared)) for a in adapters],
        ),
        "## Options\n",
        "As in `waitress://:8000?threads=8`.\n",
    ]
    for adapter in adapters:
        parts += [f"### {adapter.name}\n", f"{_escaped(_sentence(adapter.summary))}\n"]
        rows = [
            (_code(f.name), _code(f.type), _code(f"{f.default}"), _escaped(f.metadata["help"]))
            for f in dataclasses.fields(adapter.options)
        ]
        parts.append(_table(("option", "type", "default", ""), rows) if rows else "It has no options.\n")
    return "\n".join(parts)


def errors_page() -> str:
    """Every error by its exit code, in the words of the head of webdemo/errors.py."""
    words = dict(re.findall(r"^ +(\w+) +(?:\d+ +)?(\S.*)$", errors.__doc__ or "", flags=re.MULTILINE))
    classes = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, errors.WebdemoError)]
    codes = sorted({c.exit_code for c in classes} | OTHER_EXITS.keys())
    parts = [
        "# Errors and exit codes\n",
        "An error is two lines: what is wrong, and what to do about it.\n",
    ]
    for code in codes:
        parts.append(f"## {code}\n")
        if code in OTHER_EXITS:
            parts.append(f"{_sentence(OTHER_EXITS[code])}\n")
        rows = [
            (_code(c.__name__), _escaped(words[c.__name__]))
            for c in classes
            if c.exit_code == code and c is not errors.WebdemoError
        ]
        if rows:
            parts.append(_table(("error", "when"), rows))
    return "\n".join(parts)


def api() -> str:
    """What `webdemo` exports, for mkdocstrings to fill in; `app` is the demo site."""
    exported = [getattr(webdemo, name) for name in webdemo.__all__ if name != "app"]
    return "# Python API\n\nWhat `from webdemo import ...` gives.\n\n" + _documented(exported)


def contract() -> str:
    """What a server's plug-in uses, for mkdocstrings to fill in."""
    parts = (
        servers.Adapter,
        servers.Job,
        servers.Stopping,
        servers.Certificate,
        servers.Siblings,
        servers.option,
    )
    return (
        f"# The contract of plug-ins, version {servers.CONTRACT}\n\n"
        "What a [plug-in](../servers.md#add-a-server-in-one-small-file) imports from `webdemo.servers`.\n\n"
        + _documented(parts)
    )


def _documented(values: Iterable[Any]) -> str:
    return "\n".join(f"::: {value.__module__}.{value.__qualname__}\n" for value in values)


def _escaped(text: str) -> str:
    """Text for Markdown, in a cell of a table too."""
    return re.sub(r"([\\`*_|<\[\]])", r"\\\1", text)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"


def _code(text: object) -> str:
    return f"`{text}`".replace("|", "\\|")


def _codes(texts: Iterable[str]) -> str:
    return ", ".join(map(_code, texts))


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return (
        f"{list(value)}"
        if isinstance(value, tuple)
        else f'"{value}"'
        if isinstance(value, str)
        else f"{value}"
    )


def _fenced(text: str) -> str:
    return f"```text\n{text}\n```\n"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _file(name: str) -> Callable[[], str]:
    """A page of the repository's top, with its links to docs/ as they are on the site."""
    return lambda: (ROOT / name).read_text("utf-8").replace("](docs/", "](")


PAGES: dict[str, Callable[[], str]] = {
    "reference/settings.md": settings,
    "reference/commands.md": commands,
    "reference/servers.md": servers_page,
    "reference/errors.md": errors_page,
    "reference/api.md": api,
    "reference/plug-ins.md": contract,
    "changelog.md": _file("CHANGELOG.md"),
    "contributing.md": _file("CONTRIBUTING.md"),
}
