"""Part of a file as the body of an answer: exactly the bytes announced, or the connection ends.

A file can change while it is sent. One that grew is cut at the length announced; one that was replaced
by another keeps being read, since its descriptor stays open; one that shrank, or was written over in
place, raises `FileChangedError`, at which every server breaks off the connection, so that the client sees a
broken answer and never a wrong one.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from webdemo.web.ranges import Span
from webdemo.web.tree import Signature, signature

BLOCK_BYTES = 64 * 1024


class FileChangedError(OSError):
    """A file changed while it was being sent: what was announced can no longer be kept."""


class FilePart:
    """A file-like object that ends where the span does, for `wsgi.file_wrapper`; owns the descriptor.

    Positions are the file's own, so servers that call sendfile with `fileno()` and `tell()` are right.
    """

    def __init__(self, descriptor: int, span: Span, expected: Signature) -> None:
        self._descriptor: int | None = descriptor
        self._end = span.end
        self._expected = expected
        os.lseek(descriptor, span.start, os.SEEK_SET)

    def fileno(self) -> int:
        if self._descriptor is None:
            raise ValueError("the file is closed")
        return self._descriptor

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return os.lseek(self.fileno(), 0, os.SEEK_CUR)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence == os.SEEK_END:
            offset, whence = offset + self._end, os.SEEK_SET
        return os.lseek(self.fileno(), offset, whence)

    def read(self, size: int = -1) -> bytes:
        """The next bytes, none only at the span's end; raises FileChangedError."""
        descriptor = self.fileno()
        left = max(0, self._end - self.tell())
        wanted = left if size < 0 else min(size, left)
        data = os.read(descriptor, wanted)
        self._check(descriptor)
        if wanted and not data:
            raise FileChangedError("the file ended before its announced length")
        return data

    def close(self) -> None:
        """Close once; raises FileChangedError if the file shrank while a server sent it by itself."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            size = os.fstat(descriptor).st_size
            os.close(descriptor)
            if size < self._end:
                raise FileChangedError(f"the file shrank to {size} bytes while it was sent")

    def _check(self, descriptor: int) -> None:
        now = signature(os.fstat(descriptor))
        overwritten = now.size == self._expected.size and now.modified_ns != self._expected.modified_ns
        if now.size < self._end or overwritten:
            raise FileChangedError("the file changed while it was sent")


class FileBody:
    """One or more spans of a file, each after its own head, in blocks: memory does not grow with size."""

    def __init__(self, part: FilePart, pieces: Iterable[bytes | Span]) -> None:
        self._part = part
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            if isinstance(piece, bytes):
                yield piece
                continue
            position = self._part.seek(piece.start)
            while position < piece.end:
                data = self._part.read(min(BLOCK_BYTES, piece.end - position))
                position += len(data)
                yield data

    def close(self) -> None:
        self._part.close()
