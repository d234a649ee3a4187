"""Precompressed siblings: smaller, up to date, complete, and reproducible."""

from __future__ import annotations

import gzip
import os
import resource
import signal
import stat
from pathlib import Path

import brotli
import pytest
import zstandard

from tests.net.programs import needs_root
from tests.web.static_files.calling import call
from webdemo.errors import UsageError, WebdemoError
from webdemo.web.static import compress as compressing
from webdemo.web.static import walk
from webdemo.web.static.app import StaticFiles
from webdemo.web.static.compress import FileDone, Summary, codings, compress
from webdemo.web.static.content_coding import SUFFIXES

TEXT = b"A text that repeats itself. " * 500


@pytest.fixture
def assets(tmp_path: Path) -> Path:
    assets = tmp_path / "assets"
    (assets / "sub").mkdir(parents=True)
    (assets / "app.js").write_bytes(TEXT)
    (assets / "sub" / "page.html").write_bytes(TEXT * 2)
    (assets / "noise.bin").write_bytes(os.urandom(5000))
    (assets / "picture.png").write_bytes(TEXT)
    (assets / "film.mp4").write_bytes(TEXT)
    (assets / "data.tar.gz").write_bytes(TEXT)
    (assets / ".hidden.js").write_bytes(TEXT)
    (assets / ".git").mkdir()
    (assets / ".git" / "config").write_bytes(TEXT)
    (assets / "empty.txt").touch()
    (assets / "tiny.txt").write_bytes(b"tiny")
    return assets


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_siblings_decode_to_their_file(assets: Path) -> None:
    before = files(assets)
    list(compress(assets))
    assert files(assets) - before == {
        f"{name}{suffix}" for name in ("app.js", "sub/page.html") for suffix in (".br", ".zst", ".gz")
    }
    for name, content in (("app.js", TEXT), ("sub/page.html", TEXT * 2)):
        assert gzip.decompress((assets / f"{name}.gz").read_bytes()) == content
        assert brotli.decompress((assets / f"{name}.br").read_bytes()) == content
        decoder = zstandard.ZstdDecompressor(max_window_size=8 * 1024 * 1024)
        with (assets / f"{name}.zst").open("rb") as file:
            assert decoder.stream_reader(file).read() == content


def test_compressed_siblings_are_served(assets: Path) -> None:
    list(compress(assets))
    app = StaticFiles(assets)
    for coding, suffix in (("br", ".br"), ("zstd", ".zst"), ("gzip", ".gz")):
        answer = call(app, "/app.js", accept_encoding=coding)
        assert answer["Content-Encoding"] == coding
        assert answer.body == (assets / f"app.js{suffix}").read_bytes()
        assert answer["Content-Type"] == "text/javascript; charset=utf-8"


def test_events_and_summary_tell_what_was_done(assets: Path) -> None:
    summary = Summary()
    events = list(compress(assets, threads=2))
    for event in events:
        summary.add(event)
    assert [event.done for event in events] == [1, 2, 3, 4, 5]
    assert {event.total for event in events} == {5}
    outcomes = {event.path.name: event.outcome for event in events}
    assert outcomes == {
        "app.js": "compressed",
        "page.html": "compressed",
        "noise.bin": "not smaller",
        "empty.txt": "not smaller",
        "tiny.txt": "not smaller",
    }
    assert summary.files == {"compressed": 2, "not smaller": 3}
    assert summary.siblings == {"br": 2, "zstd": 2, "gzip": 2}
    assert summary.size == 3 * len(TEXT)
    assert summary.saved > 0.95 * summary.size


def test_a_second_run_finds_all_fresh(assets: Path) -> None:
    list(compress(assets))
    times = {path: path.stat().st_ino for path in assets.rglob("*")}
    outcomes = {event.path.name: event.outcome for event in compress(assets)}
    assert outcomes["app.js"] == outcomes["page.html"] == "fresh"
    assert {path: path.stat().st_ino for path in assets.rglob("*")} == times


def test_a_changed_file_gets_new_siblings(assets: Path) -> None:
    list(compress(assets))
    (assets / "app.js").write_bytes(TEXT + b"changed")
    os.utime(assets / "app.js", (2_000_000_000, 2_000_000_000))
    outcomes = {event.path.name: event.outcome for event in compress(assets)}
    assert (outcomes["app.js"], outcomes["page.html"]) == ("compressed", "fresh")
    assert gzip.decompress((assets / "app.js.gz").read_bytes()) == TEXT + b"changed"


def test_siblings_have_the_time_and_mode_of_their_file(assets: Path) -> None:
    (assets / "app.js").chmod(0o640)
    list(compress(assets))
    original = (assets / "app.js").stat()
    for suffix in (".br", ".zst", ".gz"):
        sibling = (assets / f"app.js{suffix}").stat()
        assert sibling.st_mtime_ns == original.st_mtime_ns
        assert stat.S_IMODE(sibling.st_mode) == 0o640


def test_gzip_says_neither_time_nor_name(assets: Path) -> None:
    list(compress(assets))
    first = (assets / "app.js.gz").read_bytes()
    assert first[3:8] == bytes(5)  # no flags, so no name, and no time (RFC 1952 2.3)
    (assets / "app.js.gz").unlink()
    os.utime(assets / "app.js", (1_000_000_000, 1_000_000_000))
    list(compress(assets))
    assert (assets / "app.js.gz").read_bytes() == first


def test_symlinks_are_left_alone(assets: Path) -> None:
    (assets / "link.js").symlink_to("app.js")
    (assets / "folder").symlink_to("sub")
    assert not any("link" in event.path.name or "folder" in event.path.parts for event in compress(assets))


def test_a_full_disk_leaves_nothing_half_made(assets: Path) -> None:
    (assets / "large.txt").write_bytes(b"".join(os.urandom(8).hex().encode() for _ in range(20_000)))
    before = files(assets)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, limits[1]))
    try:
        with pytest.raises(WebdemoError, match=r"large\.txt cannot be compressed: File too large"):
            list(compress(assets, threads=1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    for name in files(assets) - before:
        assert name.startswith(("app.js.", "sub/page.html."))
    assert not (assets / "large.txt.gz").exists()


def test_a_run_that_is_broken_off_leaves_nothing_half_made(assets: Path) -> None:
    events = compress(assets, threads=1)
    first: FileDone = next(iter(events))
    assert first.done == 1
    events.close()  # type: ignore[attr-defined]  # a generator, as every iterator that yields is
    assert not [name for name in files(assets) if name.endswith(".webdemo-compress")]


def test_what_can_be_made_here_is_told() -> None:
    assert codings() == (["br", "zstd", "gzip"], [])


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"The folder .* does not exist"):
        list(compress(tmp_path / "none"))


# -- files replaced meanwhile ---------------------------------------------------------------------


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A private folder next to the published one, with files of the same names."""
    secret = tmp_path / "secret"
    secret.mkdir()
    for name in ("app.js", "page.html"):
        (secret / name).write_bytes(b"TOP SECRET " * 500)
        (secret / name).chmod(0o600)
    return secret


def exchange_for_symlink(path: Path, target: Path) -> None:
    path.rename(path.with_name(f".{path.name}.old"))
    path.symlink_to(target)


def exchange_for_fifo(path: Path, _: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def exchange_folder(path: Path, target: Path) -> None:
    exchange_for_symlink(path.parent, target.parent)


EXCHANGES = {
    "file for a symlink": ("app.js", exchange_for_symlink),
    "file for a fifo": ("app.js", exchange_for_fifo),
    "folder for a symlink": ("sub/page.html", exchange_folder),
}


@pytest.mark.attack(
    "Files and races",
    "While `webdemo compress` runs, a file is exchanged for a symlink to a secret, or for a fifo",
    "Nothing outside the folder is read, and nothing waits for the fifo",
)
@pytest.mark.parametrize("kind", EXCHANGES)
def test_what_was_exchanged_meanwhile_is_not_followed(
    assets: Path, secret: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    name, exchange = EXCHANGES[kind]
    look = walk.files_below

    def look_then_exchange(root_fd: int) -> list[tuple[bytes, ...]]:
        found = list(look(root_fd))
        exchange(assets / name, secret / Path(name).name)
        return found

    monkeypatch.setattr(compressing, "files_below", look_then_exchange)
    outcomes = {str(event.path.relative_to(assets)): event.outcome for event in compress(assets)}
    assert outcomes[name] == "changed meanwhile"
    assert not [path for path in assets.rglob(f"{Path(name).name}.*") if path.suffix in SUFFIXES.values()]
    assert {path.name for path in secret.iterdir()} == {"app.js", "page.html"}


@pytest.mark.attack(
    "Files and races",
    "A symlink is where `webdemo compress` would write",
    "The symlink is replaced; its target is unchanged",
)
def test_a_symlink_in_a_siblings_place_is_not_written_through(assets: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").write_bytes(b"mine")
    (assets / "app.js.gz").symlink_to(tmp_path / "mine")
    list(compress(assets))
    assert (tmp_path / "mine").read_bytes() == b"mine"
    assert not (assets / "app.js.gz").is_symlink()
    assert gzip.decompress((assets / "app.js.gz").read_bytes()) == TEXT


@pytest.mark.attack(
    "Files and races",
    "A file is made private after its siblings were created",
    "The next `webdemo compress` makes its siblings private as well",
)
def test_a_sibling_is_open_to_nobody_whom_its_file_is_closed_to(assets: Path) -> None:
    list(compress(assets))
    (assets / "app.js").chmod(0o600)
    assert {e.path.name: e.outcome for e in compress(assets)}["app.js"] == "compressed"
    assert stat.S_IMODE((assets / "app.js.gz").stat().st_mode) == 0o600


@needs_root
def test_a_sibling_has_its_files_group(assets: Path) -> None:
    os.chown(assets / "app.js", -1, 12345)
    (assets / "app.js").chmod(0o640)
    list(compress(assets))
    status = (assets / "app.js.gz").stat()
    assert (status.st_gid, stat.S_IMODE(status.st_mode)) == (12345, 0o640)
