"""What templates have: globals, filters, context processors, and several folders."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from jinja2 import pass_context, pass_environment

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


class _Greeter:
    def __call__(self, name: str) -> str:
        return f"Hello {name}"

    @pass_context
    def title(self, context: Mapping[str, Any]) -> str:
        return str(context["title"])


def test_every_kind_of_function_is_called_as_jinja_calls_it(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(
        "{% for x in [1, 2] %}{% set y = x %}{{ loop_variable() }}{% endfor %}|{{ hello('Ada') }}|"
        "{{ shown_title() }}|{{ kind() }}|{{ named(a=1) }}|{{ stops() is defined }}|"
        "{% call(x) macro() %}{{ x }}{% endcall %}"
        "{% macro hello2() %}2{% endmacro %}{{ hello2() }}|{{ url_for('_home', page=2) }}"
    )
    app = App(templates=tmp_path)
    app.get("/")(_home)
    app.jinja_env.globals |= {
        "loop_variable": pass_context(lambda context: context["y"]),
        "hello": _Greeter(),
        "shown_title": _Greeter().title,
        "kind": pass_environment(lambda environment: type(environment).__name__),
        "named": lambda **values: values["a"],
        "stops": lambda: next(iter(())),
        "macro": lambda caller: caller("called"),
    }
    expected = "12|Hello Ada|Notes|Environment|1|False|called2|/?page=2"
    assert app.render("a.html", title="Notes") == expected


def _home(request: Any) -> str:
    return ""
