"""The report as tables, as one HTML file, and as advice."""

from __future__ import annotations

import io
import json
import re
import stat
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from rich.console import Console

from tests.compare import sample
from webdemo import app as demo_site
from webdemo import assets
from webdemo.compare.report import html_report, saved, terminal, wording
from webdemo.compare.report.answer import answer
from webdemo.compare.report.standings import WIDTH, standings
from webdemo.compare.results import Comparison, from_json
from webdemo.errors import UsageError

DOCS = Path(__file__).resolve().parents[2] / "docs/compare.md"


class Page(HTMLParser):
    """The texts, links and loaded resources of a page, and whether its elements nest correctly."""

    VOID = ("meta", "link", "br", "rect", "path", "circle", "input")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.styled: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        facts = dict(attrs)
        self.ids.add(facts.get("id") or "")
        if tag == "a":
            self.links.append(facts.get("href") or "")
        elif facts.get("src") or facts.get("href"):
            self.loads.append(facts.get("src") or facts.get("href") or "")
        if "style" in facts:
            self.styled.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


def shown(comparison: Comparison, width: int = 160) -> str:
    console = Console(file=io.StringIO(), width=width)
    terminal.show(comparison, answer(comparison), console, verbose=True)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


# -- the terminal ------------------------------------------------------------------------------------


def test_terminal_shows_every_server_case_and_difference() -> None:
    text = shown(sample.everything())
    for words in (
        "shop:app on 5 servers",
        "RuntimeError: no <loop>",
        "the 17 of 31 probes that are not right on each of the 4 servers that ran",
        "GET /about",
        "dropped*",
        "Speed: 8 connections, beside 120 slow clients",
        "25% of waitress (24% to 26%)",
        "no significant difference",
        "no responses",
        "back after kill -9",
        "Which server? waitress.",
        "• Requests were lost at a stop on werkzeug (3):",
    ):
        assert words in " ".join(text.split())


def test_terminal_says_what_is_said_of_several_servers_once() -> None:
    found = tuple(sample.finding("probe", label, "wrong") for label in ("a", "b", "c"))
    text = shown(sample.comparison(tuple(map(sample.server, "abc")), findings=found))
    assert text.count("It is wrong there.") == 1
    assert "a, b and c: It is wrong there." in text


@pytest.mark.parametrize("width", [60, 80, 200])
def test_terminal_of_any_width_is_filled_and_not_exceeded(width: int) -> None:
    assert max(map(len, shown(sample.everything(), width).splitlines())) <= width


# -- the file ----------------------------------------------------------------------------------------


def test_terminal_shows_whole_names_and_as_many_servers_beside_one_another_as_fit() -> None:
    labels = [f"server-{n}" for n in range(8)]
    name = "a-probe-with-a-name-as-long-as-can-be"
    findings = [sample.finding(name, label, "dropped", is_new=True) for label in labels]
    comparison = sample.comparison(tuple(map(sample.server, labels)), findings=tuple(findings))
    lines = shown(comparison, width=80).splitlines()
    heads = [line.split()[1:] for line in lines if line.startswith(" probe ")]
    assert [label for head in heads for label in head] == labels
    rows = [line.split() for line in lines if line.startswith(f" {name} ")]
    assert [len(row) for row in rows] == [1 + len(head) for head in heads]
    assert {cell for row in rows for cell in row[1:]} == {"dropped*"}


@pytest.mark.parametrize(
    ("title", "heading"),
    [("a body", "A body"), ("wsgi.input beside it", "wsgi.input beside it"), ("", "")],
)
def test_a_heading_has_a_capital_letter_unless_it_begins_with_a_name(title: str, heading: str) -> None:
    assert wording.heading(title) == heading


def test_file_needs_nothing_beside_it() -> None:
    text = html_report.to_html(sample.everything())
    page = Page(text)
    assert page.open == []
    assert page.loads == ["data:,"]
    assert "url(" not in text
    assert "<script" not in text


def test_every_link_of_the_file_leads_somewhere_in_it() -> None:
    page = Page(html_report.to_html(sample.everything()))
    assert page.links
    for link in page.links:
        assert link.startswith("#")
        assert unquote(link[1:]) in page.ids


def test_what_servers_say_is_escaped() -> None:
    text = html_report.to_html(sample.everything())
    assert "no &lt;loop&gt;" in text
    assert "<loop>" not in text


@pytest.mark.parametrize("behaviour", [None, ()])
@pytest.mark.parametrize("measurements", [None, ()])
def test_report_of_nothing_is_a_report(behaviour: None, measurements: None) -> None:
    comparison = sample.comparison((), findings=behaviour, measurements=measurements)
    assert Page(html_report.to_html(comparison)).open == []
    assert "shop:app" in shown(comparison)


def test_no_element_has_a_style_of_its_own() -> None:
    assert Page(html_report.to_html(sample.everything())).styled == []


def test_bars_fit_their_boxes() -> None:
    speed = sample.everything().speed
    assert speed is not None
    rows = [row for case in standings(speed) for row in case.rows]
    assert {row.measurement for row in rows} == set(speed.measurements)
    for row in rows:
        rate, low, high = row.rate
        assert 0 <= low <= rate <= high <= WIDTH + 1e-9
        places = [0, *row.latency, WIDTH]
        assert sorted(places) == places
        assert len(row.latency) == (3 if row.measurement.p50_ms.value else 0)


def test_json_reads_back_as_the_same_comparison() -> None:
    comparison = sample.everything()
    assert from_json(comparison.to_json()) == comparison


# -- the saved comparison, and the site's page --------------------------------------------------------


@pytest.fixture
def state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path


def test_newest_comparison_is_kept_for_its_user_alone(state_folder: Path) -> None:
    assert saved.newest() is None
    comparison = sample.everything()
    saved.save(sample.comparison())
    place = saved.save(comparison)
    assert saved.newest() == comparison
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    assert list(place.parent.iterdir()) == [place]


def test_file_of_another_schema_is_refused_with_a_remedy(state_folder: Path) -> None:
    place = saved.save(sample.comparison())
    place.write_text(json.dumps(json.loads(place.read_text()) | {"schema": 99}))
    with pytest.raises(UsageError, match="schema 99"):
        saved.newest()
    answer = demo_site.test_client().get("/compare", environ_base={"REMOTE_ADDR": "127.0.0.1"})
    assert "schema 99" in answer.text


def ask(address: str = "127.0.0.1", host: str = "localhost") -> tuple[int, str]:
    answer = demo_site.test_client().get(
        "/compare", environ_base={"REMOTE_ADDR": address}, headers={"Host": host}
    )
    return answer.status_code, answer.text


def test_site_says_which_command_makes_a_comparison(state_folder: Path) -> None:
    status, text = ask()
    assert status == 200
    assert "webdemo compare --app" in text


def test_site_shows_the_newest_comparison_within_its_policy(state_folder: Path) -> None:
    saved.save(sample.everything())
    status, text = ask()
    assert status == 200
    page = Page(text)
    assert page.styled == []
    assert "<style" not in text
    assert "6 servers, one app" in text
    assert 'aria-current="page">Compare' in text


def test_site_shows_comparisons_only_at_this_machine(state_folder: Path) -> None:
    saved.save(sample.everything())
    for elsewhere in ({"address": "192.0.2.1"}, {"host": "evil.example"}):
        status, text = ask(**elsewhere)
        assert status == 403
        assert "shop:app" not in text


def test_stylesheet_has_what_the_report_names() -> None:
    css = (assets.STATIC / "webdemo.css").read_text()
    template = (assets.TEMPLATES / "compare_report.html").read_text()
    for names in re.findall(r'class="([a-z -]+)"', template):
        for name in names.split():
            assert f".{name}" in css or name in ("cards", "small", "finding"), name


def test_every_field_of_the_json_is_documented() -> None:
    text = DOCS.read_text(encoding="utf-8")

    def names(data: object) -> set[str]:
        if isinstance(data, dict):
            return set(data) | {name for value in data.values() for name in names(value)}
        return {name for value in data for name in names(value)} if isinstance(data, list) else set()

    for name in names(json.loads(sample.everything().to_json())):
        assert re.search(rf"[`.]{name}(\[\])?`", text), name
