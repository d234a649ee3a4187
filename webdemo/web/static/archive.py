"""The assets of several releases, in one folder that hosts may share: one folder each, files by URL path.

A release is written below a hidden name and renamed when it is complete, so that every host sees all of it or
nothing. No file of it ever changes, so the same file in several releases is stored once (hard links).
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from webdemo.errors import UsageError, WebdemoError
from webdemo.web.static.content_coding import IDENTITY, SUFFIXES
from webdemo.web.static.representations import Content
from webdemo.web.static.tree import split_path

if TYPE_CHECKING:
    from webdemo.web.static.app import StaticFiles

_TEMPORARY = ".publishing-"
_ABANDONED_SECONDS = 3600.0  # a publication takes no longer
_SAFE_RELEASES = 2  # the new one and the one before it, which still serves
_NO_HARD_LINKS = (errno.EPERM, errno.EACCES, errno.EXDEV, errno.EMLINK, errno.EOPNOTSUPP)


class Published(NamedTuple):
    files: int
    added_bytes: int
    removed: tuple[str, ...]
    """The releases that made room."""


def publish(
    archive: Path, release: str, sites: Mapping[str, StaticFiles], *, keep: int, max_bytes: int
) -> Published:
    """Add a release's fingerprinted files, and remove old releases.

    `sites` are the apps by the prefix below which each is served, as in PATH_INFO, with both slashes.
    At most `keep` releases and `max_bytes` are left; never removed are the new one and the one before it.
    Publishing a release again adds what is new in it. Raises UsageError and WebdemoError.
    """
    if not release.isprintable() or "/" in release or release.startswith(".") or len(release.encode()) > 200:
        raise UsageError(
            f"{release!r} cannot be the name of a folder in the archive.",
            remedy="Choose letters, digits and hyphens: --release 5f1c0a9",
        )
    try:
        archive.mkdir(exist_ok=True)
        return _publish(archive, release, _planned(sites), keep=keep, max_bytes=max_bytes)
    except OSError as exc:
        raise WebdemoError(
            f"The assets cannot be published to {archive}: {exc.strerror or exc}.",
            remedy="Make room, or give the rights that are missing, and publish again; nothing has changed.",
        ) from exc


def _planned(sites: Mapping[str, StaticFiles]) -> dict[bytes, dict[str, Content]]:
    """The contents of each file by its path below a release's folder."""
    planned = {}
    for prefix, site in sites.items():
        if split_path(prefix) is None:
            raise UsageError(
                f"Nothing below {prefix!r} is ever served.", remedy="Choose a path without dots: /static/"
            )
        for name, file in site.fingerprinted():
            contents = {coding: replace(each, body=None) for coding, each in file.contents.items()}
            planned[prefix.encode("latin-1")[1:] + name] = contents  # without what was read of each
    return planned


def _publish(
    archive: Path, release: str, planned: dict[bytes, dict[str, Content]], *, keep: int, max_bytes: int
) -> Published:
    present = _releases(archive)
    found = {path: _present(present, path, contents) for path, contents in planned.items()}
    added = sum(
        content.size for path, contents in planned.items() if not found[path] for content in contents.values()
    )
    if not any(_has_all(folder, planned) for folder in present):
        kept_bytes = _size(present[:1], set())
        if added + kept_bytes > max_bytes:
            raise UsageError(
                f"Release {release} adds {added:,} bytes to the {kept_bytes:,} of the one before it, "
                f"more than {max_bytes:,}.",
                remedy="Allow more: --max-size MB",
            )
        with tempfile.TemporaryDirectory(prefix=_TEMPORARY, dir=archive, ignore_cleanup_errors=True) as name:
            new = Path(name) / "release"
            new.mkdir()
            for path, contents in planned.items():
                _store(new / os.fsdecode(path), contents, found[path])
            _put_in_place(new, archive / release, planned)
    return Published(len(planned), added, tuple(_prune(archive, keep, max_bytes)))


def _has_all(folder: Path, paths: Iterable[bytes]) -> bool:
    """Whether the folder has a file for each path; if so, it becomes the newest."""
    if not all((folder / os.fsdecode(path)).is_file() for path in paths):
        return False
    try:
        os.utime(folder)
    except FileNotFoundError:  # another host has just removed it
        return False
    return True


def _releases(archive: Path) -> list[Path]:
    """The folders of releases, the newest first."""
    found = [(path.lstat(), path) for path in archive.iterdir() if not path.name.startswith(".")]
    folders = [(status.st_mtime_ns, path) for status, path in found if stat.S_ISDIR(status.st_mode)]
    return [path for _, path in sorted(folders, reverse=True)]


def _present(present: list[Path], path: bytes, contents: dict[str, Content]) -> Path | None:
    """The same file in an earlier release. Raises UsageError if another content has the name."""
    for folder in present:
        file = folder / os.fsdecode(path)
        if file.is_symlink() or not file.is_file():
            continue
        with open(contents[IDENTITY].open(), "rb") as ours, file.open("rb") as theirs:  # noqa: PTH123
            is_same = contents[IDENTITY].size == file.stat().st_size and all(
                block == theirs.read(len(block)) for block in iter(lambda: ours.read(1 << 20), b"")
            )
        if not is_same:
            raise UsageError(
                f"{os.fsdecode(path)!r} has another content in release {folder.name}: its name has no hash.",
                remedy="Let --immutable match only names that change with their content.",
            )
        return file
    return None


def _store(target: Path, contents: dict[str, Content], same: Path | None) -> None:
    """Write a file and its precompressed siblings, or link them to those of an earlier release."""
    target.parent.mkdir(parents=True, exist_ok=True)
    modified_ns = contents[IDENTITY].signature.modified_ns if same is None else same.stat().st_mtime_ns
    for coding, content in contents.items():
        suffix = "" if coding == IDENTITY else SUFFIXES[coding]
        if same is not None:
            try:
                os.link(f"{same}{suffix}", f"{target}{suffix}", follow_symlinks=False)
                continue
            except FileNotFoundError:
                pass  # the earlier release has no such sibling
            except OSError as exc:
                if exc.errno not in _NO_HARD_LINKS:
                    raise
        _copy(content, Path(f"{target}{suffix}"), modified_ns)


def _copy(content: Content, target: Path, modified_ns: int) -> None:
    with open(content.open(), "rb") as source, target.open("xb") as copy:  # noqa: PTH123
        shutil.copyfileobj(source, copy, 1 << 20)
        copy.flush()
        os.fchmod(copy.fileno(), os.fstat(source.fileno()).st_mode & 0o777)
        os.utime(copy.fileno(), ns=(modified_ns, modified_ns))
        os.fsync(copy.fileno())


def _put_in_place(new: Path, target: Path, paths: Iterable[bytes]) -> None:
    """Rename to the first name that is free: release, release+2 ...; another host may have been faster."""
    name = target.name
    for number in range(2, 1000):
        try:
            new.rename(target)
            return
        except OSError as exc:
            if exc.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
        if _has_all(target, paths):
            return
        target = target.with_name(f"{name}+{number}")
    raise FileExistsError(errno.EEXIST, "too many publications of one release")


def _prune(archive: Path, keep: int, max_bytes: int) -> Iterator[str]:
    """Remove old releases, and what interrupted publications have left; yields the releases' names."""
    seen: set[int] = set()
    size = 0
    for position, folder in enumerate(_releases(archive)):
        size += _size([folder], seen)
        if position >= _SAFE_RELEASES and (position >= keep or size > max_bytes):
            hidden = folder.with_name(f"{_TEMPORARY}{os.urandom(8).hex()}")
            with suppress(FileNotFoundError):  # another host has removed it
                folder.rename(hidden)
                shutil.rmtree(hidden, ignore_errors=True)
                yield folder.name
    for folder in archive.glob(f"{_TEMPORARY}*"):
        with suppress(FileNotFoundError):
            if time.time() - folder.stat().st_mtime > _ABANDONED_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)


def _size(folders: list[Path], seen: set[int]) -> int:
    """The bytes of all files in the folders, but those of inodes seen before."""
    size = 0
    for file in (file for folder in folders for file in folder.rglob("*")):
        with suppress(FileNotFoundError):  # another host has removed it
            status = file.lstat()
            if stat.S_ISREG(status.st_mode) and status.st_ino not in seen:
                seen.add(status.st_ino)
                size += status.st_size
    return size
