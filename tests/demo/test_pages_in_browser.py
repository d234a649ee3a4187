"""The pages in Chromium behind each server: no console errors, accessible, and fit for a phone."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser import accessibility_violations, horizontal_overflow, in_looks, watch

pytestmark = [pytest.mark.browser]

PAGES = [
    "/",
    "/hello",
    "/hello/Ada",
    "/inspect?colour=blue",
    "/files/",
    "/files/samples/",
    "/nowhere",
    "/error",
]
OpenPage = Callable[..., Page]

# For what the server behind a page does not change.
behind_one_server = pytest.mark.parametrize(
    "server",
    ["waitress", *(pytest.param(name, marks=pytest.mark.deep) for name in ("werkzeug", "gunicorn"))],
    indirect=True,
    scope="module",
)


@behind_one_server
@in_looks(360, 1280)
def test_no_page_complains_excludes_anyone_or_scrolls_sideways(
    site_url: str, open_page: OpenPage, width: int, color_scheme: Any
) -> None:
    page = open_page(
        viewport={"width": width, "height": 800}, color_scheme=color_scheme, reduced_motion="reduce"
    )
    complaints = watch(page)
    for path in PAGES:
        page.goto(site_url + path)
        assert accessibility_violations(page) == [], path
        assert horizontal_overflow(page) == [], path
    assert complaints == []


def test_home_page_names_the_ports_of_both_sides(site_url: str, server: str, page: Page) -> None:
    page.goto(site_url)
    port = site_url.rpartition(":")[2]
    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile(rf"Port\s*{port}"))
    stops = page.locator(".stop")
    assert [label.inner_text() for label in stops.locator(".stop-label").all()] == [
        "Your browser",
        "Name",
        "Address",
        "Port",
        "Server",
        "App",
    ]
    expect(stops.nth(0)).to_contain_text(re.compile(r"From your port \d+"))
    expect(stops.nth(2)).to_contain_text("127.0.0.1")
    expect(stops.nth(4)).to_contain_text(re.compile(server, re.IGNORECASE))


@behind_one_server
def test_hello_form_leads_to_the_page_of_the_name(site_url: str, open_page: OpenPage) -> None:
    page = open_page(java_script_enabled=False)
    page.goto(site_url)
    page.get_by_label("Your name").fill("<b>Zoë & Co</b>")
    page.get_by_role("button", name="Say hello").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Hello, <b>Zoë & Co</b>.")
    assert page.url == f"{site_url}/hello?name=%3Cb%3EZo%C3%AB+%26+Co%3C%2Fb%3E"
    page.get_by_label("Your name").fill("Zoë")
    page.get_by_role("button", name="Say hello").click()
    assert page.url == f"{site_url}/hello/Zo%C3%AB"


@behind_one_server
def test_commands_keep_their_lines_on_a_tablet_without_javascript(site_url: str, open_page: OpenPage) -> None:
    page = open_page(java_script_enabled=False, viewport={"width": 800, "height": 800})
    page.goto(site_url)
    commands = page.locator(".terminal code").all()
    assert commands
    for command in commands:
        height = "code.getBoundingClientRect().height / parseFloat(getComputedStyle(code).lineHeight)"
        text = command.inner_text()
        assert command.evaluate(f"code => Math.round({height})") == len(text.splitlines()), text


def test_inspect_form_sends_any_method(site_url: str, page: Page) -> None:
    complaints = watch(page)
    page.goto(f"{site_url}/inspect")
    for method in ("PUT", "DELETE", "OPTIONS", "POST"):
        page.get_by_label("Method").select_option(method)
        page.get_by_label("Body", exact=True).last.fill(f"sent by {method}")
        page.get_by_role("button", name="Send").click()
        expect(page.get_by_role("heading", level=1)).to_have_text(f"{method} /inspect")
        expect(page.locator("#request pre")).to_have_text(f"sent by {method}")
    assert complaints == []


def test_inspect_form_posts_without_javascript(site_url: str, open_page: OpenPage) -> None:
    page = open_page(java_script_enabled=False)
    page.goto(f"{site_url}/inspect")
    page.locator("textarea").fill("plain text")
    page.get_by_role("button", name="Send as POST").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("POST /inspect")
    expect(page.locator("#request pre")).to_contain_text("plain text")


@behind_one_server
def test_files_are_listed_below_the_sites_own_header(site_url: str, page: Page) -> None:
    page.goto(f"{site_url}/files/")
    page.get_by_role("link", name="samples").click()
    expect(page.get_by_role("link", name="ports.txt")).to_be_visible()
    page.get_by_role("link", name="Parent folder").click()
    expect(page.get_by_role("navigation", name="Pages").locator("[aria-current]")).to_have_text("Files")
    page.get_by_role("link", name="Home").click()
    assert page.url == f"{site_url}/"


@behind_one_server
def test_command_is_copied(site_url: str, open_page: OpenPage) -> None:
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    page.goto(f"{site_url}/inspect")
    page.get_by_role("button", name="Copy").last.click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == f"curl -H 'Accept: application/json' '{site_url}/inspect'"


@behind_one_server
def test_keyboard_reaches_the_content_first(site_url: str, page: Page) -> None:
    page.goto(site_url)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="What is a port?")).to_be_focused()
