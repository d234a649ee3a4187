"""Part of a file as a response body: exactly the bytes announced, or the connection is aborted.

A file can change while it is sent. If it grew, it is cut at the announced length; if it was replaced,
the old file is sent to its end, since its descriptor stays open; if it shrank or was overwritten in
place, `FileChangedError` is raised, on which every server aborts the connection: the client sees an
incomplete response, never a wrong one.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from webdemo.web.static.ranges import Span
from webdemo.web.static.tree import Signature

BLOCK_BYTES = 128 * 1024


class FileChangedError(OSError):
    """The file changed while it was sent, so the announced body cannot be completed."""


class FilePart:
    """A file-like object for `wsgi.file_wrapper` that ends at the end of its span; owns the descriptor.

    Positions are those in the file, as needed by servers that call sendfile with `fileno()` and `tell()`.
    """

    def __init__(self, descriptor: int, expected: Signature, span: Span) -> None:
        self._descriptor: int | None = descriptor
        self._expected = expected
        self._position = 0
        self.select(span)

    def select(self, span: Span) -> None:
        """Seek to the start of a span, and read up to its end."""
        self._end = span.end
        self.seek(span.start)

    def fileno(self) -> int:
        if self._descriptor is None:
            raise ValueError("the file is closed")
        return self._descriptor

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence == os.SEEK_CUR:
            offset += self._position
        elif whence == os.SEEK_END:
            offset += self._end
        self._position = os.lseek(self.fileno(), offset, os.SEEK_SET)
        return self._position

    def read(self, size: int = -1) -> bytes:
        """The next bytes; b"" only at the end of the span.

        Raises FileChangedError, at the latest before the last bytes of the span are returned.
        """
        left = self._end - self._position
        if left <= 0:
            return b""
        data = os.read(self.fileno(), size if 0 <= size < left else left)
        self._position += len(data)
        if len(data) == left or not data:
            self._check()
        return data

    def close(self) -> None:
        """Close the descriptor, once. Raises FileChangedError if the file shrank during sendfile."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            size = self._end if self._position == self._end else os.fstat(descriptor).st_size
            os.close(descriptor)
            if size < self._end:
                raise FileChangedError(f"the file shrank to {size} bytes while it was sent")

    def _check(self) -> None:
        now = os.fstat(self.fileno())
        then = self._expected
        overwritten = now.st_size == then.size and now.st_mtime_ns != then.modified_ns
        if now.st_size < then.size or overwritten:
            raise FileChangedError("the file changed while it was sent")


class FileBody:
    """Spans of a file and the bytes between them, in blocks: memory use does not depend on their size."""

    def __init__(self, part: FilePart, pieces: Iterable[bytes | Span]) -> None:
        self._part = part
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            if isinstance(piece, bytes):
                yield piece
            else:
                self._part.select(piece)
                while data := self._part.read(BLOCK_BYTES):
                    yield data

    def close(self) -> None:
        self._part.close()
