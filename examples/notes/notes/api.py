"""The notes as JSON, for programs that send the token of the account page: `Authorization: Bearer TOKEN`."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from werkzeug.exceptions import PreconditionFailed, PreconditionRequired

from notes.base import NotesRequest, app, read_note, store
from notes.store import Conflict, Note, Summary, without_marks
from webdemo import Response, Routes

MAX_LIMIT = 100

Sent = tuple[dict[str, Any], int, dict[str, str]]

routes = Routes()


@routes.get("/notes", name="api_list")
def list_notes(request: NotesRequest) -> dict[str, list[Summary]]:
    limit = min(max(1, request.args.get("limit", 20, type=int)), MAX_LIMIT)
    offset = max(0, request.args.get("offset", 0, type=int))
    found = store.notes(request.user.id, request.args.get("q", ""), limit, offset)
    plain = [
        replace(each, title=without_marks(each.title), excerpt=without_marks(each.excerpt)) for each in found
    ]
    return {"notes": plain}


@routes.post("/notes", name="api_add")
def add_note(request: NotesRequest) -> Sent:
    note_id = store.add_note(request.user.id, *read_note(request.get_json()))
    body, _, headers = _sent(store.note(request.user.id, note_id))
    return body, 201, {**headers, "Location": app.url_for("api_note", note_id=note_id)}


@routes.get("/notes/<int:note_id>", name="api_note")
def show_note(request: NotesRequest, note_id: int) -> Sent:
    return _sent(store.note(request.user.id, note_id))


@routes.put("/notes/<int:note_id>", name="api_change")
def change_note(request: NotesRequest, note_id: int) -> Sent:
    """Replaces the version that If-Match names, so that no client overwrites what it has not seen."""
    title, body = read_note(request.get_json())
    if not request.if_match:
        raise PreconditionRequired("Send the note's ETag in If-Match.")
    note = store.note(request.user.id, note_id)
    if not request.if_match.contains(str(note.version)):
        raise PreconditionFailed("The note was changed in the meantime.")
    try:
        store.change_note(request.user.id, note_id, title, body, note.version)
    except Conflict:
        raise PreconditionFailed("The note was changed in the meantime.") from None
    return _sent(store.note(request.user.id, note_id))


@routes.delete("/notes/<int:note_id>", name="api_remove")
def remove_note(request: NotesRequest, note_id: int) -> Response:
    store.remove_note(request.user.id, note_id)
    return Response(status=204)


def _sent(note: Note) -> Sent:
    return asdict(note), 200, {"ETag": f'"{note.version}"'}
