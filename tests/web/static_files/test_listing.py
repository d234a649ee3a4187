"""Listings: exactly what would be served, in a selectable order, with working links."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest

from tests.web.static_files.calling import Answer, call
from webdemo.web.static.app import StaticFiles
from webdemo.web.static.listing import Order

NAMES = [
    b"a b?c#d%.txt",
    b"\xff\xfe",
    b"\"<i>&'\n",
    "grüße".encode(),
    b"a:b",
    b"javascript:alert(1)",
    b"file10",
    b"file2",
]


class Links(HTMLParser):
    """The links of a page, and the text of each."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.links: list[tuple[str, str]] = []
        self.inside = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.inside = True
            self.links.append((dict(attrs)["href"] or "", ""))
        elif tag in ("script", "style", "i"):
            raise AssertionError(f"<{tag}> in a listing")

    def handle_data(self, data: str) -> None:
        if self.inside and data.strip():
            self.links[-1] = (self.links[-1][0], self.links[-1][1] + data.strip())

    def handle_endtag(self, tag: str) -> None:
        self.inside = self.inside and tag != "a"


@pytest.fixture
def app(folder: Path) -> StaticFiles:
    return StaticFiles(folder, listing=True)


@pytest.fixture
def odd(folder: Path) -> Path:
    odd = folder / "odd"
    odd.mkdir()
    for name in NAMES:
        (odd / os.fsdecode(name)).write_bytes(name)
    return odd


def as_json(app: StaticFiles, target: str) -> list[dict[str, Any]]:
    answer = call(app, target, accept="application/json")
    assert answer["Content-Type"] == "application/json"
    entries: list[dict[str, Any]] = json.loads(answer.body)["entries"]
    return entries


def names(answer: Answer) -> list[str]:
    return re.findall(r'<td class="name[^>]*><a[^>]*><bdi>(.*?)</bdi>', answer.body.decode())


def test_folders_are_listed_only_where_asked_for(app: StaticFiles, folder: Path) -> None:
    assert call(StaticFiles(folder), "/empty/").status == 404
    assert call(app, "/empty/").status == 200
    assert call(app, "/").body == b"<h1>home</h1>"


def test_every_link_leads_to_its_file_under_any_mount(app: StaticFiles, odd: Path) -> None:
    for script_name in ("", "/files", "/a/b"):
        page = call(app, "/odd/", script_name=script_name).body.decode()
        base = f"http://host{script_name}/odd/"
        found = {urljoin(base, href) for href, _ in Links(page).links if href.startswith("./")}
        bodies = set()
        for url in found:
            assert url.startswith(base)
            bodies.add(call(app, url.removeprefix(f"http://host{script_name}")).body)
        assert bodies >= set(NAMES)
    for entry in as_json(app, "/odd/"):
        path = urljoin("http://host/odd/", entry["url"]).removeprefix("http://host")
        assert len(call(app, path).body) == entry["size"]


def test_breadcrumbs_and_the_parent_link_lead_up(app: StaticFiles, folder: Path) -> None:
    (folder / "sub" / "inner").mkdir()
    page = call(app, "/sub/inner/", script_name="/files").body.decode()
    links = [(urljoin("/files/sub/inner/", href), text) for href, text in Links(page).links]
    for expected in (("/files/", "files"), ("/files/sub/", "sub"), ("/files/sub/inner/", "inner")):
        assert expected in links
    assert ("/files/sub/", "Parent folder") in links
    root = StaticFiles(folder, listing=True, index=None)
    assert "Parent folder" not in call(root, "/").body.decode()


def test_the_stylesheet_is_served_beside_every_folder(app: StaticFiles, folder: Path) -> None:
    (folder / "sub" / "inner").mkdir()
    for target, script_name in (("/empty/", ""), ("/sub/inner/", "/files")):
        page = call(app, target, script_name=script_name)
        assert "unsafe" not in page["Content-Security-Policy"]
        for href in re.findall(r'<link [^>]*href="(.*?)"', page.body.decode()):
            path = urljoin(script_name + target, href).removeprefix(script_name)
            assert path.startswith("/.webdemo/")
            answer = call(app, path, script_name=script_name)
            assert (answer.status, answer["Cache-Control"]) == (200, "public, max-age=31536000, immutable")
    assert call(StaticFiles(folder), "/.webdemo/webdemo.css").status == 404


def test_what_is_not_served_is_not_listed(app: StaticFiles, folder: Path) -> None:
    mixed = folder / "mixed"
    mixed.mkdir()
    (mixed / ".env").touch()
    (mixed / ".git").mkdir()
    (mixed / "dangling").symlink_to("nowhere")
    (mixed / "out").symlink_to("/etc")
    (mixed / "passwd").symlink_to("/etc/passwd")
    (mixed / "inside").symlink_to("../ten.txt")
    (mixed / "inside-folder").symlink_to("../sub")
    (mixed / "plain").touch()
    os.mkfifo(mixed / "fifo")
    listed = [(entry["name"], entry["type"], entry["size"]) for entry in as_json(app, "/mixed/")]
    assert listed == [("inside-folder", "folder", None), ("inside", "file", 10), ("plain", "file", 0)]


def test_json_is_sent_where_accept_prefers_it(app: StaticFiles, odd: Path) -> None:
    for accept in ("text/html", "*/*", "text/html,application/json;q=0.9"):
        answer = call(app, "/odd/", accept=accept)
        assert answer["Content-Type"] == "text/html; charset=utf-8"
        assert answer["Vary"] == "Accept"
    entries = as_json(app, "/odd/")
    first = entries[0]
    assert (first["name"], first["type"], first["size"]) == ("\"<i>&'\n", "file", 7)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", entries[0]["modified"])


def test_sorting_works_by_links_alone(app: StaticFiles, folder: Path) -> None:
    shop = folder / "shop"
    shop.mkdir()
    for name, size, day in (("file10", 30, 1), ("File2", 10, 3), ("a", 20, 2)):
        (shop / name).write_bytes(bytes(size))
        os.utime(shop / name, (day * 86400, day * 86400))
    (shop / "zoo").mkdir()
    for query, expected in (
        ("", ["zoo", "a", "File2", "file10"]),
        ("?sort=name&order=desc", ["zoo", "file10", "File2", "a"]),
        ("?sort=size", ["zoo", "file10", "a", "File2"]),
        ("?sort=size&order=asc", ["zoo", "File2", "a", "file10"]),
        ("?sort=date", ["zoo", "File2", "a", "file10"]),
        ("?sort=date&order=asc", ["zoo", "file10", "a", "File2"]),
        ("?sort=colour&order=up", ["zoo", "a", "File2", "file10"]),
        ("?sort=%ff&order=" + "x" * 5000, ["zoo", "a", "File2", "file10"]),
    ):
        assert names(call(app, f"/shop/{query}")) == expected, query
        assert [entry["name"] for entry in as_json(app, f"/shop/{query}")] == expected
    page = call(app, "/shop/?sort=size").body.decode()
    assert re.search(
        r'<th scope="col" class="size" aria-sort="descending"><a href="\?sort=size&amp;order=asc">', page
    )
    assert page.count("aria-sort") == 1


def test_a_second_click_turns_the_order_round() -> None:
    assert Order.parse("").link("name") == "?sort=name&order=desc"
    assert Order.parse("sort=name&order=desc").link("name") == "?sort=name&order=asc"
    assert Order.parse("").link("size") == "?sort=size&order=desc"


def test_exact_bytes_stand_in_the_title(app: StaticFiles, folder: Path) -> None:
    (folder / "empty" / "file").write_bytes(bytes(12345))
    assert '<data value="12345" title="12,345 bytes">12 kB</data>' in call(app, "/empty/").body.decode()


def test_times_beyond_every_calendar_are_listed(app: StaticFiles, folder: Path) -> None:
    (folder / "empty" / "old").touch()
    (folder / "empty" / "new").touch()
    os.utime(folder / "empty" / "old", (-(2**31), -(2**31)))
    os.utime(folder / "empty" / "new", (2**33, 2**33))
    assert names(call(app, "/empty/")) == ["new", "old"]


def test_large_folder_is_listed_in_pages(app: StaticFiles, folder: Path) -> None:
    for number in range(2_345):
        (folder / "empty" / f"file{number}").touch()
    (folder / "empty" / "folder").mkdir()
    first, last = call(app, "/empty/"), call(app, "/empty/?page=3&sort=name&order=asc")
    assert (names(first)[0], names(first)[-1], len(names(first))) == ("folder", "file998", 1000)
    assert (names(last)[0], names(last)[-1]) == ("file1999", "file2344")
    assert ("?sort=name&order=asc&page=2", "Next") in Links(first.body.decode()).links
    assert ("?sort=name&order=asc&page=2", "Previous") in Links(last.body.decode()).links
    assert b"2,345 files; 1 folder" in first.body
    for page in ("0", "-1", "x", ""):
        assert names(call(app, f"/empty/?page={page}")) == names(first)
    assert names(call(app, "/empty/?page=999999999")) == names(last)


def test_pages_of_json_follow_each_other(app: StaticFiles, folder: Path) -> None:
    for number in range(2_001):
        (folder / "empty" / f"file{number}").write_bytes(bytes(number % 7))
    query, found = "?sort=size", []
    while query:
        page = json.loads(call(app, f"/empty/{query}", accept="application/json").body)
        found += [(entry["size"], entry["name"]) for entry in page["entries"]]
        query = page["next"]
    assert len({name for _, name in found}) == 2_001
    assert [size for size, _ in found] == sorted((size for size, _ in found), reverse=True)


@pytest.mark.deep
def test_listing_of_100000_files_takes_less_processor_time_than_http_servers(
    app: StaticFiles, folder: Path
) -> None:
    for number in range(100_000):
        (folder / "empty" / f"file{number}.txt").touch()

    def list_with_http_server() -> None:
        handler = SimpleHTTPRequestHandler.__new__(SimpleHTTPRequestHandler)
        handler.path, handler.request_version, handler.requestline = "/", "HTTP/0.9", ""
        handler.log_request = lambda *_: None  # type: ignore[method-assign]
        assert handler.list_directory(folder / "empty") is not None

    def seconds(action: Callable[[], object]) -> float:
        began = time.process_time()
        action()
        return time.process_time() - began

    theirs = min(seconds(list_with_http_server) for _ in range(3))
    for query in ("", "?sort=size", "?sort=date&page=100"):
        assert min(seconds(partial(call, app, f"/empty/{query}")) for _ in range(3)) < theirs


def test_a_file_that_goes_away_while_listed_is_left_out(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "empty" / "going").touch()
    (folder / "empty" / "staying").touch()
    access = os.access

    def vanish(name: bytes, mode: int, **options: Any) -> bool:
        (folder / "empty" / "going").unlink(missing_ok=True)
        return access(name, mode, **options)

    monkeypatch.setattr(os, "access", vanish)
    assert "staying" in names(call(StaticFiles(folder, listing=True), "/empty/"))


def test_a_listing_is_not_changed_by_conditions_and_ranges(app: StaticFiles) -> None:
    assert call(app, "/empty/", if_none_match="*", range="bytes=0-0").status == 200


def test_the_title_is_the_folders_own_name(app: StaticFiles, folder: Path) -> None:
    root = StaticFiles(folder, listing=True, index=None)
    assert "<title>site</title>" in call(root, "/").body.decode()
    assert "<title>files</title>" in call(root, "/", script_name="/files").body.decode()
    assert "<title>empty</title>" in call(app, "/empty/").body.decode()


def test_a_browser_gets_a_page_for_a_missing_file_and_other_clients_a_line(
    app: StaticFiles, folder: Path
) -> None:
    for target, script_name in (("/none", ""), ("/sub/none.txt", "/files"), ("/none/", "/a/b")):
        answer = call(app, target, script_name=script_name, accept="text/html,*/*;q=0.8")
        page = answer.body.decode()
        assert (answer.status, answer["Cache-Control"], answer["Vary"]) == (404, "no-store", "Accept")
        base = script_name + target
        assert f">{base}<" in page
        assert f"{script_name}/" in {urljoin(base, href) for href, _ in Links(page).links}
        [style] = re.findall(r'<link rel="stylesheet" href="(.*?)"', page)
        path = urljoin(base, style).removeprefix(script_name)
        assert call(app, path, script_name=script_name).status == 200
    assert call(app, "/none", accept="*/*").body == b"404 Not Found\n"
    assert call(StaticFiles(folder), "/none", accept="text/html").body == b"404 Not Found\n"


@pytest.mark.attack(
    "Listings", "markup and control characters in the path of a missing file", "shown as text"
)
def test_the_page_for_a_missing_file_shows_a_hostile_path_as_text(app: StaticFiles) -> None:
    for path in (
        "/%3Cscript%3Ealert(1)%3C/script%3E",
        "/%1b%5b31m",
        "/%ff%fe",
        "//evil.example/%22%3E%3Ci%3E",
    ):
        page = call(app, path, accept="text/html").body.decode()
        assert "<script" not in page
        assert "<i>" not in page
        assert "\x1b" not in page
