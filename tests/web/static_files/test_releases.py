"""Files that change as releases do: symlinks swapped, stale siblings, files put back with their old time."""

from __future__ import annotations

import gzip
import itertools
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.web import serving
from tests.web.static_files.calling import call
from tests.web.static_files.conftest import keep_at_once
from webdemo import App, StaticFiles
from webdemo.web.static.compress import compress

LARGE = b"a" * 600_000


def swap(link: Path, target: str) -> None:
    """Point a symlink elsewhere, atomically."""
    new = link.with_name(f"{link.name}.new")
    new.symlink_to(target)
    new.replace(link)


@contextmanager
def swapping(link: Path, targets: list[str]) -> Iterator[None]:
    stop = threading.Event()

    def run() -> None:
        for target in itertools.cycle(targets):
            if stop.is_set():
                return
            swap(link, target)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(60)


@pytest.fixture
def releases(tmp_path: Path) -> Path:
    for name in ("r1", "r2"):
        for kind, file in (("static", "a.css"), ("templates", "p.html")):
            (tmp_path / name / kind).mkdir(parents=True)
            (tmp_path / name / kind / file).write_text(name)
    (tmp_path / "current").symlink_to("r1")
    return tmp_path


def test_file_is_found_while_the_releases_symlink_is_swapped(releases: Path) -> None:
    app = StaticFiles(releases / "current" / "static")
    with swapping(releases / "current", ["r2", "r1"]):
        seen = {call(app, "/a.css").status for _ in range(2000)}
    assert seen == {200}


def test_file_is_found_while_a_configmap_is_swapped(tmp_path: Path) -> None:
    for name in ("..1", "..2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "app.css").write_text(name)
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "app.css").symlink_to("..data/app.css")
    app = StaticFiles(tmp_path)
    with swapping(tmp_path / "..data", ["..2", "..1"]):
        seen = {call(app, "/app.css").status for _ in range(2000)}
    assert seen == {200}


def test_app_follows_the_current_release(releases: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("webdemo.web.templates.monotonic", lambda: clock[0])
    current = releases / "current"
    app = App(static=current / "static", templates=current / "templates")
    app.get("/")(lambda request: app.render("p.html"))
    assert [serving.call(app, path).body for path in ("/", "/static/a.css")] == [b"r1", b"r1"]
    swap(current, "r2")
    clock[0] = 2.0
    assert [serving.call(app, path).body for path in ("/", "/static/a.css")] == [b"r2", b"r2"]


def test_template_replaced_with_the_same_time_and_size_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr("webdemo.web.templates.monotonic", lambda: clock[0])
    page, other = tmp_path / "p.html", tmp_path / "other"
    for file, text in ((page, "one"), (other, "two")):
        file.write_text(text)
        os.utime(file, (1000, 1000))
    app = App(templates=tmp_path)
    assert app.render("p.html") == "one"
    other.replace(page)
    clock[0] = 2.0
    assert app.render("p.html") == "two"


def test_app_without_a_file_takes_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "static").mkdir()
    (tmp_path / "static" / "secret.txt").write_text("x")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    namespace: dict[str, Any] = {}
    exec("from webdemo import App\napp = App()", namespace)  # as `python -c` does
    assert serving.call(namespace["app"], "/static/secret.txt").status == "404 Not Found"


@pytest.mark.parametrize("change", ["touched", "removed", "replaced"])
def test_large_sibling_that_changes_does_not_make_its_file_unavailable(tmp_path: Path, change: str) -> None:
    big, sibling = tmp_path / "big.js", tmp_path / "big.js.gz"
    big.write_bytes(LARGE)
    sibling.write_bytes(gzip.compress(LARGE, 0))
    moment = big.stat().st_mtime_ns
    os.utime(sibling, ns=(moment, moment))
    app = keep_at_once(StaticFiles(tmp_path))
    assert call(app, "/big.js", accept_encoding="gzip")["Content-Encoding"] == "gzip"
    if change == "touched":
        os.utime(sibling, ns=(moment + 1, moment + 1))
    else:
        sibling.unlink()
        if change == "replaced":
            sibling.write_bytes(gzip.compress(LARGE, 0))
    answer = call(app, "/big.js", accept_encoding="gzip")
    assert answer.status == 200
    body = gzip.decompress(answer.body) if answer.get("Content-Encoding") else answer.body
    assert body == LARGE


@pytest.mark.parametrize("way", ["rename", "copy"])
def test_file_put_back_with_its_old_time_is_sent_without_the_newer_siblings(tmp_path: Path, way: str) -> None:
    file, old = tmp_path / "app.js", tmp_path / ".old"
    old.write_text("v1;" * 2000)
    os.utime(old, (time.time() - 1000,) * 2)
    file.write_text("v2;" * 2000)
    assert [event.outcome for event in compress(tmp_path)] == ["compressed"]
    if way == "rename":
        old.replace(file)
    else:
        moment = old.stat().st_mtime_ns
        file.write_bytes(old.read_bytes())
        os.utime(file, ns=(moment, moment))
    app = StaticFiles(tmp_path)
    assert call(app, "/app.js", accept_encoding="gzip").body[:2] == b"v1"
    assert [event.outcome for event in compress(tmp_path)] == ["compressed"]
    assert gzip.decompress(call(app, "/app.js", accept_encoding="gzip").body)[:2] == b"v1"


def test_sibling_made_later_by_another_tool_is_served(tmp_path: Path) -> None:
    (tmp_path / "app.js").write_text("v1;" * 2000)
    os.utime(tmp_path / "app.js", (time.time() - 1000,) * 2)
    (tmp_path / "app.js.gz").write_bytes(gzip.compress(b"v1;" * 2000))
    answer = call(StaticFiles(tmp_path), "/app.js", accept_encoding="gzip")
    assert answer["Content-Encoding"] == "gzip"


def test_one_file_without_a_usable_name_does_not_stop_compression(tmp_path: Path) -> None:
    (tmp_path / "app.js.gz").mkdir()
    for name in ("app.js", "x" * 250 + ".js", "z.js"):
        (tmp_path / name).write_text("a" * 5000)
    outcomes = {event.path.name[-6:]: event.outcome for event in compress(tmp_path)}
    assert outcomes["z.js"] == "compressed"
    assert outcomes["app.js"] == outcomes["xxx.js"] == "without a usable name"
    assert (tmp_path / "z.js.gz").exists()


def test_file_with_a_time_in_the_future_is_cached(folder: Path) -> None:
    os.utime(folder / "app.css", (time.time() + 10**6,) * 2)
    app = keep_at_once(StaticFiles(folder))
    assert call(app, "/app.css").status == 200
    assert app._kept.get("/app.css") is not None


@pytest.mark.parametrize("page", [None, "<h1>nothing</h1>"])
def test_404_is_not_kept_by_caches(folder: Path, page: str | None) -> None:
    if page:
        (folder / "404.html").write_text(page)
    assert call(StaticFiles(folder), "/app.js")["Cache-Control"] == "no-store"
