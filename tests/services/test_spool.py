"""The spool: limited in size, private, and with complete messages only."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from webdemo.errors import UsageError
from webdemo.services.spool import Spool

ROOMY = {"most_messages": 100, "most_bytes": 1_000_000}


@pytest.fixture
def kept(spool: Path) -> Spool:
    made = Spool(spool)
    made.make()
    return made


def test_folder_and_files_are_for_their_user_alone(kept: Spool) -> None:
    kept.add(b"x", **ROOMY)
    assert stat.S_IMODE(kept.folder.stat().st_mode) == 0o700
    assert [stat.S_IMODE(path.stat().st_mode) for path in kept.folder.iterdir()] == [0o600]


def test_newest_message_comes_first(kept: Spool) -> None:
    names = [kept.add(str(number).encode(), **ROOMY) for number in range(3)]
    assert [message.id for message in kept.messages()] == names[::-1]
    assert kept.read(names[0]) == b"0"


def test_oldest_goes_when_there_are_too_many(kept: Spool) -> None:
    names = [kept.add(b"x", most_messages=2, most_bytes=1000) for _ in range(5)]
    assert [message.id for message in kept.messages()] == names[:-3:-1]
    assert kept.read(names[0]) is None


def test_oldest_goes_when_they_are_too_large_together(kept: Spool) -> None:
    for _ in range(5):
        kept.add(b"x" * 400, most_messages=100, most_bytes=1000)
    assert sum(message.size for message in kept.messages()) == 800


def test_newest_is_kept_whatever_its_size(kept: Spool) -> None:
    name = kept.add(b"x" * 2000, most_messages=100, most_bytes=1000)
    assert [message.id for message in kept.messages()] == [name]


def test_unfinished_message_is_not_seen_and_goes_after_an_hour(kept: Spool) -> None:
    left = kept.folder / "left.part"
    left.write_bytes(b"half")
    kept.add(b"x", **ROOMY)
    assert left.exists()
    assert len(kept.messages()) == 1
    os.utime(left, (0, 0))
    kept.add(b"x", **ROOMY)
    assert not left.exists()


def test_removed_folder_is_made_again(kept: Spool) -> None:
    kept.folder.rmdir()
    assert kept.messages() == []
    kept.add(b"x", **ROOMY)
    assert len(kept.messages()) == 1


@pytest.mark.parametrize(
    "name", ["../secret", "..", "", "x.eml", "0" * 20 + "-0000000g", "/etc/passwd", "a\0b"]
)
def test_only_names_of_messages_are_read(kept: Spool, name: str) -> None:
    (kept.folder.parent / "secret.eml").write_text("secret")
    assert kept.read(name) is None


def test_symlink_in_the_folder_is_not_followed(kept: Spool, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    name = "0" * 20 + "-00000000"
    (kept.folder / f"{name}.eml").symlink_to(tmp_path / "secret")
    assert kept.read(name) is None


def test_folder_that_others_may_write_is_refused_and_not_read(spool: Path) -> None:
    spool.mkdir()
    spool.chmod(0o777)
    (spool / ("0" * 20 + "-00000000.eml")).write_text("forged")
    with pytest.raises(UsageError, match="can be changed by other users"):
        Spool(spool).make()
    assert Spool(spool).messages() == []


def test_file_in_place_of_the_folder_is_refused(spool: Path) -> None:
    spool.write_text("")
    with pytest.raises(UsageError, match="cannot be created"):
        Spool(spool).make()


def test_several_writers_and_a_reader_do_not_disturb_each_other(kept: Spool) -> None:
    failures: list[BaseException] = []

    def write() -> None:
        try:
            for _ in range(50):
                kept.add(b"x" * 100, most_messages=5, most_bytes=1000)
                for message in kept.messages():
                    assert kept.read(message.id) in (b"x" * 100, None)
        except BaseException as exc:
            failures.append(exc)
            raise

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures
    kept.add(b"x", most_messages=5, most_bytes=1000)
    assert len(kept.messages()) == 5
