"""Files cached in memory match those on disk, whatever happens there."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from tests.web.static_files.calling import call
from tests.web.static_files.conftest import keep_at_once
from webdemo.web.static import file_cache as kept_files
from webdemo.web.static.app import StaticFiles
from webdemo.web.static.file_cache import KeptFiles


@pytest.fixture
def app(folder: Path) -> StaticFiles:
    app = keep_at_once(StaticFiles(folder))
    for path in ("/ten.txt", "/large.bin", "/", "/sub/"):
        call(app, path)
    return app


def counted_stats(app: StaticFiles, target: str, monkeypatch: pytest.MonkeyPatch) -> int:
    calls = []
    stat = os.stat

    def counted(*args: Any, **options: Any) -> os.stat_result:
        calls.append(args)
        return stat(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", counted)
        patch.setattr(os, "open", None)
        assert call(app, target).status == 200
    return len(calls)


def test_a_kept_file_costs_one_stat_and_no_open(app: StaticFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    assert counted_stats(app, "/ten.txt", monkeypatch) == 1
    assert counted_stats(app, "/sub/", monkeypatch) == 1


@pytest.mark.parametrize("path", ["ten.txt", "large.bin"])
def test_content_and_etag_follow_a_change(app: StaticFiles, folder: Path, path: str) -> None:
    seen = {call(app, f"/{path}")["ETag"]}
    for number in range(5):
        content = f"{number}".encode() * 300_000 if path == "large.bin" else f"text {number}".encode()
        if number % 2:
            (folder / "next").write_bytes(content)
            (folder / "next").replace(folder / path)
        else:
            (folder / path).write_bytes(content)
        answer = call(app, f"/{path}")
        assert answer.body == content
        seen.add(answer["ETag"])
    assert len(seen) == 6


def test_a_change_that_hides_its_time_and_size_is_seen(app: StaticFiles, folder: Path) -> None:
    file = folder / "ten.txt"
    before = file.stat()
    file.write_text("9876543210")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert call(app, "/ten.txt").body == b"9876543210"


def test_a_file_removed_or_made_unservable_is_not_sent_any_more(app: StaticFiles, folder: Path) -> None:
    (folder / "ten.txt").unlink()
    assert call(app, "/ten.txt").status == 404
    (folder / "sub" / "index.html").unlink()
    assert call(app, "/sub/").status == 404
    (folder.parent / "outside").write_text("outside")
    (folder / "large.bin").unlink()
    (folder / "large.bin").symlink_to(folder.parent / "outside")
    assert call(app, "/large.bin").status == 404
    (folder / "index.html").unlink()
    os.mkfifo(folder / "index.html")
    assert call(app, "/").status == 404


def test_a_file_that_changed_in_the_last_two_seconds_is_not_kept(folder: Path) -> None:
    now = time.time()
    app = StaticFiles(folder)
    app._kept = KeptFiles(clock=lambda: now + 1)
    call(app, "/ten.txt")
    assert app._kept.get("/ten.txt") is None
    app._kept = KeptFiles(clock=lambda: now + 10)
    call(app, "/ten.txt")
    assert app._kept.get("/ten.txt") is not None


def test_siblings_made_later_are_noticed_within_seconds(folder: Path) -> None:
    now = time.time() + 60
    app = StaticFiles(folder)
    app._kept = KeptFiles(clock=lambda: now)
    assert call(app, "/ten.txt", accept_encoding="gzip").get("Content-Encoding") is None
    (folder / "ten.txt.gz").write_bytes(b"gzip")
    now += kept_files.LOOK_AGAIN_SECONDS + 1
    assert call(app, "/ten.txt", accept_encoding="gzip")["Content-Encoding"] == "gzip"


def test_what_is_kept_is_bounded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_files, "MAX_FILES", 5)
    monkeypatch.setattr(kept_files, "MAX_BYTES", 3000)
    app = keep_at_once(StaticFiles(folder))
    for number in range(20):
        (folder / f"{number}.txt").write_bytes(bytes(100 * number))
        for _ in range(2):
            assert len(call(app, f"/{number}.txt").body) == 100 * number
    assert len(app._kept._files) <= 5
    held = sum(file.memory for file, *_ in app._kept._files.values())
    assert held == app._kept._bytes <= 3000


def test_a_large_file_is_not_held_in_memory(app: StaticFiles) -> None:
    file = app._kept.get("/large.bin")
    assert file is not None
    assert file.memory == 0


def test_no_stale_fingerprint_fills_the_memory(app: StaticFiles) -> None:
    before = len(app._kept._files)
    for number in range(50):
        assert call(app, f"/ten.{number:012x}.txt").status == 404
    assert len(app._kept._files) == before
