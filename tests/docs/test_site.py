"""The docs site builds without a warning, and works when webdemo serves its folder."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from scripts import reference
from tests.browser import accessibility_violations
from tests.running import Start
from webdemo.config.settings import FIELDS

pytestmark = pytest.mark.process  # MkDocs

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site. --strict: a link to a missing page or anchor fails the build."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(folder)],
        cwd=ROOT, capture_output=True, text=True, timeout=110,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def pages(site: Path) -> list[Path]:
    # 404.html links to absolute paths.
    return sorted(set(site.rglob("*.html")) - {site / "404.html"})


def test_tables_and_lists_are_rendered(site: Path) -> None:
    left = re.compile(r"^[-*|] |\|--", re.MULTILINE)
    for page in pages(site):
        paragraphs = re.findall(r"<p>(.*?)</p>", page.read_text("utf-8"), re.DOTALL)
        assert [text for text in paragraphs if left.search(text)] == [], page.name


@pytest.mark.parametrize("path", reference.PAGES)
def test_generated_page_is_in_the_site(site: Path, path: str) -> None:
    assert (site / path).with_suffix(".html").is_file()


def test_reference_has_every_setting_and_option(site: Path) -> None:
    settings = (site / "reference" / "settings.html").read_text("utf-8")
    assert all(name.replace("_", "-") in settings for name in FIELDS)
    assert "connection_limit" in (site / "reference" / "servers.html").read_text("utf-8")


@pytest.mark.browser
def test_pages_request_nothing_from_other_hosts_pass_axe_and_fit_a_phone(
    site: Path, running: Start, open_page: Callable[..., Page]
) -> None:
    url = running("--directory", str(site)).url
    page = open_page(viewport={"width": 360, "height": 800})
    requested: list[str] = []
    wide = []
    page.on("request", lambda request: requested.append(request.url))
    for path in pages(site):
        page.goto(f"{url}{path.relative_to(site).as_posix()}")
        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            wide.append(path.name)
    for name in ("servers.html", "framework.html", "404.html"):
        page.goto(url + name)
        assert accessibility_violations(page) == [], name
    assert len(requested) > len(pages(site))
    assert [u for u in requested if not u.startswith((url, "data:", "blob:"))] == []
    assert wide == []


@pytest.mark.browser
def test_search_finds_a_setting(site: Path, running: Start, page: Page) -> None:
    page.goto(running("--directory", str(site)).url)
    box, first = page.get_by_role("textbox", name="Search"), page.locator(".md-search-result__item").first
    deadline = time.monotonic() + 60
    while not first.count() and time.monotonic() < deadline:  # what is typed before the index is read is lost
        box.fill("")
        box.press_sequentially("trusted-proxies")
        page.wait_for_timeout(1000)
    expect(first).to_contain_text("trusted-proxies")
