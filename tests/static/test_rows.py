"""Each row of the table in docs/static-files.md, for files read afresh and for kept ones."""

from __future__ import annotations

import gzip
import os
import re
import time
from email.utils import formatdate
from pathlib import Path

import pytest

from tests.static.calling import call, call_unchecked, environ
from webdemo.web.static import StaticFiles

FILES = ["/ten.txt", "/large.bin"]
CONTENT = {"/ten.txt": b"0123456789", "/large.bin": bytes(range(256)) * 4096}


@pytest.fixture(params=FILES)
def target(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def twice(app: StaticFiles, target: str, method: str = "GET", **headers: str) -> None:
    """Have it looked up, so that what follows is answered from memory where it may be."""
    call(app, target, method, **headers)


def make_siblings(path: Path) -> None:
    for suffix, content in ((".br", b"brotli"), (".zst", b"zstandard"), (".gz", b"gzip")):
        sibling = path.with_name(path.name + suffix)
        sibling.write_bytes(content)
        os.utime(sibling, ns=(path.stat().st_mtime_ns, path.stat().st_mtime_ns))


def test_etag_is_strong_and_quoted(either_app: StaticFiles, target: str) -> None:
    assert re.fullmatch(r'"[!#-~]+"', call(either_app, target)["ETag"])


def test_each_encoding_has_an_etag_of_its_own(either_app: StaticFiles, folder: Path) -> None:
    make_siblings(folder / "ten.txt")
    encodings = ["", "gzip", "zstd", "br"]
    answers = [call(either_app, "/ten.txt", accept_encoding=encoding) for encoding in encodings]
    assert [answer.get("Content-Encoding") for answer in answers] == [None, "gzip", "zstd", "br"]
    assert len({answer["ETag"] for answer in answers}) == 4


def test_siblings_of_one_content_have_different_etags(folder: Path) -> None:
    make_siblings(folder / "ten.txt")
    for suffix in (".br", ".zst", ".gz"):
        (folder / f"ten.txt{suffix}").write_bytes(b"0123456789")
    app = StaticFiles(folder)
    tags = {call(app, "/ten.txt", accept_encoding=coding)["ETag"] for coding in ("", "gzip", "zstd", "br")}
    assert len(tags) == 4


@pytest.mark.parametrize("form", ["{0}", '"a", {0}', '"a",W/{0} , "b"', "W/{0}", "*", ' , {0},"x,y"'])
def test_if_none_match_gives_304_for_a_list_a_weak_tag_and_a_star(
    either_app: StaticFiles, target: str, form: str
) -> None:
    etag = call(either_app, target)["ETag"]
    for method in ("GET", "HEAD"):
        answer = call(either_app, target, method, if_none_match=form.format(etag))
        assert (answer.status, answer["ETag"]) == (304, etag)
        assert answer.get("Content-Type") is None


@pytest.mark.parametrize("value", ['"a"', "x", "", '"', "W/", 'abc"def'])
def test_if_none_match_of_another_tag_gives_200(either_app: StaticFiles, target: str, value: str) -> None:
    twice(either_app, target)
    assert call(either_app, target, if_none_match=value).status == 200


def test_if_none_match_knows_the_tag_of_the_encoding_chosen_only(folder: Path) -> None:
    make_siblings(folder / "ten.txt")
    app = StaticFiles(folder)
    plain = call(app, "/ten.txt")["ETag"]
    assert call(app, "/ten.txt", accept_encoding="br", if_none_match=plain).status == 200
    assert call(app, "/ten.txt", if_none_match=plain)["Vary"] == "Accept-Encoding"


def test_if_none_match_wins_over_if_modified_since(either_app: StaticFiles, target: str) -> None:
    modified = call(either_app, target)["Last-Modified"]
    answer = call(either_app, target, if_none_match='"other"', if_modified_since=modified)
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


def test_if_match_that_fails_gives_412(either_app: StaticFiles, target: str) -> None:
    etag = call(either_app, target)["ETag"]
    for method in ("GET", "HEAD"):
        for value in ('"other"', f"W/{etag}", ""):
            assert call(either_app, target, method, if_match=value).status == 412, value
        for value in ("*", etag, f'"other", {etag}'):
            assert call(either_app, target, method, if_match=value).status == 200, value
    assert call(either_app, target, if_match=etag, if_none_match=etag).status == 304


def test_if_unmodified_since_that_fails_gives_412(either_app: StaticFiles, target: str) -> None:
    now = formatdate(time.time() + 5, usegmt=True)
    assert call(either_app, target, if_unmodified_since="Sun, 06 Nov 1994 08:49:37 GMT").status == 412
    assert call(either_app, target, if_unmodified_since=now).status == 200
    assert call(either_app, target, if_unmodified_since="nonsense").status == 200
    both = call(either_app, target, if_match="*", if_unmodified_since="Sun, 06 Nov 1994 08:49:37 GMT")
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
    either_app: StaticFiles, target: str, field: str, start: int, end: int | None
) -> None:
    whole = CONTENT[target]
    etag = call(either_app, target)["ETag"]
    answer = call(either_app, target, range=field)
    first, past, _ = slice(start, end).indices(len(whole))
    assert (answer.status, answer.body, answer["ETag"]) == (206, whole[start:end], etag)
    assert answer["Content-Range"] == f"bytes {first}-{past - 1}/{len(whole)}"


def test_several_ranges_give_multipart_byteranges(either_app: StaticFiles, target: str) -> None:
    whole = CONTENT[target]
    answer = call(either_app, target, range="bytes=7-8, 0-1,,-1")
    assert answer.status == 206
    media_type, _, boundary = answer["Content-Type"].partition("; boundary=")
    assert media_type == "multipart/byteranges"
    assert answer.get("Content-Range") is None
    opening, *parts, closing = answer.body.split(f"--{boundary}".encode())
    assert (opening, closing) == (b"\r\n", b"--\r\n")
    own_type = call(either_app, target)["Content-Type"]
    size = len(whole)
    for part, (start, end) in zip(parts, [(7, 9), (0, 2), (size - 1, size)], strict=True):
        head, _, content = part.partition(b"\r\n\r\n")
        assert head.decode().strip().split("\r\n") == [
            f"Content-Type: {own_type}",
            f"Content-Range: bytes {start}-{end - 1}/{size}",
        ]
        assert content == whole[start:end] + b"\r\n"


def test_overlapping_ranges_are_merged_and_very_many_are_ignored(
    either_app: StaticFiles, target: str
) -> None:
    merged = call(either_app, target, range="bytes=0-,1-,2-,3-,-2")
    assert (merged.status, merged.body) == (206, CONTENT[target])
    many = call(either_app, target, range="bytes=" + ",".join(["0-0", "2-2", "4-4", "6-6"] * 300))
    assert (many.status, many.body) == (200, CONTENT[target])


@pytest.mark.parametrize("field", ["bytes=99999999-", "bytes=-0", "bytes=99999999-99999999999999999999999"])
def test_an_unsatisfiable_range_gives_416_with_the_length(
    either_app: StaticFiles, target: str, field: str
) -> None:
    answer = call(either_app, target, range=field)
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
def test_an_unknown_unit_or_broken_syntax_is_ignored(
    either_app: StaticFiles, target: str, field: str
) -> None:
    answer = call(either_app, target, range=field)
    assert (answer.status, answer.body) == (200, CONTENT[target])


def test_if_range_that_is_stale_gives_the_whole(either_app: StaticFiles, target: str) -> None:
    etag = call(either_app, target)["ETag"]
    assert call(either_app, target, range="bytes=0-0", if_range=etag).status == 206
    for value in ('"other"', f"W/{etag}", "Sun, 06 Nov 1994 08:49:37 GMT", "", "nonsense", "*"):
        assert call(either_app, target, range="bytes=0-0", if_range=value).status == 200, value


def test_if_range_takes_a_date_only_once_the_file_has_rested(app: StaticFiles, folder: Path) -> None:
    fresh = call(app, "/ten.txt")["Last-Modified"]
    assert call(app, "/ten.txt", range="bytes=0-0", if_range=fresh).status == 200
    os.utime(folder / "ten.txt", (784111777, 784111777))
    date = "Sun, 06 Nov 1994 08:49:37 GMT"
    assert call(app, "/ten.txt", range="bytes=0-0", if_range=date).status == 206
    assert call(app, "/ten.txt", range="bytes=0-0", if_range=date.replace("37", "38")).status == 200
    make_siblings(folder / "ten.txt")  # one date stands for several encodings now
    app = StaticFiles(folder)
    assert call(app, "/ten.txt", range="bytes=0-0", if_range=date).status == 200


def test_a_range_of_an_encoding_is_a_range_of_its_bytes(either_app: StaticFiles, folder: Path) -> None:
    make_siblings(folder / "ten.txt")
    etag = call(either_app, "/ten.txt", accept_encoding="br")["ETag"]
    part = call(either_app, "/ten.txt", accept_encoding="br", range="bytes=2-3", if_range=etag)
    assert (part.status, part.body, part["Content-Encoding"]) == (206, b"ot", "br")
    assert part["Content-Range"] == "bytes 2-3/6"
    other = call(either_app, "/ten.txt", range="bytes=2-3", if_range=etag)
    assert (other.status, other.body) == (200, b"0123456789")


def test_head_with_range_is_head_without(either_app: StaticFiles, target: str) -> None:
    without = call(either_app, target, "HEAD")
    for field in ("bytes=0-0", "bytes=0-0,5-5", "bytes=99999999-"):
        assert call(either_app, target, "HEAD", range=field) == without


def test_head_has_the_headers_of_get_and_no_body(either_app: StaticFiles, folder: Path) -> None:
    make_siblings(folder / "app.css")
    listing = StaticFiles(folder, listing=True)
    for app in (either_app, listing):
        for path in ("/ten.txt", "/large.bin", "/", "/sub", "/none", "/app.css", "/empty/"):
            get = call(app, path, accept_encoding="br")
            head = call(app, path, "HEAD", accept_encoding="br")
            assert (head.status, head.headers, head.body) == (get.status, get.headers, b""), path


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, None),
        ("", None),
        ("gzip", "gzip"),
        ("x-gzip", "gzip"),
        ("gzip, deflate, br, zstd", "br"),
        ("GZIP;Q=0.5, zstd;q=0.6", "zstd"),
        ("gzip;q=0", None),
        ("br;q=0, *", "zstd"),
        ("*", "br"),
        ("*;q=0.1, gzip;q=0.2", "gzip"),
        ("*;q=0, gzip", "gzip"),
        ("gzip;q=0.5, identity", None),
        ("identity;q=0.5, gzip;q=0.5", "gzip"),
        ("identity;q=0, *;q=0.001", "br"),
        ("deflate", None),
        ("gzip;q=high", None),
        ("gzip;q=1.5", None),
    ],
)
def test_accept_encoding_chooses(
    either_app: StaticFiles, folder: Path, accept: str | None, expected: str | None
) -> None:
    make_siblings(folder / "ten.txt")
    headers = {} if accept is None else {"accept_encoding": accept}
    for _ in range(2):
        answer = call(either_app, "/ten.txt", **headers)
        assert (answer.status, answer.get("Content-Encoding")) == (200, expected)
        assert answer["Vary"] == "Accept-Encoding"


@pytest.mark.parametrize("accept", ["identity;q=0", "*;q=0", "identity;q=0, deflate", "*;q=0, gzip;q=0"])
def test_identity_refused_and_nothing_else_accepted_gives_406(
    either_app: StaticFiles, folder: Path, accept: str
) -> None:
    make_siblings(folder / "ten.txt")
    assert call(either_app, "/ten.txt", accept_encoding=accept).status == 406
    assert call(either_app, "/app.css", accept_encoding=accept).status == 406


def test_vary_is_sent_only_where_there_are_siblings(either_app: StaticFiles) -> None:
    assert call(either_app, "/ten.txt", accept_encoding="gzip").get("Vary") is None


def test_a_sibling_older_than_its_file_is_not_sent(folder: Path) -> None:
    make_siblings(folder / "ten.txt")
    older = (folder / "ten.txt").stat().st_mtime_ns - 1
    os.utime(folder / "ten.txt.br", ns=(older, older))
    assert call(StaticFiles(folder), "/ten.txt", accept_encoding="br, gzip")["Content-Encoding"] == "gzip"


def test_a_sibling_that_is_no_regular_file_is_not_sent(folder: Path) -> None:
    (folder / "ten.txt.br").symlink_to("/etc/passwd")
    os.mkfifo(folder / "ten.txt.gz")
    (folder / "ten.txt.zst").mkdir()
    answer = call(StaticFiles(folder), "/ten.txt", accept_encoding="br, gzip, zstd")
    assert (answer.get("Content-Encoding"), answer.body) == (None, b"0123456789")


def test_a_compressed_file_asked_for_by_name_has_no_content_encoding(
    either_app: StaticFiles, folder: Path
) -> None:
    (folder / "file.tar.gz").write_bytes(gzip.compress(b"tar"))
    answer = call(either_app, "/file.tar.gz", accept_encoding="gzip")
    assert (answer["Content-Type"], answer.get("Content-Encoding")) == ("application/gzip", None)


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
def test_type_follows_from_the_name(app: StaticFiles, folder: Path, name: str, expected: str) -> None:
    (folder / name).touch()
    assert call(app, "/" + name)["Content-Type"] == expected


@pytest.mark.parametrize("path", ["/ten.txt", "/", "/none", "/sub"])
def test_other_methods_give_405_with_allow(either_app: StaticFiles, path: str) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH", "TRACE", "BREW"):
        answer = call_unchecked(either_app, environ(path, method))
        assert (answer.status, answer["Allow"]) == (405, "GET, HEAD, OPTIONS")
    options = call(either_app, path, "OPTIONS")
    assert (options.status, options["Allow"]) == (204, "GET, HEAD, OPTIONS")


def test_nosniff_is_sent_with_every_body(either_app: StaticFiles, folder: Path) -> None:
    listing = StaticFiles(folder, listing=True)
    for app in (either_app, listing):
        for path in ("/ten.txt", "/large.bin", "/", "/empty/", "/none", "/sub"):
            assert call(app, path)["X-Content-Type-Options"] == "nosniff"
    assert call(either_app, "/ten.txt", range="bytes=0-0")["X-Content-Type-Options"] == "nosniff"


def test_a_file_dated_in_the_future_is_said_to_be_of_now(app: StaticFiles, folder: Path) -> None:
    os.utime(folder / "ten.txt", (time.time() + 10**6, time.time() + 10**6))
    from webdemo.web.conditions import parse_date

    modified = parse_date(call(app, "/ten.txt")["Last-Modified"])
    assert modified is not None
    assert modified <= time.time()
