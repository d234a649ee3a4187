"""Fingerprinted URLs: cached forever if the hash matches the content, and 404 if not."""

from __future__ import annotations

import hashlib
import itertools
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

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


def test_content_of_a_large_file_is_read_once_for_its_hash(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = StaticFiles(folder)
    read: list[Any] = []
    original = hashlib.file_digest

    def read_and_count(file: Any, digest: Any) -> Any:
        read.append(file)
        return original(file, digest)

    monkeypatch.setattr(hashlib, "file_digest", read_and_count)
    monkeypatch.setattr("webdemo.web.static.app.monotonic", itertools.count(0, 10).__next__)
    for _ in range(3):
        app.url("large.bin")
        call(app, "/large.000000000000.bin", method="HEAD")
        call(app, "/large.bin", method="HEAD")
    assert len(read) == 1


@pytest.mark.parametrize(("hashed_bytes", "is_same"), [(2**30, True), (2**20 - 1, False)])
def test_etag_of_a_large_file_is_the_same_on_every_host_up_to_a_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hashed_bytes: int, is_same: bool
) -> None:
    monkeypatch.setattr(representations, "HASHED_BYTES", hashed_bytes)
    tags = set()
    for host in ("a", "b"):
        (tmp_path / host).mkdir()
        (tmp_path / host / "large.bin").write_bytes(bytes(2**20))
        tags.add(call(StaticFiles(tmp_path / host), "/large.bin", method="HEAD")["ETag"])
    assert (len(tags) == 1) is is_same
