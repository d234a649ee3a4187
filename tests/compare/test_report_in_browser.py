"""The report in Chromium: as a single file, and as a page of the demo site."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser import accessibility_violations, horizontal_overflow, in_looks, watch
from tests.compare import sample
from tests.running import Start
from webdemo.compare.report import saved
from webdemo.compare.report.html_report import to_html

pytestmark = [pytest.mark.browser]


@pytest.fixture
def file_url(tmp_path: Path) -> str:
    path = tmp_path / "report.html"
    path.write_text(to_html(sample.everything()), encoding="utf-8")
    return path.as_uri()


@pytest.fixture
def site_url(tmp_path: Path, running: Start, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    saved.save(sample.everything())
    return running("-b", "waitress://127.0.0.1:0").url + "compare"


@in_looks(360, 1600)
@pytest.mark.parametrize("place", ["file_url", "site_url"])
def test_report_complains_excludes_and_overflows_nowhere(
    request: pytest.FixtureRequest, open_page: Callable[..., Page], place: str, width: int, color_scheme: Any
) -> None:
    url = request.getfixturevalue(place)
    page = open_page(viewport={"width": width, "height": 900}, color_scheme=color_scheme)
    complaints = watch(page)
    page.goto(url)
    expect(page.get_by_role("heading", level=1)).to_have_text("6 servers, one app")
    assert accessibility_violations(page) == []
    assert horizontal_overflow(page) == []
    page.set_viewport_size({"width": 180, "height": 900})  # a phone at 200 % zoom
    assert horizontal_overflow(page) == []
    assert complaints == []


def test_a_verdict_leads_to_what_it_means(page: Page, file_url: str) -> None:
    page.goto(file_url)
    page.get_by_role("row", name="GET /about").get_by_role("link").click()
    expect(page.locator(".differences li:target h3")).to_have_text("A request called <GET /about> #")


def test_a_link_to_a_finding_opens_what_is_folded(page: Page, file_url: str) -> None:
    page.goto(file_url)
    expect(page.get_by_text("A request called <probe-4>")).to_be_hidden()
    page.goto(f"{file_url}#probe-4")
    expect(page.locator("li:target")).to_be_visible()
    expect(page.locator("li:target .permalink")).to_have_attribute("href", "#probe-4")


def test_filters_leave_the_findings_of_a_server_a_verdict_and_a_level(page: Page, file_url: str) -> None:
    page.goto(file_url)
    page.locator("summary", has_text="not right").click()
    shown = page.locator(".finding:visible")
    everything = shown.count()
    page.get_by_label("Findings of").select_option("werkzeug")
    page.get_by_label("Verdict", exact=True).select_option("hung")
    filtered = shown.all_inner_texts()
    assert 0 < len(filtered) < everything
    assert all("werkzeug" in text and "hung" in text for text in filtered)
    page.get_by_label("Requirement level").select_option("MUST")
    assert shown.count() == 0  # the sample has no levels


def test_on_paper_every_server_has_its_column(open_page: Callable[..., Page], file_url: str) -> None:
    page = open_page(viewport={"width": 718, "height": 1000})  # A4 without its margins
    page.emulate_media(media="print")
    page.goto(file_url)
    assert horizontal_overflow(page) == []
    expect(page.get_by_text("A request called <probe-4>")).to_be_visible()  # nothing is folded on paper
    frame, table = (page.locator(place).first.bounding_box() for place in (".table-frame.tall", ".verdicts"))
    assert frame is not None
    assert table is not None
    assert table["x"] + table["width"] <= frame["x"] + frame["width"]
