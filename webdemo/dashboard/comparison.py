"""Compares responses side by side: what is equal, what differs, and why if known.

Runs in the dashboard's process. The rule: a cell is marked when it differs from the most frequent value;
if two values are equally frequent, all are marked. JSON is compared value by value, text line by line,
anything else by length and digest.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from webdemo.dashboard.known import Reason, reason_of
from webdemo.dashboard.twin import Answer

ABSENT = "–"
LONGEST_CELL = 400
MOST_LINES = 400
_LONGEST_RUN = 3  # of equal lines; longer runs are shown as a count
_LONGEST_LINE = 400
_PLAIN = ("str", "int", "bool", "tuple", "dict")


@dataclass(frozen=True, slots=True)
class Cell:
    text: str
    marked: bool


@dataclass(frozen=True, slots=True)
class Row:
    """One aspect of the responses, such as a header, and its value in each."""

    name: str
    cells: tuple[Cell, ...]
    reason: Reason | None

    @property
    def differs(self) -> bool:
        return any(cell.marked for cell in self.cells)

    @property
    def is_telling(self) -> bool:
        """Whether it differs in a way that says something about the servers (unlike clocks and ids)."""
        return self.differs and not (self.reason and self.reason.by_nature)


@dataclass(frozen=True, slots=True)
class Line:
    text: str
    marked: bool


@dataclass(frozen=True, slots=True)
class Comparison:
    """`answers` are the responses that arrived, `silent` the failures; cells and texts follow `answers`."""

    answers: tuple[Answer, ...]
    silent: tuple[Answer, ...]
    status: Row
    headers: tuple[Row, ...]  # the reason phrase comes first
    values: tuple[Row, ...] = ()  # of JSON bodies
    texts: tuple[tuple[Line, ...], ...] = ()  # the lines of text bodies, a tuple for each response
    body: str | None = None  # the body, if all have the same

    @property
    def rows(self) -> tuple[Row, ...]:
        return (self.status, *self.headers, *self.values)

    @property
    def telling(self) -> list[Row]:
        return [row for row in self.rows if row.is_telling]

    @property
    def by_nature(self) -> list[Row]:
        return [row for row in self.rows if row.differs and not row.is_telling]

    @property
    def same(self) -> list[Row]:
        return [row for row in self.rows if not row.differs]

    @property
    def lines(self) -> int:
        """The number of differing text lines in the response that has the most of them."""
        return max((sum(line.marked for line in text) for text in self.texts), default=0)


def compare(answers: Sequence[Answer]) -> Comparison:
    came = tuple(answer for answer in answers if answer.problem is None)
    status = _row("status", "Status", [str(answer.status) for answer in came])
    reason = _row("status", "Reason", [answer.reason or ABSENT for answer in came])
    silent = tuple(answer for answer in answers if answer.problem is not None)
    headers = (reason, *_headers(came))
    bodies = [answer.body for answer in came]
    if len(set(bodies)) <= 1:
        return Comparison(came, silent, status, headers, body=_text(bodies[0])[:20_000] if bodies else "")
    documents = [_document(body) for body in bodies]
    if all(isinstance(document, dict | list) for document in documents):
        return Comparison(came, silent, status, headers, values=tuple(_values(documents)))
    return Comparison(came, silent, status, headers, texts=_marked_lines([_text(body) for body in bodies]))


def _row(kind: str, name: str, texts: Sequence[str]) -> Row:
    counts = Counter(texts)
    most = counts.most_common(2)
    # If two values are equally frequent, neither is the odd one out.
    usual = most[0][0] if most and (len(most) == 1 or most[0][1] > most[1][1]) else None
    cells = tuple(Cell(_short(text), len(counts) > 1 and text != usual) for text in texts)
    return Row(name, cells, reason_of(f"{kind} {name}") if len(counts) > 1 else None)


def _headers(answers: Sequence[Answer]) -> Iterator[Row]:
    tables = []
    for answer in answers:
        table: dict[str, list[str]] = {}
        for name, value in answer.headers:
            table.setdefault(name.title(), []).append(value)
        tables.append(table)
    names = dict.fromkeys(name for table in tables for name in table)
    for name in sorted(names):
        yield _row("header", name, ["\n".join(table.get(name, [ABSENT])) for table in tables])


# -- bodies ---------------------------------------------------------------------------------------


def _text(body: bytes) -> str:
    """The body as text; for binary data its length and digest."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        text = ""
    if body and (not text or "\0" in text):
        return f"{len(body)} bytes, SHA-256 {hashlib.sha256(body).hexdigest()}"
    return text


def _document(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _values(documents: Sequence[Any]) -> Iterator[Row]:
    flat = [dict(_flatten(document, "")) for document in documents]
    for name in dict.fromkeys(name for values in flat for name in values):
        yield _row("body", name, [values.get(name, ABSENT) for values in flat])


def _flatten(value: Any, name: str) -> Iterator[tuple[str, str]]:
    """Yield (dotted name, value) for each value of a JSON document; lists of named items count as objects."""
    if isinstance(value, dict) and set(value) == {"type", "value"}:
        # A variable at /inspect: of an object, only the type counts.
        value = value["value"] if value["type"] in _PLAIN else f"<{value['type']}>"
    items = _named(value)
    if items is None:
        yield name, value if isinstance(value, str) else json.dumps(value)
    elif not items:
        yield name, "[]" if isinstance(value, list) else "{}"
    else:
        for key, item in items:
            yield from _flatten(item, f"{name}.{key}" if name else str(key))


def _named(value: Any) -> list[tuple[Any, Any]] | None:
    """The items of a container with their names; None for a scalar."""
    if isinstance(value, dict):
        return list(value.items())
    if not isinstance(value, list):
        return None
    if value and all(isinstance(item, dict) and isinstance(item.get("key"), str) for item in value):
        return [(item["key"], {k: v for k, v in item.items() if k != "key"}) for item in value]
    names = [item[0] if isinstance(item, list) and len(item) == 2 else None for item in value]
    if all(isinstance(one, str) for one in names) and len(set(names)) == len(names):
        return [(item[0], item[1]) for item in value]
    return list(enumerate(value))


def _marked_lines(texts: Sequence[str]) -> tuple[tuple[Line, ...], ...]:
    """The lines of each text; lines that not all texts have are marked, long runs of others are folded."""
    split = [text.splitlines() for text in texts]
    common = Counter(split[0])
    for lines in split[1:]:
        common &= Counter(lines)
    return tuple(tuple(_shown(lines, Counter(common))) for lines in split)


def _shown(lines: Sequence[str], common: Counter[str]) -> Iterator[Line]:
    run: list[str] = []
    for line in lines[:MOST_LINES]:
        if common[line] > 0:
            common[line] -= 1
            run.append(line)
            continue
        yield from _folded(run)
        run = []
        yield Line(line[:_LONGEST_LINE], marked=True)
    yield from _folded(run)
    if len(lines) > MOST_LINES:
        yield Line(f"… {len(lines) - MOST_LINES} more lines", marked=False)


def _folded(run: Sequence[str]) -> Iterator[Line]:
    if len(run) > _LONGEST_RUN:
        yield Line(f"… {len(run)} lines that all have", marked=False)
    else:
        for line in run:
            yield Line(line[:_LONGEST_LINE], marked=False)


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_CELL else f"{text[:LONGEST_CELL]} … ({len(text)} characters)"
