"""Reports a run: on the terminal, in a JSON file, and in docs/performance.md."""

from __future__ import annotations

import json
from pathlib import Path
from string import Template

from bench import limits
from bench.tables import Part

_FOLDER = Path(__file__).parent
RESULTS = _FOLDER / "results.json"
FORM = _FOLDER / "performance.md.in"
PAGE = _FOLDER.parent / "docs" / "performance.md"


def text(parts: list[Part]) -> str:
    """The tables of these parts, and the table of limits."""
    blocks = [f"## {part.name}\n\n{part.markdown()}" for part in parts]
    blocks.append("## limits\n\n" + limits.table(figures(parts)).markdown())
    return "\n".join(blocks)


def figures(parts: list[Part]) -> dict[str, float]:
    return {name: value for part in parts for name, value in part.figures.items()}


def save(parts: list[Part], results: Path = RESULTS, page: Path = PAGE) -> None:
    """Save these parts together with the other parts of earlier runs, and write the page."""
    kept = {part.name: part for part in read(results)} | {part.name: part for part in parts}
    results.write_text(json.dumps([part.as_json() for part in kept.values()], indent=1) + "\n")
    page.write_text(page_of(list(kept.values())))


def read(results: Path) -> list[Part]:
    if not results.exists():
        return []
    return [Part.from_json(data) for data in json.loads(results.read_text())]


def page_of(parts: list[Part]) -> str:
    """The page: the template's text with the tables filled in."""
    form = Template(FORM.read_text())
    found = {part.name: part.markdown().strip() for part in parts}
    fields = {
        name: found.get(name, "Not measured yet.") for name in form.get_identifiers() if name != "limits"
    }
    return form.substitute(fields, limits=limits.table(figures(parts)).markdown().strip())
