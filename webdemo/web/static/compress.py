"""Precompressed siblings, made in advance: `app.js` gets `app.js.br`, `app.js.zst` and `app.js.gz`.

A sibling gets its original's modification time, so that it stays fresh when both are copied or both
times are rounded. It is written atomically, and its bytes depend on nothing but the original's content.

Every file is opened from the root by descriptor, following no symlink, and checked after it is opened:
swapping a file or folder during the run cannot publish anything else. A sibling is never readable for
users who may not read its original.
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

from webdemo.errors import WebdemoError
from webdemo.folders import check_folder
from webdemo.web.static.content_coding import SUFFIXES
from webdemo.web.static.media_types import is_compressed
from webdemo.web.static.tree import is_fresh_sibling, open_file, open_folder, signature
from webdemo.web.static.walk import OPEN_TO_LIST, files_below

WORTHWHILE = 0.95
"""A sibling larger than this fraction of its original is discarded."""

_BLOCK_BYTES = 1024 * 1024
_OPEN_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# Errors of opening a file that was removed or replaced meanwhile, or that is in such a folder.
_CHANGED = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO)
_MODULES = {"br": "brotli", "zstd": "zstandard", "gzip": "zlib"}

# The sibling's name is too long, or a folder has it.
_NAME_UNUSABLE = (errno.ENAMETOOLONG, errno.EISDIR)

Outcome = Literal["compressed", "fresh", "not smaller", "changed meanwhile", "without a usable name"]
Encoder = tuple[Callable[[bytes], bytes], Callable[[], bytes]]


@dataclass(frozen=True, slots=True)
class FileDone:
    """One file has been processed: number `done` of `total`. `size` in bytes."""

    path: Path
    size: int
    outcome: Outcome
    made: dict[str, int]
    """Bytes of each sibling made in this run, by content coding."""
    done: int
    total: int


@dataclass(slots=True)
class Summary:
    """Totals of a run, in bytes: `size` of the files compressed, `served` of their smallest new siblings."""

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
        """Bytes saved for a client that accepts the smallest form of each file."""
        return self.size - self.served


def codings() -> tuple[list[str], list[str]]:
    """The content codings available, and those whose package is missing (webdemo[compress])."""
    here = [coding for coding, module in _MODULES.items() if find_spec(module) is not None]
    return here, [coding for coding in _MODULES if coding not in here]


def compress(directory: str | os.PathLike[str], *, threads: int | None = None) -> Iterator[FileDone]:
    """Make the missing and stale siblings below a folder; yields an event for each file processed.

    Skipped: siblings themselves, media types that are already compressed, names that are not served,
    symlinks. Raises UsageError, and WebdemoError when a file cannot be read or a sibling cannot be
    written (a full disk, for example); no partial file is left behind.
    """
    root = Path(directory)
    check_folder(root)
    available, _ = codings()
    path = root
    with ExitStack() as stack:
        try:
            root_fd = os.open(root, OPEN_TO_LIST)
            stack.callback(os.close, root_fd)
            pool = ThreadPoolExecutor(threads or os.cpu_count())
            stack.callback(pool.shutdown, wait=True, cancel_futures=True)
            found = sorted(
                names for names in files_below(root_fd) if not is_compressed(os.fsdecode(names[-1]))
            )
            futures = {pool.submit(_compress_file, root_fd, names, available): names for names in found}
            for done, future in enumerate(as_completed(futures), 1):
                path = Path(root, *map(os.fsdecode, futures[future]))
                size, outcome, made = future.result()
                yield FileDone(path, size, outcome, made, done, len(found))
        except OSError as error:
            raise WebdemoError(
                f"{path} cannot be compressed: {error.strerror}.",
                remedy="Make room, or give the rights that are missing, and run it again.",
            ) from error


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
        made: dict[str, int] = {}
        try:
            stale = [coding for coding in available if not _is_fresh(folder_fd, name, coding, before)]
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
        except OSError as error:
            if error.errno in _NAME_UNUSABLE:
                return before.st_size, "without a usable name", made
            raise
    outcome: Outcome = "compressed" if made else "not smaller" if stale else "fresh"
    return before.st_size, outcome, made


def _is_fresh(folder_fd: int, name: bytes, coding: str, original: os.stat_result) -> bool:
    try:
        status = os.stat(_sibling_name(name, coding), dir_fd=folder_fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    is_open_to_more = status.st_mode & ~original.st_mode & 0o777
    is_fresh = is_fresh_sibling(signature(status), signature(original))
    return stat.S_ISREG(status.st_mode) and not is_open_to_more and is_fresh


def _sibling_name(name: bytes, coding: str) -> bytes:
    return name + SUFFIXES[coding].encode()


class _Sibling:
    """A sibling being written under a temporary name that is not served; removed unless put in place."""

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
                mode &= ~0o070  # the file keeps this process's group, which may not be allowed to read it
        os.fchmod(descriptor, mode)
        os.utime(descriptor, ns=(original.st_atime_ns, original.st_mtime_ns))
        os.replace(
            self._temporary, self._name, src_dir_fd=self._folder_fd, dst_dir_fd=self._folder_fd
        )  # fmt: skip

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # a flush to a full disk failed, and the file is discarded anyway
            self.file.close()
        with suppress(FileNotFoundError):
            os.unlink(self._temporary, dir_fd=self._folder_fd)


def _encode(source: BinaryIO, target: BinaryIO, coding: str) -> int:
    """Encode source into target; returns the number of bytes written."""
    encode, finish = _encoder(coding)
    size = 0
    while block := source.read(_BLOCK_BYTES):
        size += target.write(encode(block))
    return size + target.write(finish())


def _encoder(coding: str) -> Encoder:
    """The strongest settings that every client can decode (zstd: a window of 8 MB, RFC 9659)."""
    if coding == "br":
        import brotli

        brotli_encoder = brotli.Compressor(quality=11)
        return brotli_encoder.process, brotli_encoder.finish
    if coding == "zstd":
        import zstandard

        parameters = zstandard.ZstdCompressionParameters.from_level(19, window_log=23)
        zstd_encoder = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
        return zstd_encoder.compress, zstd_encoder.flush
    gzip_encoder = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)  # header without name and time
    return gzip_encoder.compress, gzip_encoder.flush
