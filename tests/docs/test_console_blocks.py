"""What README and docs/index.md tell a user to type works, and prints what they show."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.running import Start

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text("utf-8")
APP = re.compile(r"as `mysite\.py`:\n\n```python\n(.*?)```", re.DOTALL)
# A start of webdemo, with the lines that it prints.
STARTS = re.findall(r"^\$ (python -m webdemo --app mysite:app .*)\n((?:[^$`\n].*\n)+)", README, re.MULTILINE)


def _pattern(line: str) -> str:
    """The line with any number, key or amount of white space."""
    words = re.sub(r"\b[0-9a-f]{36}\b|\d+(\.\d+)*", "N", line)
    return " ".join(words.split())


@pytest.mark.parametrize(("command", "printed"), STARTS, ids=["one", "several"])
def test_command_of_readme_prints_the_lines_shown(
    command: str, printed: str, running: Start, tmp_path: Path
) -> None:
    folder = tmp_path / "run1"
    folder.mkdir()
    folder.joinpath("mysite.py").write_text(APP.findall(README)[0])
    free_ports = re.sub(r"://:\d+", "://:0", command).replace("--dashboard", "--dashboard 0")
    if "://" not in command:
        free_ports += " --port 0"
    # The log is in the folder that --reload would watch. In its development mode Python prints warnings too.
    arguments = shlex.split(free_ports.replace(" --reload", ""))[3:]
    run = running(*arguments, environment={"PYTHONDEVMODE": None})
    lines = printed.splitlines()
    run.wait_for(re.escape(lines[-1].split()[0]))  # "Ready" or "Dashboard:"
    assert [_pattern(line) for line in run.log().splitlines()[: len(lines)]] == [*map(_pattern, lines)]


def test_app_is_the_same_in_readme_and_on_the_first_page() -> None:
    pages = [README, (ROOT / "docs" / "index.md").read_text("utf-8")]
    readme, index = (re.sub(r" *#.*", "", APP.findall(page)[0]) for page in pages)
    assert readme == index
