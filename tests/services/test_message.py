"""Parsing mail: its contents are found, and nothing in it can do harm."""

from __future__ import annotations

from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webdemo.services.mail_message import MOST_CHARACTERS, MOST_PARTS, summarize, take_apart

ENVELOPE = b"Return-Path: <a@b>\r\nX-Envelope-To: <c@d>\r\n"


def test_parts_are_text_html_source_and_attachments() -> None:
    message = EmailMessage()
    message["Subject"] = "Grüße"
    message["From"] = "Jürgen <j@example.org>"
    message.set_content("Hallo ✓")
    message.add_alternative("<b>Hallo</b>", subtype="html")
    message.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="März.pdf")
    message.add_attachment("<script>", subtype="html", filename="page.html")
    mail = take_apart(ENVELOPE + message.as_bytes())
    assert mail.parts
    assert [(part.type, part.name, part.text) for part in mail.parts] == [
        ("text/plain", "", "Hallo ✓\n"),
        ("text/html", "", "<b>Hallo</b>\n"),
        ("application/pdf", "März.pdf", None),
        ("text/html", "page.html", None),
    ]
    assert mail.parts[2].content == b"%PDF"
    assert mail.summary.subject == "Grüße"
    assert mail.summary.sender == "Jürgen <j@example.org>"
    assert mail.summary.recipients == ("c@d",)


def test_headers_in_plain_utf8_are_read() -> None:
    assert summarize(ENVELOPE + "Subject: Grüße ✓\r\n\r\n".encode()).subject == "Grüße ✓"


def test_folded_header_is_one_line() -> None:
    assert summarize(b"Subject: one\r\n two\r\n\r\n").subject == "one two"


def test_sender_of_the_envelope_stands_in_for_a_missing_one() -> None:
    assert summarize(ENVELOPE + b"\r\n").sender == "<a@b>"


@pytest.mark.parametrize("charset", ["rot13", "punycode", "idna", "no-such-charset", "zip", "\x00", ""])
def test_charset_that_is_none_is_read_as_utf8(charset: str) -> None:
    raw = ENVELOPE + f'Content-Type: text/plain; charset="{charset}"\r\n\r\nGrüße'.encode()
    assert take_apart(raw).parts[0].text == "Grüße"


def test_words_encoded_next_to_each_other_are_joined() -> None:
    raw = b"Subject: a =?utf-8?q?=C3=A4_?= =?iso-8859-1?B?9g==?= b =?x?=\r\n\r\n"
    assert summarize(raw).subject == "a ä ö b =?x?="


def test_parts_of_parts_are_listed_in_their_order() -> None:
    inner = EmailMessage()
    inner.set_content("inside")
    message = EmailMessage()
    message.set_content("first")
    message.add_attachment(inner)
    message.add_attachment("last", filename="a.txt")
    texts = [part.content for part in take_apart(message.as_bytes()).parts]
    assert texts == [b"first\n", b"inside\n", b"last\n"]


def test_long_text_is_cut_where_it_is_shown() -> None:
    part = take_apart(ENVELOPE + b"\r\n" + b"x" * (MOST_CHARACTERS + 1)).parts[0]
    assert part.is_cut
    assert part.text is not None
    assert len(part.text) == MOST_CHARACTERS
    assert part.size == MOST_CHARACTERS + 1


def test_what_cannot_be_seen_or_turns_text_round_is_replaced() -> None:
    mail = take_apart("Subject: a\0b\x1b[31mc\u202ed\r\n\r\ne\u2066\r\nf\tg".encode())
    assert mail.summary.subject == "a�b�[31mc�d"
    assert mail.parts[0].text == "e�\nf\tg"


MULTIPART = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
HOSTILE = {
    "nothing": b"",
    "long folded address": b"From: " + b"((((((((((\r\n " * 50_000,
    "long folded type": b"Content-Type: text/plain; " + b"a=b; a=b; a=b;\r\n " * 50_000,
    "the same with bare CR": b"X: y\rContent-Type: text/plain; " + b"a=b; a=b; a=b;\r " * 50_000,
    "long type of an inner part": MULTIPART + b"--b\r\nContent-Type: " + b"a/b; a=b; \r\n " * 50_000,
    "many parts": MULTIPART + b"--b\r\nContent-Type: text/plain\r\n\r\nx\r\n" * 100_000,
    "many parts with bare CR": MULTIPART + b"--b\rContent-Type: text/plain\r\rx\r" * 100_000,
    "deep": b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(1500)
    ),
    "deep messages": b"Content-Type: message/rfc822\r\n\r\n" * 3000,
    "deep, with many empty lines": b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(300)
    )
    + b"\r\n" * 150_000,
    "quotes in headers": b"".join(b"Cc: " + b'"' * 990 + b"\r\n " + b'"' * 980 + b"\r\n" for _ in range(31)),
    "words encoded in charsets that are none": b"Subject: " + b"=?x%d?q?a?= " * 5000 + b"\r\n",
    "many headers": b"X: y\r\n" * 200_000,
    "boundary missing": b"Content-Type: multipart/mixed\r\n\r\n--\r\n",
    "odd encoding": b"Content-Type: text/plain\r\nContent-Transfer-Encoding: x-uuencode\r\n\r\nbegin 6\r\nzz",
    "base64 that is none": b"Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n===!!\xff",
}


@pytest.mark.attack(
    "Mail and FTP",
    "Mail of quotes, nested parts, thousands of headers or parts",
    "Taken apart once, in time proportional to its size, within bounds; the rest can be downloaded.",
)
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_mail_is_shown(name: str) -> None:
    mail = take_apart(ENVELOPE + HOSTILE[name])
    summarize((ENVELOPE + HOSTILE[name])[:65536])
    assert len(mail.parts) <= MOST_PARTS
    assert mail.source.startswith("Return-Path")


@given(st.binary(max_size=2000))
def test_any_bytes_can_be_taken_apart_and_sent_as_utf8(raw: bytes) -> None:
    mail = take_apart(raw)
    text = repr(mail.headers) + mail.source + "".join(part.text or "" for part in mail.parts)
    text.encode("utf-8")
    summarize(raw)


_LINES = st.sampled_from(
    [
        *(
            b"Content-Type: ",
            b"multipart/mixed; boundary=b",
            b"text/html; charset=",
            b"From: ",
            b"Subject: =?",
        ),
        *(b"utf-8?q?=C3?=", b"Content-Disposition: attachment; filename*0*=", b"--b", b"--b--", b"\r\n"),
        *(b'"', b"<", b"\xff", b";", b"\t"),
    ]
)


@given(st.lists(_LINES, max_size=40).map(b"".join))
def test_broken_mail_can_be_taken_apart(raw: bytes) -> None:
    mail = take_apart(raw)
    "".join(part.text or part.name + part.type for part in mail.parts).encode("utf-8")
