"""Precompressed siblings, made ahead: `app.js` gets `app.js.br`, `app.js.zst` and `app.js.gz`.

A sibling takes its original's modification time, so that copying both, or rounding both times, leaves it
fresh. It appears whole or not at all. What it is made from, and nothing else, decides its bytes.

Every file is reached from the root by descriptor, following no symlink, and looked at once it is open:
whoever exchanges a file or a folder meanwhile has nothing else published. A sibling is open to nobody
whom its original is closed to.
"""

from __future__ import annotations

import errno
import os
import stat
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO, Literal

from webdemo.errors import CompressionFailed, FolderMissing
from webdemo.web.static.content_coding import SUFFIXES
from webdemo.web.static.media_types import is_compressed
from webdemo.web.static.tree import is_served, open_file, open_folder, signature

WORTHWHILE = 0.95
"""A sibling must be at most this part of its original, or it is not kept."""

_BLOCK_BYTES = 1024 * 1024
_OPEN_TO_LIST = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_OPEN_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# What opening a file says when it, or a folder on the way to it, has gone or is something else by now.
_CHANGED = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO)
_MODULES = {"br": "brotli", "zstd": "zstandard", "gzip": "zlib"}

Outcome = Literal["compressed", "fresh", "not smaller", "changed meanwhile"]
Encoder = tuple[Callable[[bytes], bytes], Callable[[], bytes]]


@dataclass(frozen=True, slots=True)
class FileDone:
    """One file has been dealt with: the `done`-th of `total`."""

    path: Path
    size: int
    outcome: Outcome
    made: dict[str, int]
    """Bytes of each sibling made now, by content coding."""
    done: int
    total: int


@dataclass(slots=True)
class Summary:
    """What a whole run did. `served` counts, for each file compressed, its smallest new sibling."""

    files: dict[Outcome, int] = field(default_factory=dict)
    siblings: dict[str, int] = field(default_factory=dict)
    """How many siblings were made, by content coding."""
    size: int = 0
    served: int = 0

    def add(self, event: FileDone) -> None:
        self.files[event.outcome] = self.files.get(event.outcome, 0) + 1
        for coding in event.made:
            self.siblings[coding] = self.siblings.get(coding, 0) + 1
        if event.made:
            self.size += event.size
            self.served += min(event.made.values())

    @property
    def saved(self) -> int:
        """Bytes that a client which takes the smallest form need not load any more."""
        return self.size - self.served


def codings() -> tuple[list[str], list[str]]:
    """The content codings that can be made here, and those whose package is missing (webdemo[compress])."""
    here = [coding for coding, module in _MODULES.items() if find_spec(module) is not None]
    return here, [coding for coding in _MODULES if coding not in here]


def compress(directory: str | os.PathLike[str], *, threads: int | None = None) -> Iterator[FileDone]:
    """Make the siblings that are missing or stale below a folder; an event for each file dealt with.

    Left alone: siblings themselves, files compressed by their nature, names that are not served, symlinks.
    Raises FolderMissing, and CompressionFailed when a file cannot be read or a sibling not be written,
    as on a full disk; no half-made file is left behind.
    """
    root = Path(directory)
    if not root.is_dir():
        raise FolderMissing(f"There is no folder {root}.", remedy="Name a folder that exists.")
    available, _ = codings()
    path = root
    with ExitStack() as stack:
        try:
            root_fd = os.open(root, _OPEN_TO_LIST)
            stack.callback(os.close, root_fd)
            pool = ThreadPoolExecutor(threads or os.cpu_count())
            stack.callback(pool.shutdown, wait=True, cancel_futures=True)
            found = sorted(_candidates(root_fd))
            futures = {pool.submit(_compress_file, root_fd, names, available): names for names in found}
            for done, future in enumerate(as_completed(futures), 1):
                path = Path(root, *map(os.fsdecode, futures[future]))
                size, outcome, made = future.result()
                yield FileDone(path, size, outcome, made, done, len(found))
        except OSError as error:
            raise CompressionFailed(
                f"{path} cannot be compressed: {error.strerror}.",
                remedy="Make room, or give the rights that are missing, and run it again.",
            ) from error


def _candidates(root_fd: int) -> Iterator[tuple[bytes, ...]]:
    """The names that lead to each file that may get siblings. Folders that may not be read are left out."""
    waiting: list[tuple[bytes, ...]] = [()]
    while waiting:
        folder = waiting.pop()
        try:
            entries = _list(root_fd, folder)
        except OSError:
            continue
        for name, is_folder in entries.items():
            if not is_served(name, at_root=not folder):
                continue
            if is_folder:
                waiting.append((*folder, name))
                continue
            stem, dot, suffix = os.fsdecode(name).rpartition(".")
            is_sibling = os.fsencode(stem) in entries and dot + suffix in SUFFIXES.values()
            if not name.startswith(b".") and not is_sibling and not is_compressed(os.fsdecode(name)):
                yield (*folder, name)


def _list(root_fd: int, folder: tuple[bytes, ...]) -> dict[bytes, bool]:
    """The names of the files and folders in a folder, and which are folders. Raises OSError."""
    folder_fd = open_folder(b".", folder, folder_fd=root_fd)
    try:
        listed_fd = os.open(b".", _OPEN_TO_LIST, dir_fd=folder_fd)
    finally:
        os.close(folder_fd)
    try:
        with os.scandir(listed_fd) as found:
            return {
                os.fsencode(entry.name): entry.is_dir(follow_symlinks=False)
                for entry in found
                if entry.is_dir(follow_symlinks=False) or entry.is_file(follow_symlinks=False)
            }
    finally:
        os.close(listed_fd)


def _compress_file(
    root_fd: int, names: tuple[bytes, ...], available: list[str]
) -> tuple[int, Outcome, dict[str, int]]:
    *folders, name = names
    with ExitStack() as stack:
        try:
            folder_fd = open_folder(b".", folders, folder_fd=root_fd)
            stack.callback(os.close, folder_fd)
            original = stack.enter_context(os.fdopen(open_file(name, folder_fd=folder_fd), "rb"))
        except OSError as error:
            if error.errno in _CHANGED:
                return 0, "changed meanwhile", {}
            raise
        before = os.fstat(original.fileno())
        if not stat.S_ISREG(before.st_mode):
            return 0, "changed meanwhile", {}
        stale = [coding for coding in available if not _is_fresh(folder_fd, name, coding, before)]
        made: dict[str, int] = {}
        for coding in stale:
            original.seek(0)
            with _Sibling(folder_fd, name, coding, before) as sibling:
                sibling.size = _encode(original, sibling.file, coding)
                after = os.fstat(original.fileno())
                if signature(after) != signature(before):
                    return after.st_size, "changed meanwhile", made
                if sibling.size <= before.st_size * WORTHWHILE:
                    sibling.put_in_place()
                    made[coding] = sibling.size
    outcome: Outcome = "compressed" if made else "not smaller" if stale else "fresh"
    return before.st_size, outcome, made


def _is_fresh(folder_fd: int, name: bytes, coding: str, original: os.stat_result) -> bool:
    try:
        status = os.stat(_sibling_name(name, coding), dir_fd=folder_fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    is_open_to_more = status.st_mode & ~original.st_mode & 0o777
    return stat.S_ISREG(status.st_mode) and not is_open_to_more and status.st_mtime_ns >= original.st_mtime_ns


def _sibling_name(name: bytes, coding: str) -> bytes:
    return name + SUFFIXES[coding].encode()


class _Sibling:
    """A file being made beside its original, under a name that is not served; gone unless put in place."""

    def __init__(self, folder_fd: int, name: bytes, coding: str, original: os.stat_result) -> None:
        self._folder_fd = folder_fd
        self._name = _sibling_name(name, coding)
        self._original = original
        self.size = 0

    def __enter__(self) -> _Sibling:
        self._temporary = f".{os.urandom(8).hex()}.webdemo-compress"
        self.file: BinaryIO = os.fdopen(
            os.open(self._temporary, _OPEN_NEW, 0o600, dir_fd=self._folder_fd), "wb"
        )
        return self

    def put_in_place(self) -> None:
        self.file.flush()
        descriptor, original = self.file.fileno(), self._original
        mode = original.st_mode & 0o777
        if os.fstat(descriptor).st_gid != original.st_gid:
            try:
                os.fchown(descriptor, -1, original.st_gid)
            except PermissionError:
                mode &= ~0o070  # another group is not to read what its own may
        os.fchmod(descriptor, mode)
        os.utime(descriptor, ns=(original.st_atime_ns, original.st_mtime_ns))
        os.replace(
            self._temporary, self._name, src_dir_fd=self._folder_fd, dst_dir_fd=self._folder_fd
        )  # fmt: skip

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # what could not be flushed to a full disk is not wanted any more
            self.file.close()
        with suppress(FileNotFoundError):
            os.unlink(self._temporary, dir_fd=self._folder_fd)


def _encode(source: BinaryIO, target: BinaryIO, coding: str) -> int:
    """Write the coded source; returns the bytes written."""
    encode, finish = _encoder(coding)
    size = 0
    while block := source.read(_BLOCK_BYTES):
        size += target.write(encode(block))
    return size + target.write(finish())


def _encoder(coding: str) -> Encoder:
    """Strongest settings that every client can decode (zstd: an 8 MB window, RFC 9659)."""
    if coding == "br":
        import brotli

        brotli_encoder = brotli.Compressor(quality=11)
        return brotli_encoder.process, brotli_encoder.finish
    if coding == "zstd":
        import zstandard

        parameters = zstandard.ZstdCompressionParameters.from_level(19, window_log=23)
        zstd_encoder = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
        return zstd_encoder.compress, zstd_encoder.flush
    gzip_encoder = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)  # no name, no time in its header
    return gzip_encoder.compress, gzip_encoder.flush
