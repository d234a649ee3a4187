"""examples/notes in Chromium: every page in light and dark, by keyboard, and a list that follows changes."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser import accessibility_violations, horizontal_overflow, watch
from tests.running import Start

pytestmark = [pytest.mark.browser]

PICTURE = Path(__file__).resolve().parents[2] / "docs" / "pictures" / "dashboard-light.png"


def sign_up(page: Page, url: str, name: str) -> None:
    """By keyboard alone."""
    page.goto(f"{url}account/sign-up")
    page.keyboard.type(name)  # the field has the focus
    page.keyboard.press("Tab")
    page.keyboard.type("correct horse")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Your notes")


def write(page: Page, title: str, text: str) -> None:
    """By keyboard alone, from the list to the new note."""
    page.get_by_role("link", name="New note").press("Enter")
    expect(page.get_by_label("Title")).to_be_focused()
    page.keyboard.type(title)
    page.keyboard.press("Tab")
    page.keyboard.type(text)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(title)


def test_pages_fit_any_width_exclude_no_one_and_keep_to_the_policy(
    start_notes: Start, open_page: Callable[..., Page]
) -> None:
    url = start_notes("-b", "waitress://127.0.0.1:0?threads=16").url
    looks: list[tuple[int, Any]] = [(360, "dark"), (1600, "light")]
    for number, (width, scheme) in enumerate(looks):
        page = open_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
        complaints = watch(page)

        def check(page: Page = page) -> None:
            assert accessibility_violations(page) == [], page.url
            assert horizontal_overflow(page) == [], page.url

        page.goto(url)
        check()
        sign_up(page, url, f"Ada {number}")
        check()
        write(page, "Tea" * 60, "Green and black. " * 20 + "x" * 300)
        note = page.url
        page.get_by_label("Add files").set_input_files(PICTURE)
        page.get_by_role("button", name="Upload").click()
        picture = page.get_by_role("img", name="dashboard-light.png")
        picture.scroll_into_view_if_needed()
        expect(picture).to_have_js_property("complete", True)
        assert picture.evaluate("picture => picture.naturalWidth") > 0
        check()
        page.get_by_text("Delete this note").click()
        check()
        for path in ("", "?q=tea", "notes/new", "account/", "notes/0"):
            page.goto(url + path)
            check()
        page.goto(f"{note}/edit")
        check()
        # A page that is left aborts its stream.
        assert [each for each in complaints if not re.search("/events .*ERR_ABORTED", each)] == []


def test_open_list_follows_what_is_written_on_another_server_also_after_a_reload(
    start_notes: Start, open_page: Callable[..., Page]
) -> None:
    run = start_notes("-b", "waitress://127.0.0.1:0?threads=8", "-b", "gunicorn://127.0.0.1:0?threads=8")
    page = open_page()
    sign_up(page, run.urls[0], "Ada")
    expect(page.get_by_role("status")).to_have_text("Live")
    other = page.context.new_page()  # cookies are for all ports of a host
    other.goto(run.urls[1])
    write(other, "Tea", "green")
    expect(page.get_by_role("link", name="Tea")).to_be_visible()
    old = run.servers()
    run.signal(signal.SIGHUP)
    run.wait_until_ended(old)
    page.get_by_role("link", name="Tea").focus()
    other.goto(run.urls[1])
    write(other, "Mate", "")
    expect(page.get_by_role("link", name="Mate")).to_be_visible()
    expect(page.get_by_role("link", name="Tea")).to_be_focused()
