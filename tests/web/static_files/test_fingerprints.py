"""Fingerprinted URLs: cached forever if the hash matches the content, and 404 if not."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.running import wait_until
from tests.web.static_files.calling import call
from tests.web.static_files.conftest import keep_at_once
from webdemo.web.static import representations
from webdemo.web.static.app import StaticFiles

IMMUTABLE = "public, max-age=31536000, immutable"


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("app.css", r"app\.[0-9a-f]{12}\.css"),
        ("/app.css", r"app\.[0-9a-f]{12}\.css"),
        ("sub/index.html", r"sub/index\.[0-9a-f]{12}\.html"),
        ("large.bin", r"large\.[0-9a-f]{12}\.bin"),
        ("app.min.js", r"app\.min\.[0-9a-f]{12}\.js"),
        ("LICENSE", r"LICENSE\.[0-9a-f]{12}"),
        ("ends.", r"ends\.[0-9a-f]{12}\."),
        ("grüße und?.txt", r"gr%C3%BC%C3%9Fe%20und%3F\.[0-9a-f]{12}\.txt"),
    ],
)
def test_a_url_carries_the_contents_hash_and_is_served_for_ever(
    either_app: StaticFiles, folder: Path, name: str, pattern: str
) -> None:
    file = folder / name.lstrip("/")
    if not file.exists():
        file.write_text(f"content of {name}")
    url = either_app.url(name)
    assert re.fullmatch(pattern, url)
    assert either_app.url(name) == url
    for _ in range(2):
        answer = call(either_app, "/" + url)
        assert (answer.status, answer.body, answer["Cache-Control"]) == (200, file.read_bytes(), IMMUTABLE)
    assert call(either_app, "/" + quote(name.lstrip("/")))["ETag"] == answer["ETag"]
    assert call(either_app, "/" + url, if_none_match=answer["ETag"])["Cache-Control"] == IMMUTABLE


@pytest.mark.parametrize("name", ["app.css", "large.bin"])
def test_a_changed_file_gets_a_new_url_and_the_old_one_is_not_served_with_its_content(
    either_app: StaticFiles, folder: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr("webdemo.web.static.app.monotonic", lambda: clock[0])
    old = either_app.url(name)
    assert call(either_app, "/" + old)["Cache-Control"] == IMMUTABLE
    (folder / name).write_bytes(b"changed" * 50_000)
    clock[0] = 1.5
    new = either_app.url(name)
    assert new != old
    assert call(either_app, "/" + new)["Cache-Control"] == IMMUTABLE
    stale = call(either_app, "/" + old)
    assert (stale.status, stale["Cache-Control"]) == (404, "no-store")


def test_a_404_is_not_cached_whatever_the_max_age(folder: Path) -> None:
    app = keep_at_once(StaticFiles(folder, max_age=3600))
    assert call(app, "/app.css")["Cache-Control"] == "public, max-age=3600"
    assert call(app, "/app.000000000000.css")["Cache-Control"] == "no-store"


def test_a_file_that_really_has_such_a_name_is_itself(either_app: StaticFiles, folder: Path) -> None:
    (folder / "app.0123456789ab.css").write_text("built")
    answer = call(either_app, "/app.0123456789ab.css")
    assert (answer.body, answer["Cache-Control"]) == (b"built", "no-cache")


def test_the_url_of_no_file_has_no_hash(either_app: StaticFiles) -> None:
    assert either_app.url("no ne.css") == "no%20ne.css"
    assert either_app.url("../secret") == "../secret"
    assert either_app.url("sub") == "sub"
    assert call(either_app, "/none.0123456789ab.css").status == 404
    assert call(either_app, "/.env.0123456789ab").status == 404


def test_a_fingerprinted_file_negotiates_its_encoding(either_app: StaticFiles, folder: Path) -> None:
    (folder / "app.css.gz").write_bytes(b"gzip")
    url = either_app.url("app.css")
    answer = call(either_app, "/" + url, accept_encoding="gzip")
    assert (answer.body, answer["Content-Encoding"], answer["Cache-Control"]) == (b"gzip", "gzip", IMMUTABLE)
    assert answer["Content-Type"] == "text/css; charset=utf-8"


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The descriptors of the large files that were read for their hash."""
    descriptors: list[int] = []
    original = representations._digest

    def read_and_count(descriptor: int, *, pauses: bool) -> str:
        descriptors.append(descriptor)
        return original(descriptor, pauses=pauses)

    monkeypatch.setattr(representations, "_digest", read_and_count)
    return descriptors


def test_content_of_a_large_file_is_read_once_for_its_hash(
    folder: Path, monkeypatch: pytest.MonkeyPatch, read: list[int]
) -> None:
    app = StaticFiles(folder)
    monkeypatch.setattr("webdemo.web.static.app.monotonic", itertools.count(0, 10).__next__)
    for _ in range(3):
        app.url("large.bin")
        call(app, "/large.000000000000.bin", method="HEAD")
        call(app, "/large.bin", method="HEAD")
    assert len(read) == 1


@pytest.mark.attack(
    "Files and races",
    "URLs with guessed fingerprints of a file of many GB, so that each of them has the file read",
    "404 at once; a file over 64 MiB is not read for a fingerprint, and its URL has none",
)
def test_no_fingerprint_has_a_file_read_that_is_too_large_for_a_request(
    folder: Path, monkeypatch: pytest.MonkeyPatch, read: list[int]
) -> None:
    right = StaticFiles(folder).url("large.bin")
    representations._hashes.clear()
    read.clear()
    monkeypatch.setattr(representations, "HASHED_BYTES", 2**20 - 1)
    app = StaticFiles(folder)
    for url in (right, "large.000000000000.bin"):
        answer = call(app, "/" + url)
        assert (answer.status, answer["Cache-Control"]) == (404, "no-store")
    assert app.url("large.bin") == "large.bin"
    assert call(app, "/large.bin")["Cache-Control"] == "no-cache"
    assert "large.bin" in {
        name.decode() for name, _ in StaticFiles(folder, immutable="large*").fingerprinted()
    }
    assert not any(name.startswith(b"large") for name, _ in app.fingerprinted())
    assert not read


def test_fingerprint_of_a_file_that_keeps_changing_is_asked_for_again_unless_a_page_has_named_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, read: list[int]
) -> None:
    monkeypatch.setattr(representations, "REREAD_SECONDS", 1000.0)
    page, asset = StaticFiles(folder), StaticFiles(folder)
    page.url("large.bin")
    (folder / "large.bin").write_bytes(b"changed" * 50_000)
    read.clear()
    answer = call(asset, "/large.000000000000.bin")
    assert (answer.status, answer["Retry-After"], read) == (503, "1", [])
    page._urls.clear()
    assert call(asset, "/" + page.url("large.bin"))["Cache-Control"] == IMMUTABLE
    assert call(asset, "/large.000000000000.bin").status == 404
    assert len(read) == 1


@pytest.fixture
def hosts(tmp_path: Path) -> dict[str, StaticFiles]:
    """Two hosts with the same bytes."""
    for host in ("a", "b"):
        (tmp_path / host).mkdir()
        (tmp_path / host / "large.bin").write_bytes(bytes(2**20))
    return {host: StaticFiles(tmp_path / host) for host in ("a", "b")}


def large_etag(host: StaticFiles) -> str:
    return call(host, "/large.bin", method="HEAD")["ETag"]


def test_etag_of_a_large_file_is_the_same_on_every_host(hosts: dict[str, StaticFiles]) -> None:
    assert large_etag(hosts["a"]) == large_etag(hosts["b"])


def test_etag_of_a_file_too_large_to_be_read_at_once_becomes_the_same_on_every_host(
    hosts: dict[str, StaticFiles], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_etag = large_etag(hosts["a"])
    representations._hashes.clear()
    monkeypatch.setattr(representations, "HASHED_BYTES", 2**20 - 1)
    assert large_etag(hosts["a"]) == large_etag(hosts["a"]) != large_etag(hosts["b"])
    assert not representations._waiting, "it has just changed, and may be growing"
    monkeypatch.setattr(representations, "RESTED_SECONDS", 0.0)
    wait_until(lambda: large_etag(hosts["a"]) == large_etag(hosts["b"]) == small_etag)
    (tmp_path / "a" / "large.bin").write_bytes(b"x" + bytes(2**20))
    assert large_etag(hosts["a"]) != small_etag, "at once, with the content"
    wait_until(lambda: large_etag(hosts["a"]).count("-") == 0)
    assert large_etag(hosts["a"]) != small_etag
    wait_until(lambda: not representations._waiting)
