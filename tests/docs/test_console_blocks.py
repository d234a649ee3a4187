"""What README and the pages of docs/ tell a user to type works, and prints what they show.

The console blocks of a page, and the commands in its tables, are typed from top to bottom, in a folder
with README's `mysite.py` and a folder `dist`. Servers that a command starts run until the next ones start.
A block that is not run says why, in a comment above it: <!-- not run: ... -->. `...` stands for any lines.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from tests import running
from tests.running import Running

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^(?P=indent)```$", re.M | re.S)
NOT_RUN = re.compile(r"<!-- not run: \S.*-->\s*\Z")
APP = re.compile(r"as `mysite\.py`:\n\n```python\n(.*?)```", re.DOTALL)
# A row of a table of commands. A comparison takes a minute; tests/compare/ has its own tests.
ROW = re.compile(r"^\| `(webdemo (?!compare)[^`]+)` \|.*$", re.MULTILINE)
COMMAND = re.compile(r"^\$ (?P<text>.+)\n(?P<printed>(?:(?!\$ ).*\n)*)", re.MULTILINE)
START = re.compile(r"python -m webdemo($| -)")
PORT = re.compile(r"(?<=:)\d{4}\b|(?<=--port )\d{4}\b")
COMMENT = re.compile(r" +# .*")
NAMES = {path.name: path for path in PAGES}


class Block(NamedTuple):
    language: str
    text: str
    is_run: bool


class Command(NamedTuple):
    text: str
    printed: list[str]

    @property
    def starts_servers(self) -> bool:
        is_ready = any(line.startswith("Ready in ") for line in self.printed)
        return START.match(self.text) is not None and (is_ready or not self.printed)


def blocks(path: Path) -> Iterator[Block]:
    page = ROW.sub(r"```console\n$ \1\n```", path.read_text("utf-8"))
    for found in FENCE.finditer(page):
        is_run = not NOT_RUN.search(page[: found.start()])
        yield Block(found["language"], textwrap.dedent(found["text"]), is_run)


def commands(path: Path) -> list[Command]:
    """The commands of a page that are to be run, in order."""
    return [
        Command(COMMENT.sub("", found["text"]), found["printed"].splitlines())
        for block in blocks(path)
        if block.language == "console" and block.is_run
        for found in COMMAND.finditer(block.text)
    ]


def pattern(line: str) -> str:
    """The line with any number, key, duration, bar or amount of white space."""
    line = re.sub(r"\b[0-9a-f]{36}\b|\d+(\.\d+)*", "N", line)
    line = re.sub(r"N (µs|ms|s|min|h|d)\b", "TIME", re.sub(r"N [kM]?B(/s)?\b", "SIZE", line))
    return " ".join(re.sub("[▏▎▍▌▋▊▉█]+", "", line).split())


def is_shown(printed: str, shown: list[str]) -> bool:
    """Whether the text begins with the lines that the page shows."""
    lines = "\n".join(pattern(line) for line in printed.splitlines())
    expected = [".*" if line == "..." else re.escape(pattern(line)) for line in shown]
    return re.match("\n".join(expected), lines, re.DOTALL) is not None


class Terminal:
    """Types the commands of a page. Ports that the page names are replaced by free ones."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports: dict[str, str] = {}
        self.servers: Running | None = None
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.environment = {"XDG_RUNTIME_DIR": str(folder.parent), "PATH": path, "PYTHONDEVMODE": None}

    def type(self, command: Command) -> str:
        return self._start(command) if command.starts_servers else self._run(command)

    def close(self) -> None:
        if self.servers is not None:
            try:
                assert self.servers.terminate() == 0, self.servers.log_so_far()
            finally:
                self.servers.clean_up()

    def _start(self, command: Command) -> str:
        self.close()
        given = PORT.findall(command.text)
        arguments = shlex.split(PORT.sub("0", command.text.replace(" --reload", "")))[3:]
        if not given:
            given = ["8000"]
            arguments += ["--port", "0"]
        if "--dashboard" in arguments:
            arguments.insert(arguments.index("--dashboard") + 1, "0")
        environment = self.environment | {"WEBDEMO_GRACE": "60"}  # several servers, on a busy machine
        self.servers = running.start(self.folder, *arguments, environment=environment)
        taken = [re.findall(r":(\d+)/?$", row.urls[0]) for row in self.servers.rows()]
        self.ports = dict(zip(given, [port for found in taken for port in found], strict=True))
        if command.printed:
            self.servers.wait_for("^" + re.escape(command.printed[-1].split()[0]))
        return self.servers.log_so_far()

    def _run(self, command: Command) -> str:
        text = re.sub(r"\b\d{4}\b", lambda found: self.ports.get(found[0], found[0]), command.text)
        done = subprocess.run(
            ["sh", "-c", text],
            cwd=self.folder,
            env={k: v for k, v in (os.environ | self.environment).items() if v is not None},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        printed = done.stdout + done.stderr
        if not command.printed:
            assert done.returncode == 0, printed
        return printed


@pytest.mark.process
@pytest.mark.parametrize("name", [path.name for path in PAGES if commands(path)])
def test_commands_print_what_the_page_shows(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "site"
    (folder / "dist").mkdir(parents=True)
    (folder / "dist" / "app.js").write_text("let a = 1;\n" * 500)
    (folder / "mysite.py").write_text(APP.findall(NAMES["README.md"].read_text("utf-8"))[0])
    with closing(Terminal(folder)) as terminal:
        for command in commands(NAMES[name]):
            printed = terminal.type(command)
            assert is_shown(printed, command.printed), f"$ {command.text}\n{printed}"


PARSERS: dict[str, Callable[[str], object]] = {
    "console": COMMAND.fullmatch,
    "json": json.loads,
    "python": ast.parse,
    "toml": tomllib.loads,
}


@pytest.mark.parametrize("path", PAGES, ids=NAMES)
def test_every_block_names_its_language_and_is_valid(path: Path) -> None:
    for block in blocks(path):
        assert block.language, f"a block without a language:\n{block.text}"
        assert block.language != "console" or block.text.startswith("$ "), block.text
        if parse := PARSERS.get(block.language):
            parse(block.text)


def test_app_is_the_same_in_readme_and_on_the_first_page() -> None:
    pages = [NAMES[name].read_text("utf-8") for name in ("README.md", "index.md")]
    readme, index = (re.sub(r" *#.*", "", APP.findall(page)[0]) for page in pages)
    assert readme == index
