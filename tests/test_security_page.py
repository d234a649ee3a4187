"""The table of attacks in docs/security.md is up to date with the tests."""

from __future__ import annotations

from scripts import attacks


def test_table_of_attacks_is_made_from_the_tests() -> None:
    page = attacks.PAGE.read_text()
    assert page == attacks.page_with_table(page), "make it anew: python -m scripts.attacks"


def test_every_attack_names_its_answer() -> None:
    assert all(all(attack) for attack in attacks.attacks())
