"""Content codings: which stored representation is sent, and that no two are ever confused."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from tests.web.static_files.calling import call
from webdemo.web.static.app import StaticFiles


def make_siblings(path: Path) -> None:
    for suffix, content in ((".br", b"brotli"), (".zst", b"zstandard"), (".gz", b"gzip")):
        sibling = path.with_name(path.name + suffix)
        sibling.write_bytes(content)
        os.utime(sibling, ns=(path.stat().st_mtime_ns, path.stat().st_mtime_ns))


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


def test_if_none_match_knows_the_tag_of_the_encoding_chosen_only(folder: Path) -> None:
    make_siblings(folder / "ten.txt")
    app = StaticFiles(folder)
    plain = call(app, "/ten.txt")["ETag"]
    assert call(app, "/ten.txt", accept_encoding="br", if_none_match=plain).status == 200
    assert call(app, "/ten.txt", if_none_match=plain)["Vary"] == "Accept-Encoding"


def test_if_range_takes_a_date_only_once_the_file_has_rested(app: StaticFiles, folder: Path) -> None:
    fresh = call(app, "/ten.txt")["Last-Modified"]
    assert call(app, "/ten.txt", range="bytes=0-0", if_range=fresh).status == 200
    os.utime(folder / "ten.txt", (784111777, 784111777))
    date = "Sun, 06 Nov 1994 08:49:37 GMT"
    assert call(app, "/ten.txt", range="bytes=0-0", if_range=date).status == 206
    assert call(app, "/ten.txt", range="bytes=0-0", if_range=date.replace("37", "38")).status == 200
    make_siblings(folder / "ten.txt")  # now several encodings have the same date
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


def test_an_empty_sibling_is_not_sent(folder: Path) -> None:
    (folder / "ten.txt.gz").touch()  # as a full disk leaves it
    answer = call(StaticFiles(folder), "/ten.txt", accept_encoding="gzip")
    assert (answer.get("Content-Encoding"), answer.body) == (None, b"0123456789")


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
