"""What templates have: globals, filters, context processors, and several folders."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from webdemo import App
from webdemo.errors import WebdemoError


def test_globals_filters_and_tests_are_in_every_template(tmp_path: Path) -> None:
    (tmp_path / "base.html").write_text("{% block body %}{% endblock %} {{ site }}")
    (tmp_path / "a.html").write_text(
        "{% extends 'base.html' %}{% block body %}{{ 3|stars }} {{ 2 is small }}{% endblock %}"
    )
    app = App(templates=tmp_path)
    app.jinja_env.globals["site"] = "<Notes>"
    app.jinja_env.filters["stars"] = lambda number: "*" * number
    app.jinja_env.tests["small"] = lambda number: number < 3
    assert app.render("a.html") == "*** True &lt;Notes&gt;"


def test_context_processors_add_to_each_rendering(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text("{{ user }} {{ theme }}")
    app = App(templates=tmp_path)

    @app.context_processor
    def user(context: Mapping[str, Any]) -> dict[str, Any]:
        return {"user": context["name"].upper(), "theme": "dark"}

    assert app.render("a.html", name="ada") == "ADA dark"
    assert app.render("a.html", name="bob", theme="light") == "BOB light", "what is given wins"


def test_first_folder_that_has_a_template_is_used(tmp_path: Path) -> None:
    for folder, names in (("site", ["a"]), ("shared", ["a", "b"])):
        (tmp_path / folder).mkdir()
        for name in names:
            (tmp_path / folder / name).write_text(f"{folder} {name}")
    app = App(templates=[tmp_path / "site", str(tmp_path / "shared")])
    assert (app.render("a"), app.render("b")) == ("site a", "shared b")
    with pytest.raises(WebdemoError, match="none does not exist"):
        App(templates=[tmp_path / "site", tmp_path / "none"])
