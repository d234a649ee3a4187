"""Hostile text is printed harmlessly, everywhere; sizes, durations and tables have one form."""

from __future__ import annotations

import json
import os
import re
import sys
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.web.static_files.calling import call
from webdemo.client.http11 import ResponseHead
from webdemo.errors import WebdemoError
from webdemo.middleware.access_log import Record, json_line, text_line
from webdemo.net import report
from webdemo.net.bind import Bind
from webdemo.net.holders import Listening
from webdemo.net.ports import gather_facts
from webdemo.services.mail_message import take_apart
from webdemo.supervisor import events
from webdemo.supervisor.log_tail import LastLines
from webdemo.supervisor.printer import Printer, error_lines
from webdemo.text import (
    format_duration,
    format_size,
    log_field,
    plain_field,
    plain_text,
    table,
    terminal_line,
)
from webdemo.trace import Trace, render, to_json
from webdemo.trace.facts import AnsweredBy, Failure, Hop, Redirect, Step
from webdemo.web.static.app import StaticFiles

KEPT = "\t\u200c\u200d"
"""Tab, and the joiners that Persian, Indian scripts and emoji need."""


def unsafe() -> Iterator[str]:
    """Control, formatting, separator, surrogate and private characters; the unassigned ones of the BMP."""
    for code in range(sys.maxunicode + 1):
        category = unicodedata.category(chr(code))
        if category in ("Cc", "Cf", "Zl", "Zp", "Cs", "Co") or (category == "Cn" and code <= 0xFFFF):
            yield chr(code)


UNSAFE = "".join(character for character in unsafe() if character not in KEPT)
# All of the characters that do something to their surroundings, and some of those that only look strange.
HOSTILE = "".join(c for c in UNSAFE if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp")) + (
    "\ud800\udbff\udc80\udfff\ue000\uf8ff\U000f0000\U0010fffd\ufffe\U0001ffff"
)
IS_UNSAFE = frozenset(UNSAFE)


def assert_harmless(text: str, *, allowed: str = "") -> None:
    found = {character for character in text if character in IS_UNSAFE} - {*allowed}
    assert not found, sorted(map(ascii, found))


@pytest.mark.attack(
    "The log",
    "text with control characters, line separators, bidirectional marks, invisible characters",
    "each is escaped; letters of every language, and the joiners that they need, are unchanged",
)
def test_terminal_line_escapes_every_unsafe_character() -> None:
    line = terminal_line(UNSAFE)
    assert line.isprintable()
    assert line.encode("ascii").decode("unicode_escape") == UNSAFE


@pytest.mark.attack(
    "Mail and FTP",
    "fields with control characters, line separators, bidirectional marks, invisible characters",
    "each becomes the replacement character; letters of every language, and their joiners, are unchanged",
)
def test_plain_field_replaces_every_unsafe_character() -> None:
    assert plain_field(UNSAFE) == "\ufffd" * len(UNSAFE)
    assert plain_text(UNSAFE.replace("\r", "")).split("\n") == [
        "\ufffd" * UNSAFE.index("\n"),
        "\ufffd" * (len(UNSAFE) - UNSAFE.index("\n") - 2),
    ]


@pytest.mark.attack(
    "The log",
    "a path, method or address that looks like further fields or lines of a log record",
    "is one word in which spaces, backslashes and all that is not printable are escaped",
)
def test_log_field_escapes_every_unsafe_character_and_space() -> None:
    spaces = "".join(c for c in map(chr, range(0x3001)) if unicodedata.category(c) == "Zs")
    word = log_field(UNSAFE + KEPT + spaces + "\\")
    assert word.isprintable()
    assert " " not in word
    assert word.encode("ascii").decode("unicode_escape") == UNSAFE + KEPT + spaces + "\\"


@given(st.text())
def test_every_text_is_one_line_and_no_two_log_fields_look_alike(text: str) -> None:
    for printed in (terminal_line(text), plain_field(text), log_field(text)):
        assert len(printed.splitlines()) <= 1
        assert_harmless(printed)
    assert terminal_line(terminal_line(text)) == terminal_line(text)
    word = log_field(text)
    assert " " not in word
    read_back = re.sub(r"\\(x..|u.{4}|U.{8}|[tnr\\])", lambda m: m[0].encode().decode("unicode_escape"), word)
    assert read_back == text


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a\nb\r\x85c", r"a\nb\r\x85c"),
        ("\x1b[31mred\x9b0m\x7f\x00\x1e", r"\x1b[31mred\x9b0m\x7f\x00\x1e"),
        ("a\u2028b\u2029c", r"a\u2028b\u2029c"),
        ("\u202egpj.exe\u2066\u200f", r"\u202egpj.exe\u2066\u200f"),
        ("\ufeff\u200b\U000e0041\ud800", r"\ufeff\u200b\U000e0041\ud800"),
        ("caf\u00e9\u00a0: \u4e2d\u6587 \u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645\t|", None),
        ("\U0001f468\u200d\U0001f469 \u2764\ufe0f \\ 10\u202f000 \u3000", None),
    ],
)
def test_what_is_escaped_and_what_stays(text: str, line: str | None) -> None:
    assert terminal_line(text) == (text if line is None else line)
    if line is None:
        assert plain_field(text) == text


@pytest.mark.parametrize("text", ["a" * 9, "a" * 10, "a" * 11, "\x1b" * 3, "ab\u2028" * 100, ""])
def test_terminal_line_is_no_longer_than_its_limit(text: str) -> None:
    whole = terminal_line(text)
    assert terminal_line(text, limit=10) == (whole if len(whole) <= 10 else f"{whole[:9]}…")


# -- every place that prints ------------------------------------------------------------------------


def printed_events(text: str) -> str:
    printer = Printer()
    try:
        happened: list[events.Event] = [
            events.Started((events.Row(text, text, (text,), (1,), 1, "up"),), 1.0, text),
            events.Loaded(1.0, text),
            events.LoadFailed(WebdemoError(text, remedy=text), old_code_serves=True),
            events.Died("waitress on 8000", text, 1.0, 1),
            events.GivenUp("waitress on 8000", 5, (text,)),
            events.ReplaceFailed("waitress on 8000", text, (text,)),
            events.Note(text),
            events.InternalError(text, text.replace("\n", "")),
            events.Changed((text,)),
            events.Output(text, [text], False),
            events.Dropped(1, text),
        ]
        lines = [line for event in happened for line in printer.lines(event)]
        assert not [line for line in lines if "\n" in line]
        return "\n".join([*lines, *(line for event in happened for line in printer.json_lines(event))])
    finally:
        printer.close()


def port_report(text: str) -> str:
    hidden = Listening("unix", "", 0, text, (), text)
    shown = Listening("ipv4", text, 1, "", (), text)
    facts = report.PortReport(gather_facts(1, [shown]), False, None, (text,))
    return "\n".join(
        [
            report.render_listening([hidden, shown]),
            report.render_report(facts),
            report.render_ports([1], [shown]),
            report.dump_json([hidden]),
        ]
    )


def drawn_trace(text: str) -> str:
    facts = ResponseHead(200, text, "1.1", (("server", text), ("content-type", text)), ())
    who = AnsweredBy(1, text, False, "", None, "")
    hop = Hop(
        url=text,
        start_ms=0,
        duration_ms=3,
        steps=(
            Step("first byte", 0, 1, facts, None),
            Step("transfer", 1, 1, None, Failure("cut", text, text, 1)),
        ),
        answered_by=who,
        redirect=Redirect(302, text, text, False, False, Failure("cut", text, text, 1)),
    )
    found = Trace((hop,))
    return f"{render(found, 80)}\n{to_json(found)}"


def access_log(text: str) -> str:
    record = Record(0, "waitress", ":8000", text, text, text, "200", 5, 1_000_000, "id")
    line = text_line(record)
    assert len(line.split(" ")) == 10
    assert json.loads(json_line(record))
    return f"{line}\n{json_line(record)}"


def kept_log(text: str) -> str:
    lines = LastLines()
    lines.add([text], is_access=False)
    return str(lines.last(1)[0].text)


def mail(text: str) -> str:
    raw = b"Subject: %s\r\nFrom: %s\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n%s"
    found = take_apart(raw % ((text.replace("\r", "").replace("\n", "").encode("utf-8", "replace"),) * 3))
    assert found.parts[0].text is not None
    return "\n".join([found.summary.subject, found.summary.sender, found.source, found.parts[0].text])


def refused_bind(text: str) -> str:
    try:
        Bind.parse(f"x{text}://:8000")
    except WebdemoError as error:
        return "\n".join(error_lines(error, colour=False))
    raise AssertionError("accepted")


PLACES: list[Callable[[str], str]] = [
    printed_events,
    port_report,
    drawn_trace,
    access_log,
    kept_log,
    mail,
    refused_bind,
    lambda text: "\n".join(table([("A", "B"), (text, "b")])),
]


@pytest.mark.attack(
    "The terminal and pages",
    "each control, bidirectional and separator character in paths, names, headers, mails, errors and output",
    "none reaches a terminal, log or page: each place that prints uses one of three policies",
)
@pytest.mark.parametrize("place", PLACES, ids=lambda place: getattr(place, "__name__", "table"))
def test_no_place_that_prints_lets_an_unsafe_character_through(place: Callable[[str], str]) -> None:
    for start in range(0, len(HOSTILE), 8):
        text = f"a{HOSTILE[start : start + 8]}b"
        printed = place(text)
        assert_harmless(printed, allowed="\n")
        assert text not in printed


def test_listing_shows_no_unsafe_character_of_a_name(tmp_path: Path) -> None:
    for start in range(0, len(HOSTILE), 8):
        name = HOSTILE[start : start + 8].replace("\0", "").encode("utf-8", "surrogatepass")
        (tmp_path / os.fsdecode(b"a" + name)).touch()
    page = call(StaticFiles(tmp_path, listing=True), "/").body.decode()
    assert_harmless(page, allowed="\n")
    assert page.count("\ufffd") >= len(HOSTILE) - 20


# -- figures and tables -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (1536, "1.5 kB"),
        (9999, "10 kB"),
        (999_499, "999 kB"),
        (999_500, "1 MB"),
        (24_117_248, "24 MB"),
        (3 * 10**12, "3 TB"),
        (5 * 10**18, "5000 PB"),
    ],
)
def test_sizes_have_about_two_digits(size: int, text: str) -> None:
    assert format_size(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0 s"),
        (0, "0 s"),
        (0.000_35, "350 µs"),
        (0.001_31, "1.3 ms"),
        (0.0824, "82 ms"),
        (0.9996, "1 s"),
        (1.234, "1.2 s"),
        (59.9, "60 s"),
        (60, "1 min"),
        (90, "1.5 min"),
        (3600, "1 h"),
        (47 * 3600, "47 h"),
        (48 * 3600, "2 days"),
    ],
)
def test_durations_have_about_two_digits_and_one_unit(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


def test_table_is_aligned_whatever_its_cells_hold() -> None:
    assert table([("NAME", "B", "C"), ("a\tb\n", "", "c"), ("", "long", "")]) == [
        "NAME    B     C",
        r"a\tb\n        c",
        "        long",
    ]


def test_table_that_is_too_wide_wraps_its_text_at_words() -> None:
    text = "one event loop and a pool of threads; buffers requests"
    assert table([("NAME", "HOW"), ("waitress", text)], width=40) == [
        "NAME      HOW",
        "waitress  one event loop and a pool of",
        "          threads; buffers requests",
    ]


def test_columns_that_do_not_fit_follow_with_the_first_column_again() -> None:
    rows = [("SERVER", "STATE", "WORKERS", "URL"), ("gunicorn", "up", "4", "http://127.0.0.1:8000/")]
    assert table(rows, width=40) == [
        "SERVER    STATE  WORKERS",
        "gunicorn  up     4",
        "",
        "SERVER    URL",
        "gunicorn  http://127.0.0.1:8000/",
    ]
    assert table(rows, width=80) == table(rows)
    short = [("PID", "PORT", "STATE OF THE SERVER", "UP"), ("7", "80", "up", "3 minutes")]
    assert table(short, width=36, key=2)[2:] == ["", "PID  PORT  UP", "7    80    3 minutes"]
    assert table(short, width=16, key=2)[-2:] == ["PID  UP", "7    3 minutes"]


@given(
    rows=st.lists(st.lists(st.text(max_size=60), min_size=3, max_size=3), min_size=1),
    width=st.integers(1, 90),
)
def test_no_width_breaks_a_word_or_loses_one(rows: list[list[str]], width: int) -> None:
    lines = table(rows, width=width)
    words = " ".join(lines).split(" ")
    for line in table(rows):
        for word in filter(str.strip, line.split(" ")):
            assert word in words
    longest = max(map(len, words))
    lead = max(len(terminal_line(row[0]).replace("\t", r"\t")) for row in rows)
    assert max(map(len, lines)) <= max(width, lead + 2 + longest)
