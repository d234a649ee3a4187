"""Reduces responses to their stable values: what changes each time says nothing about the server.

A response is taken several times, on the same server and on a second start of it. The rule: whatever differs
between two responses of one server (a clock, a token, the order of a set) is ignored on all servers, word by
word, so that the text around it still counts.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from webdemo.compare.behaviour.differences import usual_lines
from webdemo.compare.behaviour.observation import Headers, Observation

CHANGES = "…"

_WORDS = re.compile(rb"[^\s<>\"'(){}\[\],;&|]+|[\s<>\"'(){}\[\],;&|]+")
_BEFORE = 2  # a word and the separator after it
_LONGEST_BINARY = 1 << 18  # longer binary data is compared as a whole, not byte by byte


def stable(observed: Mapping[str, Sequence[Observation]]) -> dict[str, Observation]:
    """What all observations of one server have in common, by server; each has one or more.

    The status is "200 or 500" if it changes on this server only.
    """
    first = {label: own[0] for label, own in observed.items()}
    statuses = {label: sorted({one.status for one in own}) for label, own in observed.items()}
    changing = [label for label, own in statuses.items() if len(own) > 1]
    by_app = [label for label in changing if not any(one.failure for one in observed[label])]
    if len(by_app) > 1 or (by_app and len(observed) == 1):  # it is the app that varies: nothing to compare
        return {label: Observation("changing", evidence=one.evidence) for label, one in first.items()}
    same = {label: own for label, own in observed.items() if label not in changing and not own[0].failure}
    headers = _stable_headers({label: [one.headers for one in own] for label, own in same.items()})
    values = {label: [one.body for one in own] for label, own in same.items()}
    bodies = _stable_words(values)
    if bodies is None:
        bodies = _stable_lines(values)
    return {
        label: one._replace(
            status=" or ".join(statuses[label]),
            headers=headers.get(label, ()),
            body=bodies.get(label, b""),
            failure=next((other.failure for other in observed[label] if other.failure), None),
        )
        for label, one in first.items()
    }


def _stable_headers(observed: Mapping[str, Sequence[Headers]]) -> dict[str, Headers]:
    """The stable headers, by server; a header that comes and goes on one server is ignored on all."""
    tables = {label: [_numbered(headers) for headers in own] for label, own in observed.items()}
    kept: dict[str, list[tuple[str, str]]] = {label: [] for label in observed}
    for key in dict.fromkeys(key for own in tables.values() for table in own for key in table):
        having = {label: own for label, own in tables.items() if any(key in table for table in own)}
        if any(key not in table for own in having.values() for table in own):
            continue
        values = {label: [table[key].encode("latin-1") for table in own] for label, own in having.items()}
        found = _stable_words(values)
        for label in having:
            kept[label].append((key[0], found[label].decode("utf-8", "replace") if found else CHANGES))
    return {label: tuple(headers) for label, headers in kept.items()}


def _numbered(headers: Headers) -> dict[tuple[str, int], str]:
    """Headers by name and by the number of earlier ones with that name."""
    counts: Counter[str] = Counter()
    table = {}
    for name, value in headers:
        table[name, counts[name]] = value
        counts[name] += 1
    return table


def _stable_words(observed: Mapping[str, Sequence[bytes]]) -> dict[str, bytes] | None:
    """Each server's value with changing words replaced; None if a value's number of words changes."""
    if len({value for own in observed.values() for value in own}) <= 1:
        return {label: own[0] for label, own in observed.items()}
    words = {label: [_words(value) for value in own] for label, own in observed.items()}
    if any(len({len(one) for one in own}) > 1 for own in words.values()):
        return None
    changing = {
        label: {n for n, column in enumerate(zip(*own, strict=True)) if len(set(column)) > 1}
        for label, own in words.items()
    }
    kept = {}
    for label, (first, *_) in words.items():
        ignored = {
            n
            for other, theirs in changing.items()
            if len(words[other][0]) == len(first)
            for n in theirs
            if _same_before(n, first, words[other][0], theirs)
        }
        kept[label] = b"".join(CHANGES.encode() if n in ignored else word for n, word in enumerate(first))
    return kept


def _same_before(index: int, words: list[bytes], others: list[bytes], changing: set[int]) -> bool:
    """Whether the words before that index are equal in both; then the word at it changes in both."""
    before = range(max(0, index - _BEFORE), index)
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


def _stable_lines(observed: Mapping[str, Sequence[bytes]]) -> dict[str, bytes]:
    """For bodies whose length changes: those stable lines of each server that most servers have.

    The position of a line may change as well, so the lines are in the same order for all servers.
    """
    kept = {}
    for label, own in observed.items():
        common = set.intersection(*(set(body.split(b"\n")) for body in own))
        kept[label] = [line for line in own[0].split(b"\n") if line in common]
    usual = usual_lines([b"\n".join(lines) for lines in kept.values()])
    return {label: b"\n".join(line for line in usual if line in set(lines)) for label, lines in kept.items()}
