"""Refuses requests that Gunicorn's parser accepts, and RFC 9112 or the limits of the other servers do not."""

from __future__ import annotations

from typing import Any

from gunicorn.http.body import Body, ChunkedReader
from gunicorn.http.errors import InvalidChunkSize, InvalidHeader, NoMoreData

from webdemo.servers._fields import Malformed, unify
from webdemo.servers._framing import LONGEST_CHUNK_LINE, NO_TUNNEL, chunk_size


def strict_request(worker: Any, request: Any) -> None:
    """Unify the header fields, and have the body's chunks checked."""
    try:
        if request.method == "CONNECT":
            raise Malformed(NO_TUNNEL)
        request.headers = unify("1.0" if request.version == (1, 0) else "1.1", request.headers)
    except Malformed as exc:
        raise InvalidHeader(str(exc), req=request) from exc
    if isinstance(request.body.reader, ChunkedReader):
        request.body = Body(StrictChunks(request, request.unreader))


class StrictChunks(ChunkedReader):  # type: ignore[misc]
    def parse_chunk_size(self, unreader: Any, data: bytes | None = None) -> Any:
        """Check the line by the rule of the other servers, and let Gunicorn go on from it.

        Gunicorn limits neither the digits of a size nor a line that arrives whole.
        """
        received = bytearray(data or b"")
        while not (end := received.find(b"\n") + 1) and len(received) <= LONGEST_CHUNK_LINE:
            data = unreader.read()
            if not data:
                raise NoMoreData
            received += data
        line = bytes(received[: end or None])
        try:
            if len(line) > LONGEST_CHUNK_LINE:
                raise Malformed("A line of its chunked body is too long.")
            chunk_size(line)
        except Malformed as exc:
            raise InvalidChunkSize(line[:LONGEST_CHUNK_LINE]) from exc
        return super().parse_chunk_size(unreader, bytes(received))
