"""The dashboard in Chromium, on three real servers: what it shows, and what its buttons do."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, Request, expect

from tests import raw_http
from tests.browser import accessibility_violations, horizontal_overflow, in_looks, watch
from tests.dashboard.conftest import Dashboard, start

pytestmark = [pytest.mark.browser]
OpenPage = Callable[..., Page]


def open_dashboard(page: Page, dashboard: Dashboard) -> None:
    page.goto(dashboard.url_with_key)
    expect(page.get_by_role("button", name="Restart").first).to_be_visible()


def card_of(page: Page, port: str) -> Locator:
    return page.locator(f'.servers > li[data-key="{port}"]')


def figure(card: Locator, name: str) -> Locator:
    return card.locator(".figures div").filter(has=card.page.get_by_text(name, exact=True)).locator("dd")


@in_looks(360, 1600)
def test_no_page_complains_excludes_anyone_or_scrolls_sideways(
    dashboard: Dashboard, open_page: OpenPage, width: int, color_scheme: Any
) -> None:
    page = open_page(
        viewport={"width": width, "height": 900}, color_scheme=color_scheme, reduced_motion="reduce"
    )
    complaints = watch(page)
    open_dashboard(page, dashboard)
    page.locator("details.log summary").first.click()
    expect(page.locator("details.log[open] pre")).not_to_be_empty()
    assert accessibility_violations(page) == []
    assert horizontal_overflow(page) == []
    page.get_by_role("link", name="Twin mode").click()
    page.get_by_role("button", name="Send to 3 servers").click()
    expect(page.locator("#answers-title")).to_be_visible()
    for summary in page.locator("#answers summary").all():
        summary.click()
    assert accessibility_violations(page) == []
    assert horizontal_overflow(page) == []
    page.set_viewport_size({"width": 180, "height": 900})  # a phone at 200 % zoom
    assert horizontal_overflow(page) == []
    # Leaving a page aborts its pending requests.
    assert [text for text in complaints if "/live" not in text] == []


def test_cards_fill_and_load_shows_in_the_lines(dashboard: Dashboard, page: Page) -> None:
    open_dashboard(page, dashboard)
    expect(page.get_by_role("heading", level=1)).to_have_text("3 servers, one app")
    with raw_http.Load(dashboard.run.urls, clients=3):
        for port, server in zip(dashboard.ports, ("werkzeug", "waitress", "gunicorn"), strict=True):
            card = card_of(page, port)
            expect(card.get_by_role("heading")).to_contain_text(server)
            expect(card.get_by_role("link", name=f":{port}")).to_have_attribute(
                "href", f"http://127.0.0.1:{port}/"
            )
            expect(figure(card, "requests/s")).to_have_text(re.compile("[1-9]"))
            expect(figure(card, "p50")).to_have_text(re.compile(r"\d [µm]s"))
            expect(figure(card, "memory")).to_have_text(re.compile("MB"))
            expect(card.locator("path.line").first).to_have_attribute("d", re.compile("M.*L.*L"))
    assert page.evaluate("document.querySelectorAll('[style]').length") == 0


def test_a_killed_server_shows_and_comes_back(own_dashboard: Dashboard, page: Page) -> None:
    open_dashboard(page, own_dashboard)
    port = own_dashboard.ports[1]
    card = card_of(page, port)
    [pid] = own_dashboard.run.rows()[1].pids
    old = re.compile(rf"\b{pid}\b")
    expect(card).to_contain_text(old)
    os.kill(pid, signal.SIGKILL)
    expect(figure(card, "restarts")).to_have_text("1")
    expect(card).not_to_contain_text(old)
    expect(card.locator(".badge")).to_have_text("up")
    card.get_by_role("button", name="kill -9").click()
    outcome = page.locator("#outcome")
    expect(outcome).to_contain_text("Killed, and up again after")
    expect(outcome).to_contain_text(", 0 refused")
    expect(figure(card, "restarts")).to_have_text("2")


def test_swap_and_restart_under_load_refuse_nobody(own_dashboard: Dashboard, page: Page) -> None:
    open_dashboard(page, own_dashboard)
    port = own_dashboard.ports[0]
    card = card_of(page, port)
    outcome = page.locator("#outcome")
    with raw_http.Load(own_dashboard.run.urls[:1], clients=2) as load:
        card.get_by_label("Another server").select_option("waitress")
        # The selection is kept while the page is updated.
        page.wait_for_timeout(2500)
        card.get_by_role("button", name="Swap").click()
        expect(outcome).to_contain_text("Swapped after")
        expect(outcome).to_contain_text(", 0 refused")
        expect(card.get_by_role("heading")).to_contain_text("waitress")
        expect(page.locator(".route-map .name").first).to_have_text("waitress")
        card.get_by_role("button", name="Restart").click()
        expect(outcome).to_contain_text("Restarted after")
        load.wait_for(20)
    assert load.outcomes["refused"] == 0, load.details
    assert load.outcomes["lost"] == 0, load.details


def test_a_stopped_server_can_be_started_again(own_dashboard: Dashboard, page: Page) -> None:
    open_dashboard(page, own_dashboard)
    port = own_dashboard.ports[2]
    card = card_of(page, port)
    card.get_by_role("button", name="Stop").click()
    expect(card.locator(".badge")).to_have_text("stopped")
    with pytest.raises(ConnectionRefusedError):
        raw_http.get(own_dashboard.run.urls[2])
    expect(card.get_by_role("button", name="kill -9")).to_have_count(0)
    card.get_by_role("button", name="Start").click()
    expect(card.locator(".badge")).to_have_text("up")
    assert raw_http.get(own_dashboard.run.urls[2]).status == 200


def test_the_keyboard_is_enough(own_dashboard: Dashboard, page: Page) -> None:
    open_dashboard(page, own_dashboard)
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.value") == "restart":
            break
    focused = page.locator(":focus")
    expect(focused).to_have_text("Restart")
    page.wait_for_timeout(2500)  # the page is updated meanwhile, and the focus stays
    expect(focused).to_have_text("Restart")
    page.keyboard.press("Enter")
    expect(page.locator("#outcome")).to_contain_text("Restarted after")


def test_twin_mode_shows_a_real_difference_and_is_a_link(dashboard: Dashboard, page: Page) -> None:
    open_dashboard(page, dashboard)
    page.goto(f"{dashboard.url}/twin")
    page.get_by_label("Path and query").fill("/twins")
    page.get_by_text("Headers and body").click()
    page.get_by_label("Headers, one on each line").fill("X-Seen: yes")
    page.get_by_role("button", name="Send to 3 servers").click()
    row = page.locator(".twin-table tr").filter(has_text="Each server names itself here").first
    expect(row.locator("td.marked")).to_have_count(3)
    expect(page.locator("#answers mark").filter(has_text="gunicorn")).to_be_visible()
    link = page.url
    assert link.endswith("/twin?method=GET&path=%2Ftwins&headers=X-Seen%3A+yes")
    page.goto("about:blank")
    page.goto(link)
    expect(page.locator("#answers-title")).to_be_visible()
    expect(page.get_by_label("Headers, one on each line")).to_have_value("X-Seen: yes")


def test_twin_mode_warns_of_what_may_change_something(dashboard: Dashboard, page: Page) -> None:
    open_dashboard(page, dashboard)
    page.goto(f"{dashboard.url}/twin?method=DELETE&path=/things")
    warning = page.get_by_label("This may change data")
    expect(warning).to_be_visible()
    page.get_by_role("button", name="Send to 3 servers").click()
    expect(page.locator("#answers-title")).to_have_count(0)
    warning.check()
    page.get_by_role("button", name="Send to 3 servers").click()
    expect(page.locator("#answers-title")).to_be_visible()


def test_scripts_in_paths_and_log_lines_are_inert(dashboard: Dashboard, page: Page) -> None:
    complaints = watch(page)
    evil = "/<img%20src=x%20onerror=document.title='taken'><script>document.title='taken'</script>"
    raw_http.get(dashboard.run.urls[0], evil)
    open_dashboard(page, dashboard)
    card = card_of(page, dashboard.ports[0])
    card.locator("summary").click()
    expect(card.locator("pre")).to_contain_text("onerror=document.title")
    page.goto(f"{dashboard.url}/twin?path=/script")
    expect(page.get_by_text("The body that all have")).to_be_visible()
    page.get_by_text("The body that all have").click()
    expect(page.locator("#answers pre")).to_contain_text("<script>document.title")
    assert "taken" not in page.title()
    assert page.locator("#answers script").count() == 0
    assert [text for text in complaints if "/live" not in text] == []


def test_without_the_key_the_page_is_for_looking(dashboard: Dashboard, page: Page) -> None:
    page.goto(dashboard.url)
    expect(figure(card_of(page, dashboard.ports[0]), "memory")).to_have_text(re.compile("MB"))
    page.wait_for_timeout(1500)
    assert page.get_by_role("button").count() == 0
    page.goto(f"{dashboard.url}/twin?path=/")
    expect(page.locator("#problem")).to_contain_text("This needs the key of the run")


def test_page_without_the_key_says_what_is_missing(dashboard: Dashboard, page: Page) -> None:
    page.goto(dashboard.url)
    expect(page.locator("#keyless")).to_contain_text("it ends with #key=")
    open_dashboard(page, dashboard)
    expect(page.locator("#keyless")).to_be_hidden()


def test_the_key_leaves_the_address_bar_and_no_other_port_gets_it(dashboard: Dashboard, page: Page) -> None:
    sent: list[Request] = []
    page.on("request", lambda request: sent.append(request))
    open_dashboard(page, dashboard)
    assert page.url == f"{dashboard.url}/"
    assert page.context.cookies() == []
    page.goto(dashboard.run.urls[0])
    assert page.evaluate("localStorage.length") == 0
    assert not any(dashboard.key in request.url for request in sent)
    others = [request for request in sent if not request.url.startswith(dashboard.url)]
    assert others
    assert not any(dashboard.key in str(request.all_headers()) for request in others)


def test_a_hidden_tab_asks_nothing(dashboard: Dashboard, page: Page) -> None:
    open_dashboard(page, dashboard)
    page.evaluate(
        "Object.defineProperty(document, 'hidden', { value: true, configurable: true });"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
    page.wait_for_timeout(1500)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.wait_for_timeout(3000)
    assert asked == []
    with page.expect_request(lambda request: "/live" in request.url):
        page.evaluate("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")


def test_without_javascript_there_is_a_readable_table(dashboard: Dashboard, open_page: OpenPage) -> None:
    page = open_page(java_script_enabled=False)
    page.goto(dashboard.url)
    table = page.get_by_role("table")
    expect(table.get_by_role("row")).to_have_count(4)
    for port, server in zip(dashboard.ports, ("werkzeug", "waitress", "gunicorn"), strict=True):
        row = table.get_by_role("row").filter(has_text=server)
        expect(row.get_by_role("link", name=port)).to_be_visible()
        expect(row).to_contain_text("up")
    assert page.get_by_role("button").count() == 0
    expect(page.locator(".route-map")).to_be_visible()
    page.set_viewport_size({"width": 180, "height": 900})  # a phone at 200 % zoom
    expect(page.locator(".route-map")).to_be_hidden()  # its parts would overlap; the table says the same


def test_a_run_that_has_ended_is_told(own_dashboard: Dashboard, page: Page) -> None:
    open_dashboard(page, own_dashboard)
    own_dashboard.run.terminate()
    lost = page.locator("#lost")
    expect(lost).to_contain_text("the run may have ended")
    expect(lost).to_contain_text("This page shows the state at")


def test_a_supervisor_that_does_not_answer_is_told(own_dashboard: Dashboard, page: Page) -> None:
    open_dashboard(page, own_dashboard)
    own_dashboard.run.signal(signal.SIGSTOP)
    try:
        expect(page.locator("#lost")).to_be_visible()
    finally:
        own_dashboard.run.signal(signal.SIGCONT)
    expect(page.locator("#lost")).to_be_hidden()


@pytest.mark.deep
def test_sixteen_servers_stay_readable(tmp_path: Path, open_page: OpenPage) -> None:
    binds = [part for n in range(1, 17) for part in ("-b", f"waitress://127.0.0.1:0?threads={n}")]
    dashboard = start(tmp_path, *binds)
    try:
        page = open_page(viewport={"width": 1600, "height": 1000})
        began = time.monotonic()
        open_dashboard(page, dashboard)
        assert page.locator(".servers > li").count() == 16
        expect(figure(page.locator(".servers > li").last, "memory")).to_have_text(re.compile("MB"))
        print(f"16 servers shown after {time.monotonic() - began:.1f} s")
        for width in (1600, 360):
            page.set_viewport_size({"width": width, "height": 900})
            assert horizontal_overflow(page) == []
        assert accessibility_violations(page) == []
    finally:
        dashboard.run.clean_up()


def test_the_demo_site_shows_the_same_to_be_looked_at(tmp_path: Path, page: Page) -> None:
    dashboard = start(
        tmp_path, "-b", "gunicorn://127.0.0.1:0?workers=2", "-b", "werkzeug://127.0.0.1:0", app=None
    )
    try:
        for url in dashboard.run.urls:
            complaints = watch(page)
            page.goto(f"{url}servers")
            expect(page.get_by_role("heading", level=1)).to_have_text("2 servers, one app")
            card = card_of(page, url.rstrip("/").rpartition(":")[2])
            expect(figure(card, "requests/s")).to_have_text(re.compile("[1-9]"))
            assert page.locator("#live button").count() == 0
            assert accessibility_violations(page) == []
            assert [text for text in complaints if "/live" not in text] == []
        foreign = raw_http.Connection(dashboard.run.urls[0])
        with foreign as connection:
            connection.send(b"GET /servers HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n")
            answer = connection.answer()
        assert answer.status == 403
        assert "werkzeug" not in answer.text.partition("<main")[2].partition("</main>")[0]
    finally:
        dashboard.run.clean_up()
