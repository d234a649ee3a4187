"""Generate the reference pages of the docs site from the code; a MkDocs hook (see mkdocs.yml).

The pages are not in the repository, so they cannot be out of date.
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
from webdemo import errors, servers
from webdemo.cli import main
from webdemo.config.settings import FIELDS
from webdemo.config.sources import PREFIX
from webdemo.servers import registry
from webdemo.supervisor.clients import MEETINGS

ROOT = Path(__file__).resolve().parents[1]

# Exit codes that belong to no error class.
OTHER_EXITS = {0: "drained: every request in flight was finished", 130: "a command was interrupted"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages; MkDocs calls this once per build."""
    for path, make in PAGES.items():
        files.append(File.generated(config, path, content=make()))
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """Turn a link to a test, which the site does not have, into its name; MkDocs calls this for each page."""
    return re.sub(r'\[([^]]+)\]\(\.\./(tests/\S+) "(\w+)"\)', r'<abbr title="\2::\3">\1</abbr>', markdown)


def on_page_content(html: str, **_: object) -> str:
    """Frame tables, so that they scroll by keyboard, and say where code wraps; called for each page.

    A frame has the name of the heading above it.
    """
    heading = "Table"

    def framed(found: re.Match[str]) -> str:
        nonlocal heading
        if found["heading"]:
            heading = re.sub(r"<a .*?</a>|<[^>]+>", "", found["heading"])
            return found[0]
        label = heading.replace('"', "&quot;")
        return f'<div class="wide" tabindex="0" role="region" aria-label="{label}">{found[0]}</div>'

    html = re.sub(r"(?<!<pre>)<code>(?=[^<]{1,28}</code>)", '<code class="short">', html)
    html = re.sub(r"(?<=<code>)tests/[^<]+", lambda test: re.sub(r"(::|[/_])", r"\1<wbr>", test[0]), html)
    return re.sub(r"<h\d[^>]*>(?P<heading>.*?)</h\d>|<table>.*?</table>", framed, html, flags=re.DOTALL)


def on_post_page(output: str, **_: object) -> str:
    """Name the theme's search dialog for screen readers; MkDocs calls this for each page."""
    dialog = 'data-md-component="search" role="dialog"'
    return output.replace(dialog, f'{dialog} aria-label="Search"')


def on_post_template(output_content: str, **_: object) -> str:
    """The same for 404.html, which is no page of docs/."""
    return on_post_page(output_content)


def settings() -> str:
    """Every setting: flag, file key, environment variable and default."""
    parts = [
        "# Settings\n",
        "The command line overrides the environment, and the environment overrides the file: "
        "`webdemo.toml`, or else `[tool.webdemo]` of `pyproject.toml`, in the current folder. "
        "`webdemo config` shows each setting and where it came from. "
        "In a file, `-` and `_` in a name mean the same.\n",
    ]
    for name, field in FIELDS.items():
        facts = field.metadata
        key = name.replace("_", "-")
        flags = [flag for flag in (facts["flag"], f"--{key}") if flag]
        if field.type == "bool":
            flags.append(f"--no-{key}")
        variables = [v for v in (facts["variable"], PREFIX + name.upper()) if v]
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
    """The help text of webdemo and of each command."""
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
    """The capabilities that each server declares, and its options."""
    adapters = [registry.find(name) for name in registry.built_in()]
    declared = [name for name, kind in get_type_hints(servers.Adapter).items() if kind is bool]
    parts = [
        "# Server capabilities\n",
        "Each server's adapter declares what it supports; a command that needs anything else is refused. "
        "[Servers](../servers.md) helps you to choose one.\n",
        _table(
            ("server", *(name.replace("_", " ") for name in declared)),
            [(_code(a.name), *("yes" if getattr(a, name) else "no" for name in declared)) for a in adapters],
        ),
        "## Options\n",
        "For example `waitress://:8000?threads=8`.\n",
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
    """Every error by exit code, as described in the docstring of webdemo/errors.py."""
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
    """What `webdemo` exports, rendered by mkdocstrings; `app` is the demo site."""
    exported = [getattr(webdemo, name) for name in webdemo.__all__ if name != "app"]
    return "# Python API\n\nEverything that `webdemo` exports.\n\n" + _documented(exported)


def contract() -> str:
    """What a server plug-in uses, rendered by mkdocstrings."""
    parts = (
        servers.Adapter,
        servers.Job,
        servers.Stopping,
        servers.Certificate,
        servers.Siblings,
        servers.option,
    )
    return (
        f"# The plug-in contract, version {servers.CONTRACT}\n\n"
        "What a [plug-in](../servers.md#add-a-server-in-one-small-file) imports from `webdemo.servers`.\n\n"
        + _documented(parts)
    )


def _documented(values: Iterable[Any]) -> str:
    return "\n".join(f"::: {value.__module__}.{value.__qualname__}\n" for value in values)


def _escaped(text: str) -> str:
    """Escape text for Markdown, table cells included."""
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
    """A page from the top of the repository, with its links to docs/ rewritten for the site."""
    return lambda: (ROOT / name).read_text("utf-8").replace("](docs/", "](")


def supervisor_page() -> str:
    """What a client meets in each state of a service."""
    rows = [f"| {row.situation} | {row.meets} | {row.until} |" for row in MEETINGS]
    return "\n".join(
        [
            "# What a client meets\n",
            "While servers are started, replaced and stopped. *waits*: in the accept queue of the socket. "
            "*503*: from the supervisor, with `Retry-After`; where it cannot say that (TLS, mail, FTP), the "
            "connection is refused instead.\n",
            "| situation | a client meets | until |",
            "|---|---|---|",
            *rows,
            "",
        ]
    )


PAGES: dict[str, Callable[[], str]] = {
    "reference/settings.md": settings,
    "reference/commands.md": commands,
    "reference/servers.md": servers_page,
    "reference/errors.md": errors_page,
    "reference/api.md": api,
    "reference/plug-ins.md": contract,
    "reference/supervisor.md": supervisor_page,
    "changelog.md": _file("CHANGELOG.md"),
    "contributing.md": _file("CONTRIBUTING.md"),
}
