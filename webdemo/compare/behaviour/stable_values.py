"""Reduces responses to their stable values: what changes each time says nothing about the server.

A response is taken several times, on the same server and on a second start of it. The rule: whatever differs
between two responses of one server (a clock, a token, the order of a set) is ignored on all servers, word by
word, so that the text around it still counts.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

CHANGES = "…"

_WORDS = re.compile(rb"[^\s<>\"'(){}\[\],;&|]+|[\s<>\"'(){}\[\],;&|]+")
_BEFORE = 2  # a word and the separator after it
_LONGEST_BINARY = 1 << 18  # longer binary data is compared as a whole, not byte by byte


@dataclass(frozen=True, slots=True)
class Look:
    """One response as received."""

    status: str  # "200", or the fate of the connection: "dropped", "hung"
    headers: tuple[tuple[str, str], ...]  # names in lower case
    body: bytes
    evidence: str

    @property
    def is_answer(self) -> bool:
        return self.status.isdecimal()


@dataclass(frozen=True, slots=True)
class Steady:
    """What all responses of one server to a request have in common."""

    status: str  # "200 or 500" when it changes on this server only
    headers: frozenset[tuple[str, str]]
    body: bytes
    evidence: str


def steady(looks: Mapping[str, Sequence[Look]]) -> dict[str, Steady]:
    """The stable values of the responses to one request, by server; each has one response or more."""
    statuses = {label: sorted({look.status for look in own}) for label, own in looks.items()}
    unsteady = [label for label, own in statuses.items() if len(own) > 1]
    changing = [label for label in unsteady if all(look.is_answer for look in looks[label])]
    if len(changing) > 1 or (changing and len(looks) == 1):  # it is the app that varies: nothing to compare
        return {label: Steady("changing", frozenset(), b"", own[0].evidence) for label, own in looks.items()}
    answered = {label: own for label, own in looks.items() if label not in unsteady and own[0].is_answer}
    headers = _steady_headers({label: [look.headers for look in own] for label, own in answered.items()})
    bodies = _steady_values({label: [look.body for look in own] for label, own in answered.items()})
    if bodies is None:
        bodies = _steady_lines({label: [look.body for look in own] for label, own in answered.items()})
    return {
        label: Steady(
            " or ".join(statuses[label]),
            headers.get(label, frozenset()),
            bodies.get(label, b""),
            own[0].evidence,
        )
        for label, own in looks.items()
    }


def _steady_headers(
    looks: Mapping[str, Sequence[Sequence[tuple[str, str]]]],
) -> dict[str, frozenset[tuple[str, str]]]:
    """The stable headers, by server; a header that comes and goes on one server is ignored on all."""
    tables = {label: [_numbered(headers) for headers in own] for label, own in looks.items()}
    kept: dict[str, set[tuple[str, str]]] = {label: set() for label in looks}
    for key in dict.fromkeys(key for own in tables.values() for table in own for key in table):
        having = {label: own for label, own in tables.items() if any(key in table for table in own)}
        if any(key not in table for own in having.values() for table in own):
            continue
        values = {label: [table[key].encode("latin-1") for table in own] for label, own in having.items()}
        steady_values = _steady_values(values)
        for label in having:
            value = steady_values[label].decode("utf-8", "replace") if steady_values else CHANGES
            kept[label].add((key[0], value))
    return {label: frozenset(headers) for label, headers in kept.items()}


def _numbered(headers: Sequence[tuple[str, str]]) -> dict[tuple[str, int], str]:
    """Headers by name and by the number of earlier ones with that name."""
    counts: Counter[str] = Counter()
    table = {}
    for name, value in headers:
        table[name, counts[name]] = value
        counts[name] += 1
    return table


def _steady_values(looks: Mapping[str, Sequence[bytes]]) -> dict[str, bytes] | None:
    """Each server's value with changing words replaced; None if a value's number of words changes."""
    if len({value for own in looks.values() for value in own}) <= 1:
        return {label: own[0] for label, own in looks.items()}
    words = {label: [_words(value) for value in own] for label, own in looks.items()}
    changing: dict[str, set[int]] = {}  # indexes of the words that change, by server
    for label, (first, *others) in words.items():
        if any(len(other) != len(first) for other in others):
            return None
        changing[label] = {n for other in others for n, word in enumerate(first) if other[n] != word}
    gone = CHANGES.encode()
    kept = {}
    for label, (first, *_) in words.items():
        places = set(changing[label])
        for other, theirs in changing.items():
            if len(words[other][0]) == len(first):
                places.update(n for n in theirs if _stands_alike(n, first, words[other][0], theirs))
        kept[label] = b"".join(gone if n in places else word for n, word in enumerate(first))
    return kept


def _stands_alike(place: int, words: list[bytes], others: list[bytes], changing: set[int]) -> bool:
    """Whether the words before that index are equal in both; then the word at it changes in both."""
    before = range(max(0, place - _BEFORE), place)
    return all(n in changing or words[n] == others[n] for n in before)


def _words(value: bytes) -> list[bytes]:
    """Split text into words and separators, binary data into bytes."""
    try:
        value.decode()
    except UnicodeDecodeError:
        if len(value) <= _LONGEST_BINARY:
            return [value[n : n + 1] for n in range(len(value))]
        return [value]
    return _WORDS.findall(value)


def _steady_lines(looks: Mapping[str, Sequence[bytes]]) -> dict[str, bytes]:
    """For bodies whose length changes: those stable lines of each server that most servers have.

    The position of a line may change as well, so the lines are in the same order for all servers.
    """
    kept = {}
    for label, own in looks.items():
        sets = [set(body.split(b"\n")) for body in own]
        kept[label] = [line for line in dict.fromkeys(own[0].split(b"\n")) if all(line in s for s in sets)]
    counts = Counter(line for lines in kept.values() for line in lines)
    usual = [line for line, count in counts.items() if 2 * count > len(kept)]
    return {label: b"\n".join(line for line in usual if line in set(lines)) for label, lines in kept.items()}
