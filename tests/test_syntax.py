"""HTTP's grammar: what each pattern accepts, character by character, and IPv4-mapped addresses."""

from __future__ import annotations

import string

import pytest

from webdemo.syntax import is_field_value, is_host, is_length, is_token, match_plain_host, parse_address

LATIN = [chr(code) for code in range(256)]


def test_token_is_of_the_characters_of_rfc_9110() -> None:
    assert {c for c in [*LATIN, "\u0660", "\uff21"] if is_token(c)} == {
        *string.ascii_letters,
        *string.digits,
        *"!#$%&'*+-.^_`|~",
    }
    assert not is_token("")
    assert not is_token("a\n")


def test_field_value_holds_no_control_character_but_tab() -> None:
    assert {c for c in [*LATIN, "\u0100", "\u2028"] if not is_field_value(c)} == {
        *(chr(code) for code in range(32) if code != 9),
        "\x7f",
        "\u0100",
        "\u2028",
    }
    assert is_field_value("")
    assert not is_field_value("a\n")


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("0", True),
        ("9" * 18, True),
        ("9" * 19, False),
        ("", False),
        ("+1", False),
        ("1_0", False),
        ("\u0661", False),
        ("1\n", False),
    ],
)
def test_length_is_of_few_ascii_digits(text: str, good: bool) -> None:
    assert bool(is_length(text)) is good


@pytest.mark.parametrize(
    ("text", "plain", "allowed"),
    [
        ("localhost", True, True),
        ("localhost:8000", True, True),
        ("[::1]:8000", True, True),
        ("a_b.example", True, True),
        ("", False, True),
        ("a%41:", False, True),
        ("[fe80::1%25eth0]", False, True),
        ("a b", False, False),
        ("a/b", False, False),
        ("a@b", False, False),
        ("a:80\n", False, False),
        ("[::1", False, False),
    ],
)
def test_host_is_plain_or_allowed(text: str, plain: bool, allowed: bool) -> None:
    assert bool(match_plain_host(text)) is plain
    assert bool(is_host(text)) is allowed


def test_ipv4_mapped_address_becomes_ipv4() -> None:
    assert str(parse_address("::ffff:127.0.0.1")) == "127.0.0.1"
    assert str(parse_address(bytes(10) + b"\xff\xff\x7f\0\0\1")) == "127.0.0.1"
    assert str(parse_address("::1")) == "::1"
    with pytest.raises(ValueError, match="does not appear"):
        parse_address("127.0.0.1.")
