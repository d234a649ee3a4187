"""Generates the table of attacks in docs/security.md from the tests marked with `attack`.

Run it in the checkout's folder: python -m scripts.attacks
A mark has the form `@pytest.mark.attack("topic", "what is tried", "what happens")`. The tests are parsed, not
imported, so each of the three must be a string literal.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "security.md"
BEGIN = "<!-- Made by scripts/attacks.py from the tests. -->\n"
END = "<!-- End of what scripts/attacks.py makes. -->\n"


class Attack(NamedTuple):
    topic: str
    attack: str
    answer: str
    test: str  # file::name


def attacks() -> list[Attack]:
    """Every attack with which a test is marked, sorted by topic; raises ValueError for a malformed mark."""
    found = [attack for path in sorted(ROOT.glob("tests/**/test_*.py")) for attack in _marked(path)]
    return sorted(found, key=lambda attack: (attack.topic, attack.attack))


def _marked(path: Path) -> Iterator[Attack]:
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.FunctionDef):
            continue
        for mark in node.decorator_list:
            if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.attack":
                words = [
                    a.value for a in mark.args if isinstance(a, ast.Constant) and isinstance(a.value, str)
                ]
                if len(words) != 3 or len(mark.args) != 3 or mark.keywords:
                    raise ValueError(f"{path}:{mark.lineno}: an attack is three plain strings")
                yield Attack(words[0], words[1], words[2], f"{path.relative_to(ROOT)}::{node.name}")


def table() -> str:
    """The generated part of the page: for each topic a table of attack, answer and test."""
    parts = [BEGIN]
    topic = ""
    for attack in attacks():
        if attack.topic != topic:
            topic = attack.topic
            parts.append(f"\n### {topic}\n\n| attack | answer | test |\n|---|---|---|\n")
        cells = (attack.attack, attack.answer, f"`{attack.test}`")
        parts.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n")
    return "".join([*parts, "\n", END])


def page_with_table(page: str) -> str:
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + table() + after


if __name__ == "__main__":
    PAGE.write_text(page_with_table(PAGE.read_text()))
