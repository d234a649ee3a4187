"""Live updates: a stream of server-sent events for each open list.

A stream waits in a thread of the server. Where all places are taken, a stream ends after its first
event, and the browser connects again after a few seconds: the list is a little late, but no request waits.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from threading import BoundedSemaphore

from notes.base import NotesRequest, store
from webdemo import Response, Routes, event_stream

# For each process. The server needs more threads than this, for the other requests.
MAX_STREAMS = int(os.environ.get("NOTES_STREAMS", "16"))
LOOK_SECONDS = 0.5  # other processes and servers write as well, so the database is what is watched
LOOKS_FOR_A_COMMENT = 20  # a comment now and then shows whether the client is still there

_places = BoundedSemaphore(MAX_STREAMS)

routes = Routes()


@routes.get("/events")
def events(request: NotesRequest) -> Response:
    return event_stream(request, _revisions(request, request.user.id))


def _revisions(request: NotesRequest, user_id: int) -> Iterator[int | None]:
    """The revision of the user's notes, at first and each time it grows."""
    revision = store.revision(user_id)
    yield revision
    if not _places.acquire(blocking=False):
        return
    try:
        looks = 0
        while not request.draining.wait(LOOK_SECONDS):
            shown, revision = revision, store.revision(user_id)
            looks = (looks + 1) % LOOKS_FOR_A_COMMENT
            if revision != shown:
                yield revision
            elif looks == 0:
                yield None
    finally:
        _places.release()
