"""The notes and their files, as HTML."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePath

from notes.base import NotesRequest, app, read_note, store
from notes.store import Conflict
from webdemo import Response, Routes, redirect, send_file

PAGE_SIZE = 24
# Shown in a page. Every other file is a download: an SVG or HTML file could run scripts as this site.
IMAGES = {
    ".gif": "image/gif",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
}

routes = Routes()


@routes.get("/")
def list_notes(request: NotesRequest) -> str:
    search = request.args.get("q", "").strip()
    page = max(1, request.args.get("page", 1, type=int))
    found = store.notes(request.user.id, search, PAGE_SIZE + 1, (page - 1) * PAGE_SIZE)
    return request.render(
        "notes.html",
        notes=found[:PAGE_SIZE],
        has_more=len(found) > PAGE_SIZE,
        search=search,
        page=page,
    )


@routes.get("/notes/new")
def new_note(request: NotesRequest) -> str:
    return request.render("edit.html", note=None, problem="")


@routes.post("/notes/new")
def add_note(request: NotesRequest) -> Response:
    title, body = read_note(request.form)
    note_id = store.add_note(request.user.id, title, body)
    return redirect(app.url_for("show_note", note_id=note_id), 303)


@routes.get("/notes/<int:note_id>")
def show_note(request: NotesRequest, note_id: int) -> str:
    note = store.note(request.user.id, note_id)
    files = store.files(request.user.id, note_id)
    return request.render("note.html", note=note, files=files, image_type=_image_type)


@routes.get("/notes/<int:note_id>/edit")
def edit_note(request: NotesRequest, note_id: int) -> str:
    return request.render("edit.html", note=store.note(request.user.id, note_id), problem="")


@routes.post("/notes/<int:note_id>/edit")
def change_note(request: NotesRequest, note_id: int) -> Response | tuple[str, int]:
    title, body = read_note(request.form)
    try:
        store.change_note(request.user.id, note_id, title, body, request.form.get("version", 0, type=int))
    except Conflict:  # what was written stays in the form, whose next attempt is for the new version
        note = replace(store.note(request.user.id, note_id), title=title, body=body)
        problem = "This note was changed in the meantime. Save again to replace it with your text."
        return request.render("edit.html", note=note, problem=problem), 409
    return redirect(app.url_for("show_note", note_id=note_id), 303)


@routes.post("/notes/<int:note_id>/remove")
def remove_note(request: NotesRequest, note_id: int) -> Response:
    store.remove_note(request.user.id, note_id)
    return redirect(app.url_for("list_notes"), 303)


@routes.post("/notes/<int:note_id>/files")
def add_files(request: NotesRequest, note_id: int) -> Response:
    user = request.user
    for upload in request.files.getlist("file"):
        if upload.filename:
            # Some clients send a path. It is only the name that is shown: the file is stored under another.
            name = PurePath(upload.filename.replace("\\", "/")).name
            store.add_file(user.id, note_id, name, upload.stream)
    return redirect(app.url_for("show_note", note_id=note_id), 303)


@routes.get("/files/<int:file_id>")
def show_file(request: NotesRequest, file_id: int) -> Response:
    file = store.file(request.user.id, file_id)
    image_type = _image_type(file.name)
    return send_file(
        request,
        file.stored,
        store.files_folder,
        download_name=None if image_type else file.name,
        content_type=image_type,
    )


@routes.post("/files/<int:file_id>/remove")
def remove_file(request: NotesRequest, file_id: int) -> Response:
    file = store.file(request.user.id, file_id)
    store.remove_file(request.user.id, file_id)
    return redirect(app.url_for("show_note", note_id=file.note_id), 303)


def _image_type(name: str) -> str | None:
    return IMAGES.get(PurePath(name).suffix.lower())
