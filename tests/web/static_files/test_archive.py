"""The archive of several releases' assets: published whole or not at all, bounded, served by every host."""

from __future__ import annotations

import gzip
import os
import resource
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.web.static_files.calling import call
from webdemo import App, StaticFiles
from webdemo.errors import UsageError, WebdemoError
from webdemo.middleware.static_mounts import with_archive
from webdemo.web.static.archive import Published, publish

IMMUTABLE = "public, max-age=31536000, immutable"
MB = 1_000_000


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return tmp_path / "archive"


def make(folder: Path, **texts: str) -> StaticFiles:
    """A release whose files are named by the keys, `app_css`, and immutable if they are in `built`."""
    folder.mkdir(parents=True)
    for name, text in texts.items():
        file = folder / name.replace("__", "/").replace("_", ".")
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    return StaticFiles(folder, immutable="built/*")


def add(
    archive: Path,
    release: str,
    files: StaticFiles,
    *,
    keep: int = 5,
    max_bytes: int = MB,
    at: str = "/static/",
) -> Published:
    return publish(archive, release, {at: files}, keep=keep, max_bytes=max_bytes)


def content(archive: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(archive)): path.read_bytes() for path in archive.rglob("*") if path.is_file()
    }


def test_a_host_serves_the_files_of_every_release_as_its_own(tmp_path: Path, archive: Path) -> None:
    apps, urls = [], []
    for release in ("1", "2"):
        make(
            tmp_path / release, app_css=f"css {release}", same_js="same", **{f"built__{release}_js": release}
        )
        (tmp_path / release / "app.css.gz").write_bytes(gzip.compress(release.encode()))
        app = App(static=tmp_path / release)
        app.mount(
            "/own", StaticFiles(tmp_path / release, types={".css": "text/x-own"}, headers={"X-Own": "1"})
        )
        app.mount("/inner", App(static=tmp_path / release))
        assert app.static_apps().keys() == {"/static/", "/own/", "/inner/static/"}
        publish(archive, release, app.static_apps(), keep=5, max_bytes=MB)
        hashed = app.static_apps()["/static/"].url("app.css")
        urls += [(f"{at}/{hashed}", f"css {release}") for at in ("/static", "/own", "/inner/static")]
        apps.append(with_archive(app, str(archive)))
    for served in apps:
        for url, body in urls:
            answer = call(served, url)
            assert (answer.status, answer.body, answer["Cache-Control"]) == (200, body.encode(), IMMUTABLE)
            assert (answer.get("X-Own") == "1") is url.startswith("/own")
            assert (answer["Content-Type"].startswith("text/x-own")) is url.startswith("/own")
            assert call(served, url, script_name="/behind/a/proxy").status == 200
            assert call(served, url, accept_encoding="gzip")["Content-Encoding"] == "gzip"
        tags = {call(served, url)["ETag"] for served in apps for url, body in urls if body == "css 1"}
        assert len(tags) == 1, "an asset has the same tag on every host"


@pytest.mark.attack(
    "Files and races",
    "A path that leads out of the archive of assets, to its hidden folders or through a symlink in it",
    "404 with `no-store`",
)
def test_what_no_release_has_is_a_404_that_is_not_stored(tmp_path: Path, archive: Path) -> None:
    old, new = make(tmp_path / "1", app_css="old"), make(tmp_path / "2", app_css="new", gone_css="x")
    add(archive, "1", old)
    (tmp_path / "secret.css").write_text("secret")
    (archive / "1" / "static" / "link.css").symlink_to(tmp_path / "secret.css")
    (archive / ".publishing-1" / "static").mkdir(parents=True)
    (archive / ".publishing-1" / "static" / "half.css").write_text("half")
    app = App(static=tmp_path / "2")
    app.mount("/2", StaticFiles(tmp_path / "2"))
    served = with_archive(app, str(archive))
    for path in (
        "/static/app.000000000000.css",
        f"/2/{old.url('app.css')}",
        "/static/link.css",
        "/static/half.css",
        "/static/../../secret.css",
        "/static/%2e%2e/%2e%2e/secret.css",
        "/static/..%2f..%2fsecret.css",
        "/static/%00.css",
        "/static/1",
    ):
        answer = call(served, path)
        assert (answer.status, answer["Cache-Control"]) == (404, "no-store"), path
    assert call(served, f"/static/{old.url('app.css')}").body == b"old"
    assert call(served, f"/static/{new.url('app.css')}").body == b"new"
    for file in archive.rglob("*.css"):
        file.unlink()
    assert call(served, f"/static/{old.url('app.css')}").status == 404


def test_only_names_that_never_change_are_published(tmp_path: Path, archive: Path) -> None:
    files = make(tmp_path / "1", app_css="a", built__b_js="b", sub__c_txt="c")
    (tmp_path / "1" / ".env").write_text("secret")
    (tmp_path / "1" / "link.css").symlink_to(tmp_path / "1" / "app.css")
    done = add(archive, "1", files)
    assert content(archive) == {
        f"1/static/{files.url('app.css')}": b"a",
        "1/static/built/b.js": b"b",
        f"1/static/{files.url('sub/c.txt')}": b"c",
    }
    assert done == Published(files=3, added_bytes=3, removed=())


def test_equal_files_of_two_releases_are_stored_once(tmp_path: Path, archive: Path) -> None:
    add(archive, "1", make(tmp_path / "1", same_js="s" * 1000, app_css="1"))
    assert add(archive, "2", make(tmp_path / "2", same_js="s" * 1000, app_css="2")).added_bytes == 1
    [first], [second] = ([*(archive / release).rglob("same.*")] for release in "12")
    assert first.samefile(second)
    assert add(archive, "3", StaticFiles(tmp_path / "2")).added_bytes == 0
    assert not (archive / "3").exists(), "its files are all in an earlier release"


def test_a_release_that_is_published_again_with_other_files_keeps_the_first(
    tmp_path: Path, archive: Path
) -> None:
    for number in ("1", "2", "3"):
        add(archive, "r", make(tmp_path / number, app_css=number))
    assert sorted(content(archive).values()) == [b"1", b"2", b"3"]


def test_old_releases_are_removed_but_never_the_one_that_still_serves(tmp_path: Path, archive: Path) -> None:
    for number in range(1, 6):
        done = add(archive, str(number), make(tmp_path / str(number), a_css=str(number) * 100), keep=3)
    assert done.removed == ("2",)
    assert {path.name for path in archive.iterdir()} == {"3", "4", "5"}
    assert add(archive, "6", make(tmp_path / "6", a_css="6" * 100), max_bytes=250).removed == ("4", "3")
    before = content(archive)
    with pytest.raises(UsageError, match="more than 250") as refused:
        add(archive, "7", make(tmp_path / "7", a_css="7" * 200), max_bytes=250)
    assert refused.value.remedy == "Allow more: --max-size MB"
    assert content(archive) == before


def test_what_an_interrupted_publication_left_is_removed_later(tmp_path: Path, archive: Path) -> None:
    for name, age in (("old", 7200.0), ("new", 0.0)):
        (archive / f".publishing-{name}").mkdir(parents=True)
        os.utime(archive / f".publishing-{name}", (time.time() - age,) * 2)
    add(archive, "1", make(tmp_path / "1", a_css="a"))
    assert {path.name for path in archive.iterdir()} == {"1", ".publishing-new"}


def test_another_content_under_a_name_that_never_changes_is_refused(tmp_path: Path, archive: Path) -> None:
    add(archive, "1", make(tmp_path / "1", built__a_js="one"))
    before = content(archive)
    with pytest.raises(
        UsageError, match=r"built/a\.js' has another content in release 1: its name has no hash"
    ):
        add(archive, "2", make(tmp_path / "2", built__a_js="two"))
    assert content(archive) == before


@pytest.mark.attack(
    "Files and races",
    "The name of a release or a path that leads out of the archive of assets",
    "Refused, and nothing is written",
)
@pytest.mark.parametrize(
    ("release", "at"),
    [("../1", "/static/"), ("a/b", "/static/"), (".a", "/static/"), ("..", "/static/"), ("a\nb", "/static/"),
     ("a\0b", "/static/"), ("x" * 300, "/static/"), ("1", "/../static/"), ("1", "/.x/")],
)  # fmt: skip
def test_hostile_names_are_refused(tmp_path: Path, archive: Path, release: str, at: str) -> None:
    with pytest.raises(UsageError):
        add(archive, release, make(tmp_path / "1", a_css="a"), at=at)
    assert {path.name for path in tmp_path.iterdir()} <= {"1", "archive"}
    assert not archive.exists() or not content(archive)


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_leaves_the_archive_as_it_was(tmp_path: Path, archive: Path) -> None:
    add(archive, "1", make(tmp_path / "1", a_css="a"))
    before = content(archive)
    files = make(tmp_path / "2", a_css="b", large_css="c" * 100_000)
    with (
        full_disk(60_000),
        pytest.raises(WebdemoError, match=r"cannot be published .*: File too large") as told,
    ):
        add(archive, "2", files)
    assert str(told.value.remedy).startswith("Make room")
    assert content(archive) == before
    assert {path.name for path in archive.iterdir()} == {"1"}


def test_hosts_that_publish_at_once_see_whole_releases_only(tmp_path: Path, archive: Path) -> None:
    releases = {
        str(n): make(tmp_path / str(n), **{f"f{i}_css": f"{n} {i}" for i in range(30)}) for n in range(4)
    }
    archive.mkdir()
    seen: set[int] = set()
    is_over = threading.Event()

    def look() -> None:
        while not is_over.is_set():
            seen.update(len([*path.rglob("*.css")]) for path in archive.iterdir() if path.name[0] != ".")

    failures: list[BaseException] = []

    def run() -> None:
        try:
            for name, files in releases.items():
                add(archive, name, files, keep=100)
        except BaseException as exc:  # noqa: BLE001  shown by the assertion below
            failures.append(exc)

    hosts = [threading.Thread(target=run) for _ in range(3)]
    watcher = threading.Thread(target=look)
    for thread in (watcher, *hosts):
        thread.start()
    for thread in hosts:
        thread.join(60)
    is_over.set()
    watcher.join(60)
    assert not failures
    assert seen <= {30}
    assert {path.name for path in archive.iterdir()} == set(releases)
    bodies = set(content(archive).values())
    assert {f"3 {i}".encode() for i in range(30)} <= bodies
