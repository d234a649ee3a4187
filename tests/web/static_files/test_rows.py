"""Each row of the table in docs/static-files.md, for files read from disk and from the cache."""

from __future__ import annotations

import os
import re
import time
from email.utils import formatdate
from pathlib import Path

import pytest

from tests.web.static_files.calling import call, call_unchecked, environ
from webdemo.web.static.app import StaticFiles
from webdemo.web.static.conditions import parse_date

FILES = ["/ten.txt", "/large.bin"]
CONTENT = {"/ten.txt": b"0123456789", "/large.bin": bytes(range(256)) * 4096}


@pytest.fixture(params=FILES)
def target(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def twice(app: StaticFiles, target: str, method: str = "GET", **headers: str) -> None:
    """Request it once first, so that the second response may come from the cache."""
    call(app, target, method, **headers)


def test_etag_is_strong_and_quoted(site_app: StaticFiles, target: str) -> None:
    assert re.fullmatch(r'"[!#-~]+"', call(site_app, target)["ETag"])


@pytest.mark.parametrize("form", ["{0}", '"a", {0}', '"a",W/{0} , "b"', "W/{0}", "*", ' , {0},"x,y"'])
def test_if_none_match_gives_304_for_a_list_a_weak_tag_and_a_star(
    site_app: StaticFiles, target: str, form: str
) -> None:
    etag = call(site_app, target)["ETag"]
    for method in ("GET", "HEAD"):
        answer = call(site_app, target, method, if_none_match=form.format(etag))
        assert (answer.status, answer["ETag"]) == (304, etag)
        assert answer.get("Content-Type") is None


@pytest.mark.parametrize("value", ['"a"', "x", "", '"', "W/", 'abc"def'])
def test_if_none_match_of_another_tag_gives_200(site_app: StaticFiles, target: str, value: str) -> None:
    twice(site_app, target)
    assert call(site_app, target, if_none_match=value).status == 200


def test_if_none_match_wins_over_if_modified_since(site_app: StaticFiles, target: str) -> None:
    modified = call(site_app, target)["Last-Modified"]
    answer = call(site_app, target, if_none_match='"other"', if_modified_since=modified)
    assert answer.status == 200


def test_if_modified_since_gives_304_by_any_form_of_date(app: StaticFiles, folder: Path) -> None:
    os.utime(folder / "ten.txt", (784111777, 784111777))
    for date in (
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        "Sun, 06 Nov 1994 08:49:38 GMT",
    ):
        assert call(app, "/ten.txt", if_modified_since=date).status == 304, date
    for date in ("Sun, 06 Nov 1994 08:49:36 GMT", "yesterday", "", "Sun, 99 Nov 99999 08:49:37 GMT"):
        assert call(app, "/ten.txt", if_modified_since=date).status == 200, date


def test_if_match_that_fails_gives_412(site_app: StaticFiles, target: str) -> None:
    etag = call(site_app, target)["ETag"]
    for method in ("GET", "HEAD"):
        for value in ('"other"', f"W/{etag}", ""):
            assert call(site_app, target, method, if_match=value).status == 412, value
        for value in ("*", etag, f'"other", {etag}'):
            assert call(site_app, target, method, if_match=value).status == 200, value
    assert call(site_app, target, if_match=etag, if_none_match=etag).status == 304


def test_if_unmodified_since_that_fails_gives_412(site_app: StaticFiles, target: str) -> None:
    now = formatdate(time.time() + 5, usegmt=True)
    assert call(site_app, target, if_unmodified_since="Sun, 06 Nov 1994 08:49:37 GMT").status == 412
    assert call(site_app, target, if_unmodified_since=now).status == 200
    assert call(site_app, target, if_unmodified_since="nonsense").status == 200
    both = call(site_app, target, if_match="*", if_unmodified_since="Sun, 06 Nov 1994 08:49:37 GMT")
    assert both.status == 200


@pytest.mark.parametrize(
    ("field", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=-5", -5, None),
        ("bytes=5-", 5, None),
        ("bytes=2-4", 2, 5),
        ("bytes=0-99999999999999999999999", 0, None),
        ("bytes=-99999999999999999999999", 0, None),
        ("Bytes=1-2", 1, 3),
        ("bytes= 1-2 ", 1, 3),
        ("bytes=0-3,2-5", 0, 6),
    ],
)
def test_a_range_gives_206(
    site_app: StaticFiles, target: str, field: str, start: int, end: int | None
) -> None:
    whole = CONTENT[target]
    etag = call(site_app, target)["ETag"]
    answer = call(site_app, target, range=field)
    first, past, _ = slice(start, end).indices(len(whole))
    assert (answer.status, answer.body, answer["ETag"]) == (206, whole[start:end], etag)
    assert answer["Content-Range"] == f"bytes {first}-{past - 1}/{len(whole)}"


def test_several_ranges_give_multipart_byteranges(site_app: StaticFiles, target: str) -> None:
    whole = CONTENT[target]
    answer = call(site_app, target, range="bytes=7-8, 0-1,,-1")
    assert answer.status == 206
    media_type, _, boundary = answer["Content-Type"].partition("; boundary=")
    assert media_type == "multipart/byteranges"
    assert answer.get("Content-Range") is None
    opening, *parts, closing = answer.body.split(f"--{boundary}".encode())
    assert (opening, closing) == (b"\r\n", b"--\r\n")
    own_type = call(site_app, target)["Content-Type"]
    size = len(whole)
    for part, (start, end) in zip(parts, [(7, 9), (0, 2), (size - 1, size)], strict=True):
        head, _, content = part.partition(b"\r\n\r\n")
        assert head.decode().strip().split("\r\n") == [
            f"Content-Type: {own_type}",
            f"Content-Range: bytes {start}-{end - 1}/{size}",
        ]
        assert content == whole[start:end] + b"\r\n"


def test_overlapping_ranges_are_merged_and_very_many_are_ignored(site_app: StaticFiles, target: str) -> None:
    merged = call(site_app, target, range="bytes=0-,1-,2-,3-,-2")
    assert (merged.status, merged.body) == (206, CONTENT[target])
    many = call(site_app, target, range="bytes=" + ",".join(["0-0", "2-2", "4-4", "6-6"] * 300))
    assert (many.status, many.body) == (200, CONTENT[target])


@pytest.mark.parametrize("field", ["bytes=99999999-", "bytes=-0", "bytes=99999999-99999999999999999999999"])
def test_an_unsatisfiable_range_gives_416_with_the_length(
    site_app: StaticFiles, target: str, field: str
) -> None:
    answer = call(site_app, target, range=field)
    assert (answer.status, answer["Content-Range"]) == (416, f"bytes */{len(CONTENT[target])}")


def test_a_range_of_an_empty_file_is_416_or_the_empty_whole(app: StaticFiles, folder: Path) -> None:
    (folder / "nothing").touch()
    assert call(app, "/nothing", range="bytes=0-0").status == 416
    assert call(app, "/nothing", range="bytes=-5").status == 200


@pytest.mark.parametrize(
    "field",
    [
        "lines=0-1",
        "bytes",
        "bytes=",
        "bytes=a-b",
        "bytes=3-2",
        "bytes=-",
        "bytes=--",
        "bytes=1-2-3",
        "bytes=0-1;2-3",
        "bytes=0-0,x",
        "bytes=0 - 1",
        "bytes=+1-2",
        "bytes=٣-٤",
        "0-1",
    ],
)
def test_an_unknown_unit_or_broken_syntax_is_ignored(site_app: StaticFiles, target: str, field: str) -> None:
    answer = call(site_app, target, range=field)
    assert (answer.status, answer.body) == (200, CONTENT[target])


def test_if_range_that_is_stale_gives_the_whole(site_app: StaticFiles, target: str) -> None:
    etag = call(site_app, target)["ETag"]
    assert call(site_app, target, range="bytes=0-0", if_range=etag).status == 206
    for value in ('"other"', f"W/{etag}", "Sun, 06 Nov 1994 08:49:37 GMT", "", "nonsense", "*"):
        assert call(site_app, target, range="bytes=0-0", if_range=value).status == 200, value


def test_head_with_range_is_head_without(site_app: StaticFiles, target: str) -> None:
    without = call(site_app, target, "HEAD")
    for field in ("bytes=0-0", "bytes=0-0,5-5", "bytes=99999999-"):
        assert call(site_app, target, "HEAD", range=field) == without


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.html", "text/html; charset=utf-8"),
        ("a.css", "text/css; charset=utf-8"),
        ("a.js", "text/javascript; charset=utf-8"),
        ("a.mjs", "text/javascript; charset=utf-8"),
        ("a.txt", "text/plain; charset=utf-8"),
        ("a.md", "text/markdown; charset=utf-8"),
        ("a.json", "application/json"),
        ("a.xml", "application/xml"),
        ("a.wasm", "application/wasm"),
        ("a.webmanifest", "application/manifest+json"),
        ("a.woff2", "font/woff2"),
        ("a.avif", "image/avif"),
        ("a.webp", "image/webp"),
        ("a.svg", "image/svg+xml"),
        ("a.SVG", "image/svg+xml"),
        ("a.mp4", "video/mp4"),
        ("a.webm", "video/webm"),
        ("a.mp3", "audio/mpeg"),
        ("a.pdf", "application/pdf"),
        ("a.zip", "application/zip"),
        ("a.tar", "application/x-tar"),
        ("a.whl", "application/zip"),
        ("a.zst", "application/zstd"),
        ("a.br", "application/octet-stream"),
        ("a.unheard-of", "application/octet-stream"),
        ("html", "application/octet-stream"),
        ("LICENSE", "application/octet-stream"),
    ],
)
def test_type_follows_from_the_name(tmp_path: Path, name: str, expected: str) -> None:
    (tmp_path / name).touch()
    assert call(StaticFiles(tmp_path), "/" + name)["Content-Type"] == expected


@pytest.mark.parametrize("path", ["/ten.txt", "/", "/none", "/sub"])
def test_other_methods_give_405_with_allow(site_app: StaticFiles, path: str) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH", "TRACE", "BREW"):
        answer = call_unchecked(site_app, environ(path, method))
        assert (answer.status, answer["Allow"]) == (405, "GET, HEAD, OPTIONS")
    options = call(site_app, path, "OPTIONS")
    assert (options.status, options["Allow"]) == (204, "GET, HEAD, OPTIONS")


def test_nosniff_is_sent_with_every_body(either_app: StaticFiles, folder: Path) -> None:
    listing = StaticFiles(folder, listing=True)
    for app in (either_app, listing):
        for path in ("/ten.txt", "/large.bin", "/", "/empty/", "/none", "/sub"):
            assert call(app, path)["X-Content-Type-Options"] == "nosniff"
    assert call(either_app, "/ten.txt", range="bytes=0-0")["X-Content-Type-Options"] == "nosniff"


def test_a_file_dated_before_every_calendar_is_served(app: StaticFiles, folder: Path) -> None:
    os.utime(folder / "ten.txt", (-(2**31), -(2**31)))
    assert call(app, "/ten.txt")["Last-Modified"] == "Thu, 01 Jan 1970 00:00:00 GMT"


def test_a_file_dated_in_the_future_is_said_to_be_of_now(app: StaticFiles, folder: Path) -> None:
    os.utime(folder / "ten.txt", (time.time() + 10**6, time.time() + 10**6))
    modified = parse_date(call(app, "/ten.txt")["Last-Modified"])
    assert modified is not None
    assert modified <= time.time()
