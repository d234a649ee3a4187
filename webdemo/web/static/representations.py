"""The representations of a file (identity, and one per content coding), with their headers made in advance.

Each representation has its own strong entity tag, a hash of its content, so that it is the same on every
host that has the same bytes. A small file is read into memory; the hash of a large one is remembered with its
inode, size and timestamps. These stay the same for two changes within one tick of the file system's clock, so
a large file that has just changed is examined one tick later. Reading more than HASHED_BYTES would keep the
first client waiting: such a file is read in a thread once it has rested, and until then its tag is made of
its inode, size and timestamps. So is that of a file that changes more than once in REREAD_SECONDS.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import threading
import time
from contextlib import suppress
from dataclasses import dataclass

from webdemo.web.static.conditions import http_date
from webdemo.web.static.content_coding import IDENTITY, SUFFIXES
from webdemo.web.static.tree import Node, Signature, is_fresh_sibling, open_file, signature

SMALL_BYTES = 256 * 1024
"""Files up to this size are read into memory and may be cached."""
HASHED_BYTES = 64 * 1024 * 1024
"""Files up to this size are read for their entity tag before they are sent, larger ones meanwhile."""
RESTED_SECONDS = 10.0
"""A larger file that has changed since is not read: it may be growing."""

_TICK_SECONDS = 0.01  # Linux's slowest clock for file times: CONFIG_HZ=100
FINGERPRINT_DIGITS = 12
REREAD_SECONDS = 1.0
_MAX_REMEMBERED = 10_000
_MAX_WAITING = 1000
_READ_BYTES = 1024 * 1024
_hashes: dict[bytes, tuple[Signature, str, float]] = {}  # of large files, by path, and when they were read
_waiting: dict[bytes, Signature] = {}  # the files that a thread reads, the first one now
_waiting_lock = threading.Lock()

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Content:
    """The content of a regular file: `body` in memory if it is small, else None; `path` to open it."""

    path: bytes
    signature: Signature
    body: bytes | None
    digest: str | None
    """The hash of the content, if that has been read."""
    etag: str

    @property
    def size(self) -> int:
        return self.signature.size if self.body is None else len(self.body)

    def open(self) -> int:
        """A descriptor of the file examined. Raises FileNotFoundError if it has changed since."""
        descriptor = open_file(self.path)
        if signature(os.fstat(descriptor)) != self.signature:
            os.close(descriptor)
            raise FileNotFoundError("the file changed since it was looked at")
        return descriptor


@dataclass(frozen=True, slots=True)
class Representation:
    content: Content
    etag: str
    media_type: str
    headers: Headers
    unchanged_headers: Headers
    """The headers of a 304: those that update a cache, without those that describe the body."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file found at `path`, the requested path with its symlinks unresolved."""

    path: bytes
    contents: dict[str, Content]
    """By content coding, best first, identity last."""
    codings: tuple[str, ...]
    representations: dict[str, Representation]
    modified: int
    """Whole seconds since the epoch."""

    @property
    def signature(self) -> Signature:
        return self.contents[IDENTITY].signature

    @property
    def memory(self) -> int:
        """Bytes of content held in memory."""
        return sum(len(content.body or b"") for content in self.contents.values())

    def fingerprint(self) -> str | None:
        """A short hash of the identity content; None for a file over HASHED_BYTES. Raises OSError.

        Reads a file that has not been read yet.
        """
        content = self.contents[IDENTITY]
        if content.size > HASHED_BYTES:
            return None
        return (content.digest or _read_digest(content))[:FINGERPRINT_DIGITS]

    def has_fingerprint(self, fingerprint: str) -> bool:
        """Whether `fingerprint` gives this one, without reading the file, because any client may ask.

        Raises BlockingIOError if that is not known, because the file keeps changing.
        """
        content = self.contents[IDENTITY]
        if content.size > HASHED_BYTES:
            return False
        if content.digest is None:
            raise BlockingIOError(errno.EAGAIN, "this version of the file has not been read yet")
        return content.digest[:FINGERPRINT_DIGITS] == fingerprint


def look_at(node: Node) -> dict[str, Content]:
    """The contents of a file by coding: its fresh precompressed siblings and itself. Raises OSError."""
    plain = _content(node.folder_fd, node.name, node.path, "")
    contents: dict[str, Content] = {}
    for coding, suffix in SUFFIXES.items():
        try:
            sibling = _content(
                node.folder_fd, node.name + suffix.encode(), node.path + suffix.encode(), f"-{coding}"
            )
        except OSError:
            continue
        if sibling.size and is_fresh_sibling(sibling.signature, plain.signature):  # no coding is of 0 bytes
            contents[coding] = sibling
    contents[IDENTITY] = plain
    return contents


def stored_file(
    path: bytes, media_type: str, contents: dict[str, Content], *, cache_control: str, extra: Headers
) -> StoredFile:
    """The file with the headers of each representation, made once for all requests."""
    codings = tuple(coding for coding in contents if coding != IDENTITY)
    changed = contents[IDENTITY].signature.modified_ns // 10**9
    modified = max(0, min(changed, int(time.time())))  # RFC 9110 8.8.2.1: never in the future
    common: Headers = (("Last-Modified", http_date(modified)), ("Cache-Control", cache_control))
    if codings:
        common += (("Vary", "Accept-Encoding"),)
    representations = {}
    for coding, content in contents.items():
        validators = (("ETag", content.etag), *common, *extra)
        body: Headers = (
            ("Content-Type", media_type),
            ("Content-Length", str(content.size)),
            ("Accept-Ranges", "bytes"),
            ("X-Content-Type-Options", "nosniff"),
        )
        if coding != IDENTITY:
            body += (("Content-Encoding", coding),)
        representations[coding] = Representation(
            content, content.etag, media_type, body + validators, validators
        )
    return StoredFile(path, contents, codings, representations, changed)


def _content(folder_fd: int | None, name: bytes, path: bytes, mark: str) -> Content:
    status = os.stat(name, dir_fd=folder_fd, follow_symlinks=False)
    if not stat.S_ISREG(status.st_mode):  # opening a FIFO or a device could block or have side effects
        raise FileNotFoundError("not a file")
    if status.st_size > SMALL_BYTES and abs(time.time() - status.st_ctime) < _TICK_SECONDS:
        time.sleep(_TICK_SECONDS)
    descriptor = open_file(name, folder_fd=folder_fd)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise FileNotFoundError("not a file")
        found = signature(status)
        if found.size > SMALL_BYTES:
            digest = None
            known = _hashes.get(path)
            if known is not None and known[0] == found:
                digest = known[1]
            elif found.size > HASHED_BYTES:
                if time.time() - found.changed_ns / 1e9 >= RESTED_SECONDS:
                    _hash_later(path, found)
            elif not _has_just_been_read(path, found):
                with suppress(FileNotFoundError):  # it is being written
                    digest = _large_hash(path, found, descriptor)
            tag = digest or f"{found.inode:x}-{found.size:x}-{found.modified_ns:x}-{found.changed_ns:x}"
            return Content(path, found, None, digest, f'"{tag}{mark}"')
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            body = file.read(SMALL_BYTES)
        digest = hashlib.blake2b(body, digest_size=16).hexdigest()
        return Content(path, found, body, digest, f'"{digest}{mark}"')
    finally:
        os.close(descriptor)


def _read_digest(content: Content) -> str:
    descriptor = content.open()
    try:
        return _large_hash(content.path, content.signature, descriptor)
    finally:
        os.close(descriptor)


def _has_just_been_read(path: bytes, found: Signature) -> bool:
    """Whether an earlier version was read so lately that the file may change again before it is sent."""
    known = _hashes.get(path)
    return known is not None and known[0] != found and time.monotonic() - known[2] < REREAD_SECONDS


def _large_hash(path: bytes, found: Signature, descriptor: int, *, pauses: bool = False) -> str:
    """The hash of an open file, read once for each version. Raises FileNotFoundError if it changes."""
    known = _hashes.get(path)
    if known is not None and known[0] == found:
        return known[1]
    digest = _digest(descriptor, pauses=pauses)
    if signature(os.fstat(descriptor)) != found:
        raise FileNotFoundError("the file changed while it was read")
    if len(_hashes) >= _MAX_REMEMBERED:
        _hashes.clear()
    _hashes[path] = found, digest, time.monotonic()
    return digest


def _digest(descriptor: int, *, pauses: bool) -> str:
    digest = hashlib.blake2b(digest_size=16)
    while block := os.read(descriptor, _READ_BYTES):
        digest.update(block)
        if pauses:
            time.sleep(0)  # under gevent, where a thread is a greenlet, others run
    return digest.hexdigest()


def _hash_later(path: bytes, found: Signature) -> None:
    """Have the file read in a thread, which reads one file at a time and ends when none waits."""
    with _waiting_lock:
        is_idle = not _waiting
        if len(_waiting) < _MAX_WAITING:
            _waiting.setdefault(path, found)
    if is_idle:
        threading.Thread(target=_hash_waiting, daemon=True).start()


def _hash_waiting() -> None:
    while True:
        with _waiting_lock:
            path, found = next(iter(_waiting.items()))
        with suppress(OSError):  # it has changed, or is gone
            descriptor = open_file(path)
            try:
                _large_hash(path, found, descriptor, pauses=True)
            finally:
                os.close(descriptor)
        with _waiting_lock:
            del _waiting[path]
            if not _waiting:
                return
