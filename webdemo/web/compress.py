"""Precompressed siblings, made ahead: `app.js` gets `app.js.br`, `app.js.zst` and `app.js.gz`.

A sibling takes its original's modification time, so that copying both, or rounding both times, leaves it
fresh. It appears whole or not at all. What it is made from, and nothing else, decides its bytes.
"""

from __future__ import annotations

import os
import stat
import tempfile
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO, Literal

from webdemo.errors import CompressionFailed, FolderMissing
from webdemo.web.content_coding import SUFFIXES
from webdemo.web.media_types import is_compressed
from webdemo.web.tree import WELL_KNOWN

WORTHWHILE = 0.95
"""A sibling must be at most this part of its original, or it is not kept."""

_BLOCK_BYTES = 1024 * 1024
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
    paths = sorted(_candidates(root))
    available, _ = codings()
    with ThreadPoolExecutor(threads or os.cpu_count()) as pool:
        try:
            futures = {pool.submit(_compress_file, path, available): path for path in paths}
            for done, future in enumerate(as_completed(futures), 1):
                path = futures[future]
                size, outcome, made = future.result()
                yield FileDone(path, size, outcome, made, done, len(paths))
        except OSError as error:
            raise CompressionFailed(
                f"{path} cannot be compressed: {error.strerror}.",
                remedy="Make room, or give the rights that are missing, and run it again.",
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _candidates(root: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(root):
        at_root = Path(folder) == root
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".") or (at_root and name == os.fsdecode(WELL_KNOWN))
        ]
        everything = set(names)
        for name in names:
            stem, dot, suffix = name.rpartition(".")
            is_sibling = stem in everything and dot + suffix in SUFFIXES.values()
            path = Path(folder, name)
            if not name.startswith(".") and not is_sibling and not is_compressed(name):
                with suppress(FileNotFoundError):
                    if stat.S_ISREG(path.lstat().st_mode):
                        yield path


def _compress_file(path: Path, available: list[str]) -> tuple[int, Outcome, dict[str, int]]:
    try:
        original = path.open("rb")
    except FileNotFoundError:
        return 0, "changed meanwhile", {}
    with original:
        before = os.fstat(original.fileno())
        stale = [coding for coding in available if not _is_fresh(path, coding, before)]
        made: dict[str, int] = {}
        for coding in stale:
            original.seek(0)
            with _Sibling(path, coding, before) as sibling:
                sibling.size = _encode(original, sibling.file, coding)
                after = os.fstat(original.fileno())
                if (after.st_mtime_ns, after.st_size) != (before.st_mtime_ns, before.st_size):
                    return after.st_size, "changed meanwhile", made
                if sibling.size <= before.st_size * WORTHWHILE:
                    sibling.put_in_place()
                    made[coding] = sibling.size
    outcome: Outcome = "compressed" if made else "not smaller" if stale else "fresh"
    return before.st_size, outcome, made


def _is_fresh(path: Path, coding: str, original: os.stat_result) -> bool:
    try:
        status = _sibling_path(path, coding).lstat()
    except FileNotFoundError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_mtime_ns >= original.st_mtime_ns


def _sibling_path(path: Path, coding: str) -> Path:
    return path.with_name(path.name + SUFFIXES[coding])


class _Sibling:
    """A file being made beside its original, under a name that is not served; gone unless put in place."""

    def __init__(self, path: Path, coding: str, original: os.stat_result) -> None:
        self._place = _sibling_path(path, coding)
        self._original = original
        self.size = 0

    def __enter__(self) -> _Sibling:
        descriptor, name = tempfile.mkstemp(dir=self._place.parent, prefix=".", suffix=".webdemo-compress")
        self._temporary = Path(name)
        self.file: BinaryIO = os.fdopen(descriptor, "wb")
        return self

    def put_in_place(self) -> None:
        self.file.flush()
        os.fchmod(self.file.fileno(), self._original.st_mode & 0o777)
        os.utime(self.file.fileno(), ns=(self._original.st_atime_ns, self._original.st_mtime_ns))
        self._temporary.replace(self._place)

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # what could not be flushed to a full disk is not wanted any more
            self.file.close()
        self._temporary.unlink(missing_ok=True)


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
