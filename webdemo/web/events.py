"""Server-sent events (WHATWG HTML, section 9.2): a stream that browsers read with EventSource.

A stream ends when the server begins to drain, so that a reload or a stop does not wait for it; browsers
then connect again by themselves, to the next process.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from werkzeug.wsgi import ClosingIterator

from webdemo.web.request import Request
from webdemo.web.response import Response, dump_json

_HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx passes each event on at once
}
_line_end = re.compile("\r\n|\r|\n")
_one_line = re.compile("[^\r\n\0]*")


class ServerSentEvent(NamedTuple):
    """An event with a type, or an id: browsers send the last one as Last-Event-ID when they connect again."""

    data: Any
    event: str | None = None
    id: str | None = None


def event_stream(request: Request, events: Iterable[Any]) -> Response:
    """A response that sends each event when it comes, until the events or the server end.

    An event is text, any other value (sent as JSON), a ServerSentEvent, or None, which sends a comment.
    Yield one of them every few seconds, None if there is no news: only then is it noticed that the client
    has gone, or that the server drains: `while not request.draining.wait(1): yield ...`.
    """
    chunks = _chunks(events, request.draining.is_set)
    return Response(ClosingIterator(chunks, getattr(events, "close", None)), headers=_HEADERS)


def _chunks(events: Iterable[Any], is_draining: Callable[[], bool]) -> Iterator[bytes]:
    yield b":\n\n"  # sends the headers, so that browsers see the stream as open
    for event in events:
        yield b":\n\n" if event is None else _encode(event)
        if is_draining():
            return


def _encode(event: Any) -> bytes:
    """The lines of an event. Raises ValueError for a type or an id that is not one line."""
    if not isinstance(event, ServerSentEvent):
        event = ServerSentEvent(event)
    text = event.data if isinstance(event.data, str) else dump_json(event.data).decode()
    lines = [f"data: {line}" for line in _line_end.split(text)]
    for name, value in (("event", event.event), ("id", event.id)):
        if value is not None:
            if not _one_line.fullmatch(value):
                raise ValueError(f"the {name} of a server-sent event is one line of text: {value!a:.80}")
            lines.append(f"{name}: {value}")
    return "\n".join([*lines, "", ""]).encode(errors="replace")
