"""The pages about ports in Chromium: the line by mouse, touch and keyboard, the trace, the lesson."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser import accessibility_violations, horizontal_overflow, in_looks, watch
from tests.demo.conftest import serve_site

pytestmark = [pytest.mark.browser]

PAGES = [
    "/ports",
    "/ports?q=8000-8003",
    "/ports?q=postgrse",
    "/ports/0",
    "/ports/http",
    "/ports/65535",
    "/ports/70000",
    "/trace",
    "/learn",
    "/learn/port",
    "/learn/url",
    "/learn/ranges",
    "/learn/one-server",
    "/learn/many-servers",
    "/learn/questions?q1=a&q2=b&q3=c&q4=a&q5=b",
]
OpenPage = Callable[..., Page]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The site behind Waitress, with a Gunicorn beside it."""
    folder = tmp_path_factory.mktemp("pages")
    arguments = ["-m", "webdemo", "-b", "waitress://127.0.0.1:0", "-b", "gunicorn://127.0.0.1:0"]
    with serve_site(arguments, folder / "log", XDG_RUNTIME_DIR=str(folder)) as found:
        yield found


@in_looks(360, 1600)
def test_no_page_complains_excludes_anyone_or_scrolls_sideways(
    url: str, open_page: OpenPage, width: int, color_scheme: Any
) -> None:
    page = open_page(
        viewport={"width": width, "height": 800}, color_scheme=color_scheme, reduced_motion="reduce"
    )
    complaints = watch(page)
    for path in PAGES:
        page.goto(url + path)
        if path.partition("?")[0] == "/ports":
            expect(page.get_by_role("slider")).to_be_visible()
        assert accessibility_violations(page) == [], path
        assert horizontal_overflow(page) == [], path
        page.set_viewport_size({"width": 800, "height": 800})
        assert horizontal_overflow(page) == [], path
        page.set_viewport_size({"width": width, "height": 800})
    assert complaints == []


def open_line(page: Page, url: str, query: str = "") -> Any:
    page.goto(f"{url}/ports{query}")
    line = page.get_by_role("slider", name="Port")
    expect(line).to_be_visible()
    return line


def window(page: Page) -> tuple[int, int]:
    """The ports that the line shows."""
    text = page.locator(".port-window").inner_text()
    first, last = re.findall(r"\d+", text)
    return int(first), int(last)


def test_line_obeys_the_keyboard(url: str, open_page: OpenPage) -> None:
    page = open_page(reduced_motion="reduce")
    line = open_line(page, url)
    assert window(page) == (0, 65535)
    line.press("End")
    expect(line).to_have_attribute("aria-valuenow", "65535")
    line.press("Home")
    expect(line).to_have_attribute("aria-valuenow", "0")
    for _ in range(20):
        line.press("+")
    assert window(page) == (0, 15)
    for _ in range(22):
        line.press("ArrowRight")
    expect(line).to_have_attribute("aria-valuenow", "22")
    expect(line).to_have_attribute("aria-valuetext", re.compile("^22, ssh, system port"))
    first, last = window(page)
    assert first <= 22 <= last
    line.press("ArrowLeft")
    expect(line).to_have_attribute("aria-valuenow", "21")
    for _ in range(3):
        line.press("-")
    assert window(page)[1] - window(page)[0] > 100
    line.press("0")
    assert window(page) == (0, 65535)
    line.press("Enter")
    expect(page).to_have_url(f"{url}/ports/21")


def test_line_is_dragged_and_pinched_without_moving_the_page(url: str, open_page: OpenPage) -> None:
    page = open_page(reduced_motion="reduce", viewport={"width": 1000, "height": 900})
    line = open_line(page, url, "?q=8000-8100")
    first, last = window(page)
    assert first < 8000
    assert last > 8100
    line.scroll_into_view_if_needed()
    box = line.bounding_box()
    assert box is not None
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.move(*middle)
    page.mouse.down()
    page.mouse.move(middle[0] - 200, middle[1], steps=4)
    page.mouse.up()
    assert window(page)[0] > first
    span = window(page)[1] - window(page)[0]
    page.keyboard.down("Control")
    page.mouse.wheel(0, -60)
    page.keyboard.up("Control")
    page.wait_for_function(
        f"() => {{ const [a, b] = document.querySelector('.port-window').innerText.match(/\\d+/g);"
        f" return b - a < {span}; }}"
    )


def test_tap_on_the_line_tells_of_the_port(url: str, open_page: OpenPage) -> None:
    page = open_page(has_touch=True, reduced_motion="reduce", viewport={"width": 360, "height": 800})
    line = open_line(page, url, "?q=5432")
    line.scroll_into_view_if_needed()
    box = line.bounding_box()
    assert box is not None
    page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + 120)
    expect(line).to_have_attribute("aria-valuenow", re.compile("^543[123]$"))
    expect(page.get_by_role("link", name=re.compile("All about port 543"))).to_be_visible()


def test_line_shows_who_listens(url: str, open_page: OpenPage) -> None:
    page = open_page(reduced_motion="reduce")
    port = url.rpartition(":")[2]
    open_line(page, url, f"?q={port}")
    expect(page.locator(".port-detail")).to_contain_text("a webdemo that you started")
    expect(page.locator(".port-detail .badge.ok")).to_have_text("listens now")


def test_ports_work_without_javascript(url: str, open_page: OpenPage) -> None:
    page = open_page(java_script_enabled=False)
    page.goto(f"{url}/ports")
    page.get_by_label("A number, a range or a name").fill("smtp")
    page.get_by_role("button", name="Find").click()
    found = page.get_by_role("region", name="Ports that were found")
    found.get_by_role("link", name="25", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile(r"Port\s*25"))
    page.get_by_role("link", name="26 →").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile(r"Port\s*26"))


def test_trace_of_this_server_names_the_process(url: str, open_page: OpenPage) -> None:
    page = open_page(java_script_enabled=False, viewport={"width": 360, "height": 800})
    page.goto(f"{url}/trace")
    page.get_by_role("button", name="Trace").click()
    expect(page.locator(".timeline")).to_contain_text("from your port")
    expect(page.locator(".note.ok")).to_contain_text(re.compile("Answered by waitress"))
    assert horizontal_overflow(page) == []
    page.get_by_role("textbox", name="URL").fill("http://10.0.0.1/")
    page.get_by_role("button", name="Trace").click()
    expect(page.locator(".timeline .note.bad")).to_contain_text("may not be contacted from here")


def test_trace_page_is_for_everyone(url: str, page: Page) -> None:
    complaints = watch(page)
    page.goto(f"{url}/trace")
    page.get_by_role("button", name="Trace").click()
    expect(page.locator(".timeline")).to_be_visible()
    assert accessibility_violations(page) == []
    assert complaints == []


def test_lesson_takes_the_port_and_shows_the_real_error(url: str, open_page: OpenPage) -> None:
    page = open_page(java_script_enabled=False)
    page.goto(f"{url}/learn")
    page.get_by_role("link", name="Begin").click()
    for title in ("From URL to app", "Three ranges", "One server per port"):
        page.get_by_role("link", name=f"{title} →").click()
        expect(page.get_by_role("heading", level=1)).to_have_text(title)
    page.get_by_role("button", name="Listen on port").click()
    port = url.rpartition(":")[2]
    expect(page.locator("#error")).to_contain_text(
        f"Port {port} is already in use by a webdemo that you started"
    )
    expect(page.locator("#error")).to_contain_text("exit code 69")


def test_note_stays_with_the_name_under_which_it_was_stored(url: str, page: Page) -> None:
    port = url.rpartition(":")[2]
    page.goto(f"{url}/learn/many-servers")
    page.get_by_role("button", name="Store a note").click()
    expect(page.locator("#stored")).to_contain_text(f"Stored by a page of {url}: “a note of")
    page.goto(f"http://localhost:{port}/learn/many-servers")
    expect(page.locator("#stored")).to_have_text(f"Nothing is stored under http://localhost:{port}.")


def test_path_is_played_forward_and_back_by_keyboard(url: str, open_page: OpenPage) -> None:
    page = open_page(reduced_motion="reduce")
    page.goto(f"{url}/learn/url")
    forward = page.get_by_role("button", name="Step forward")
    forward.focus()
    told = []
    for _ in range(12):
        page.keyboard.press("Enter")
        told.append(page.locator(".player span").inner_text())
    assert (told[0], told[5]) == ("Request, 1 of 12: Your browser", "Request, 6 of 12: App")
    assert (told[6], told[11]) == ("Response, 7 of 12: App", "Response, 12 of 12: Your browser")
    expect(forward).to_be_disabled()
    page.get_by_role("button", name="Play").click()
    expect(page.locator(".stop.current")).to_contain_text("Your browser")
    assert accessibility_violations(page) == []


def test_request_moves_only_where_motion_is_wanted(url: str, open_page: OpenPage) -> None:
    for wanted, name in (("no-preference", "walk"), ("reduce", "none")):
        page = open_page(reduced_motion=wanted)
        page.goto(f"{url}/learn/port")
        packet = page.locator(".doors .packet")
        assert packet.evaluate("e => getComputedStyle(e).animationName") == name


def test_narrowest_pages_do_not_scroll_sideways(url: str, open_page: OpenPage) -> None:
    """180 px is a phone of 360 px at 200 % zoom."""
    page = open_page(viewport={"width": 180, "height": 400}, reduced_motion="reduce")
    for path in (*PAGES, "/", "/hello", "/inspect", "/servers", "/mail", "/files/", "/compare", "/nowhere"):
        page.goto(url + path)
        assert horizontal_overflow(page) == [], path


def test_browser_keeps_another_port_apart(url: str, page: Page) -> None:
    refused: list[str] = []
    page.on("console", lambda message: refused.append(message.text))
    page.goto(f"{url}/learn/many-servers")
    other = page.get_by_label("Another origin on this machine").input_value()
    assert other != url
    page.get_by_role("button", name="Request both").click()
    answers = page.locator("#answers .note")
    expect(answers).to_have_count(3)
    expect(answers.nth(0)).to_contain_text(f"{url} was read.")
    expect(answers.nth(1)).to_contain_text(f"{other} was reached.")
    expect(answers.nth(2)).to_contain_text(f"{other} may not be read.")
    assert "its name differs" in answers.nth(2).inner_text()
    # It is refused by the same-origin policy, not by this page's own content security policy.
    assert any("blocked by CORS policy" in text for text in refused)
    assert not any("Content Security Policy" in text for text in refused)
    assert accessibility_violations(page) == []
