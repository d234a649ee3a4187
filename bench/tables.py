"""Tables in Markdown, and the results of a part of the benchmarks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Table:
    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        """The table in Markdown: the first column left-aligned, the others right-aligned."""
        rule = ["---", *["---:"] * (len(self.header) - 1)]
        lines = (f"| {' | '.join(cells)} |" for cells in (self.header, rule, *self.rows))
        return f"**{self.title}**\n\n" + "\n".join(lines) + "\n"


@dataclass(slots=True)
class Part:
    """The results of one part: `figures` by name, for the limits; `notes` say what was left out, and why."""

    name: str
    tables: list[Table] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    machine: str = ""

    def markdown(self) -> str:
        blocks = [table.markdown() for table in self.tables]
        if self.notes:
            blocks.append("\n".join(f"- {note}" for note in self.notes) + "\n")
        if self.machine:
            blocks.append(f"{self.machine}\n")
        return "\n".join(blocks)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Part:
        return cls(**data | {"tables": [Table(**table) for table in data["tables"]]})


def ratio(value: float) -> str:
    """Format a ratio with about three digits: 0.38, 1.75, 17.4, 123."""
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 10 else f"{seconds:.1f} s"


def megabytes(count: float) -> str:
    return f"{count / 1e6:.0f} MB"


def column_or_dash(values: Iterable[float | None]) -> list[str]:
    return ["-" if value is None else ratio(value) for value in values]
