"""The difference engine: what is equal in the responses of several servers, what differs, and why if known.

The rule: a value is marked when it is not the majority's. If no value is that of more than half, all are
marked. JSON is compared value by value, text line by line, anything else by length and digest.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import operator
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

from webdemo.compare.behaviour.known import Reason, reason_of
from webdemo.compare.behaviour.observation import Observation

T = TypeVar("T")

ABSENT = "–"
LONGEST_CELL = 400
LONGEST_BODY = 20_000
MOST_LINES = 400
_LONGEST_RUN = 3  # of equal lines; longer runs are shown as a count
_PLAIN = ("str", "int", "bool", "tuple", "dict")


class Marked(NamedTuple):
    """A value or a line of text, marked if it is not the majority's."""

    text: str
    marked: bool


class Row(NamedTuple):
    """One aspect of the responses, such as a header, and its value in each."""

    name: str
    cells: tuple[Marked, ...]
    usual: str | None  # the majority's value
    reason: Reason | None  # why it differs, if that is known

    @property
    def differs(self) -> bool:
        return any(cell.marked for cell in self.cells)

    @property
    def is_telling(self) -> bool:
        """Whether it differs in a way that says something about the servers (unlike clocks and ids)."""
        return self.differs and not (self.reason and self.reason.by_nature)


class Comparison(NamedTuple):
    """Cells and texts are in the order of the responses."""

    status: Row
    headers: tuple[Row, ...]  # the reason phrase comes first
    values: tuple[Row, ...] = ()  # of JSON bodies
    texts: tuple[tuple[Marked, ...], ...] = ()  # the lines of text bodies, a tuple for each response
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


def compare(responses: Sequence[Observation]) -> Comparison:
    """Compare the responses to one request."""
    status = status_row(responses)
    reason = _row("status", "Reason", [response.reason or ABSENT for response in responses])
    headers = (reason, *header_rows(responses))
    bodies = [response.body for response in responses]
    if len(set(bodies)) <= 1:
        return Comparison(status, headers, body=_text(bodies[0])[:LONGEST_BODY] if bodies else "")
    documents = [_document(body) for body in bodies]
    if all(isinstance(document, dict | list) for document in documents):
        return Comparison(status, headers, values=tuple(_values(documents)))
    return Comparison(status, headers, texts=_marked_lines([_text(body) for body in bodies]))


def status_row(responses: Iterable[Observation]) -> Row:
    return _row("status", "Status", [response.status for response in responses])


def header_rows(responses: Iterable[Observation]) -> Iterator[Row]:
    """A row for each header; the values of one that was sent several times are on lines of their own."""
    tables = []
    for response in responses:
        table: dict[str, list[str]] = {}
        for name, value in response.headers:
            table.setdefault(name.title(), []).append(value)
        tables.append(table)
    for name in sorted({name for table in tables for name in table}):
        yield _row("header", name, ["\n".join(table.get(name, [ABSENT])) for table in tables])


def majority(values: Collection[T]) -> T | None:
    """The value that more than half have; None if there is none."""
    found = Counter(values).most_common(1)
    return next((value for value, count in found if 2 * count > len(values)), None)


def usual_lines(bodies: Collection[bytes]) -> list[bytes]:
    """The lines that more than half of the bodies have, in order of appearance."""
    counts = Counter(line for body in bodies for line in dict.fromkeys(body.split(b"\n")))
    return [line for line, count in counts.items() if 2 * count > len(bodies)]


def _row(kind: str, name: str, texts: Sequence[str]) -> Row:
    usual = majority(texts)
    cells = tuple(Marked(_short(text), text != usual) for text in texts)
    reason = reason_of(f"{kind} {name}") if len(set(texts)) > 1 else None
    return Row(name, cells, usual and _short(usual), reason)


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
    if all(isinstance(name, str) for name in names) and len(set(names)) == len(names):
        return [(item[0], item[1]) for item in value]
    return list(enumerate(value))


def _marked_lines(texts: Sequence[str]) -> tuple[tuple[Marked, ...], ...]:
    """The lines of each text; lines that not all texts have are marked, long runs of others are folded."""
    split = [text.splitlines() for text in texts]
    common = functools.reduce(operator.and_, map(Counter, split))
    return tuple(tuple(_shown(lines, Counter(common))) for lines in split)


def _shown(lines: Sequence[str], common: Counter[str]) -> Iterator[Marked]:
    def is_common(line: str) -> bool:
        common[line] -= 1
        return common[line] >= 0

    for shared, group in itertools.groupby(lines[:MOST_LINES], is_common):
        run = list(group)
        if shared and len(run) > _LONGEST_RUN:
            run = [f"… {len(run)} lines that all have"]
        for line in run:
            yield Marked(line[:LONGEST_CELL], marked=not shared)
    if len(lines) > MOST_LINES:
        yield Marked(f"… {len(lines) - MOST_LINES} more lines", marked=False)


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_CELL else f"{text[:LONGEST_CELL]} … ({len(text)} characters)"
