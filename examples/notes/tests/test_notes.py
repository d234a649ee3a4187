"""The site as its users and their programs meet it."""

from __future__ import annotations

import io
import re
from pathlib import Path
from threading import Event, Semaphore
from typing import Any

import pytest
from werkzeug.security import generate_password_hash
from werkzeug.test import Client, TestResponse

from notes import app, live
from notes.base import store
from notes.store import Conflict

PASSWORD = "correct horse"
_HASH = generate_password_hash(PASSWORD, "pbkdf2:sha256:1")  # the real hash takes a tenth of a second


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Client:
    """A client of a site with two users, Ada and Eve, and no notes."""
    monkeypatch.setattr(store, "folder", tmp_path)
    store.create()
    for name in ("Ada", "Eve"):
        store.add_user(name, _HASH)
    return app.test_client(raise_errors=True)


@pytest.fixture
def ada(client: Client) -> Client:
    """The client, signed in as Ada."""
    sign_in(client, "Ada")
    return client


def sign_in(client: Client, name: str, password: str = PASSWORD, **more: str) -> TestResponse:
    return client.post("/account/sign-in", data={"name": name, "password": password, **more})


def add(client: Client, title: str, body: str = "") -> str:
    """Add a note, and return its path."""
    response = client.post("/notes/new", data={"title": title, "body": body})
    assert response.status_code == 303
    return str(response.location)


def upload(client: Client, note: str, name: str, content: bytes) -> str:
    """Add a file to a note, and return its path."""
    client.post(f"{note}/files", data={"file": (io.BytesIO(content), name)})
    return str(re.findall(r'href="(/files/\d+)"', client.get(note).text)[-1])


# -- accounts --------------------------------------------------------------------------------------


def test_pages_lead_to_the_sign_in_and_back(client: Client) -> None:
    response = client.get("/?q=tea")
    assert response.status_code == 303
    assert response.location == "/account/sign-in?next=/?q%3Dtea"
    client.post("/account/sign-up", data={"name": "Bob", "password": PASSWORD})
    client.post("/account/sign-out")
    assert sign_in(client, "bob", next="/?q=tea").location == "/?q=tea"
    assert client.get("/?q=tea").status_code == 200


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example/", "/\\evil.example", "x:y", ""])
def test_sign_in_never_leads_to_another_site(ada: Client, target: str) -> None:
    assert sign_in(ada, "Ada", next=target).location == "/"


def test_wrong_password_and_unknown_name_look_the_same(ada: Client) -> None:
    ada.post("/account/sign-out")
    pages = [sign_in(ada, "Ada", "wrong"), sign_in(ada, "Eve", "wrong")]
    assert [page.status_code for page in pages] == [422, 422]
    assert pages[0].text.replace("Ada", "Eve") == pages[1].text


def test_passwords_cannot_be_tried_without_end(ada: Client) -> None:
    codes = [sign_in(ada, "Ada", "wrong").status_code for _ in range(6)]
    assert codes == [422, 422, 422, 422, 422, 429]
    assert sign_in(ada, "Ada").headers["Retry-After"] == "300"


@pytest.mark.parametrize(
    ("name", "password"), [("", PASSWORD), ("x" * 41, PASSWORD), ("Eve", "short"), ("ADA", PASSWORD)]
)
def test_account_that_cannot_be_made_says_why(ada: Client, name: str, password: str) -> None:
    response = ada.post("/account/sign-up", data={"name": name, "password": password})
    assert response.status_code == 422
    assert 'role="alert"' in response.text


def test_form_of_another_site_is_refused(ada: Client) -> None:
    headers = {"Sec-Fetch-Site": "cross-site"}
    assert ada.post("/notes/new", data={"title": "x"}, headers=headers).status_code == 403


# -- notes -----------------------------------------------------------------------------------------


def test_note_is_written_changed_and_removed(ada: Client) -> None:
    note = add(ada, "Tea <3", "Buy\nsome")
    assert "Tea &lt;3" in ada.get(note).text
    ada.post(f"{note}/edit", data={"title": "Coffee", "body": "", "version": "1"})
    assert "Coffee" in ada.get("/").text
    ada.post(f"{note}/remove")
    assert ada.get(note).status_code == 404


@pytest.mark.parametrize("title", ["", "   ", "x" * 201, "a\0b"])
def test_note_that_cannot_be_kept_is_refused(ada: Client, title: str) -> None:
    assert ada.post("/notes/new", data={"title": title, "body": ""}).status_code == 422


def test_text_written_meanwhile_is_not_overwritten(ada: Client) -> None:
    note = add(ada, "Tea")
    ada.post(f"{note}/edit", data={"title": "first", "body": "", "version": "1"})
    response = ada.post(f"{note}/edit", data={"title": "second", "body": "", "version": "1"})
    assert response.status_code == 409
    assert 'value="second"' in response.text
    assert 'name="version" value="2"' in response.text
    assert "first" in ada.get(note).text


def test_search_finds_beginnings_of_words_in_any_case_and_marks_them(ada: Client) -> None:
    add(ada, "Crème brûlée", "eggs & sugar")
    add(ada, "Shopping", "tea")
    page = ada.get("/?q=BRUL+sug").text
    assert "<mark>brûlée</mark>" in page
    assert "eggs &amp; <mark>sugar</mark>" in page
    assert "Shopping" not in page


@pytest.mark.parametrize("search", ['"', "AND", "a OR", "NEAR(", "title:x", "*", "-", "'; DROP TABLE note"])
def test_search_takes_any_text(ada: Client, search: str) -> None:
    assert ada.get("/", query_string={"q": search}).status_code == 200


def test_numbers_that_the_database_cannot_hold_are_refused(ada: Client) -> None:
    note, huge = add(ada, "Tea"), "9" * 30
    data = {"title": "x", "body": "", "version": huge}
    assert ada.post(f"{note}/edit", data=data).status_code == 422
    assert ada.get(f"/?page={huge}").status_code == 422


@pytest.mark.parametrize("path", ["/", "/notes/new", "/notes/1", "/account/", "/files/1", "/events"])
def test_page_is_only_for_who_is_signed_in(client: Client, path: str) -> None:
    assert client.get(path).location == f"/account/sign-in?next={path}"


def test_long_list_has_pages(ada: Client) -> None:
    for number in range(25):
        add(ada, f"note {number}")
    assert "Older" in ada.get("/").text
    assert 'rel="prev"' in ada.get("/?page=2").text


def test_notes_and_files_of_others_are_not_there(ada: Client) -> None:
    note = add(ada, "secret")
    file = upload(ada, note, "a.txt", b"secret")
    sign_in(ada, "Eve")
    assert "No note has these words" in ada.get("/?q=secret").text
    paths = [note, f"{note}/edit", file, note.replace("/notes", "/api/notes")]
    assert [ada.get(path).status_code for path in paths] == [404] * 4
    paths = [f"{note}/edit", f"{note}/remove", f"{note}/files", f"{file}/remove"]
    data = {"title": "x", "body": "", "version": "1"}
    for path in paths:
        file_sent = {"file": (io.BytesIO(b"x"), "x")} if path.endswith("/files") else data
        assert ada.post(path, data=file_sent).status_code == 404


# -- files -----------------------------------------------------------------------------------------


def test_files_come_back_as_downloads_and_images_in_the_page(ada: Client) -> None:
    note = add(ada, "Files")
    file = upload(ada, note, "C:\\notes\\Übersicht.html", b"<script>")
    response = ada.get(file)
    assert response.data == b"<script>"
    assert response.headers["Content-Disposition"].startswith("attachment;")
    assert response.mimetype == "application/octet-stream"
    assert ada.get(file, headers={"Range": "bytes=1-3"}).data == b"scr"
    image = ada.get(upload(ada, note, "a.PNG", b"png"))
    assert (image.mimetype, "Content-Disposition" in image.headers) == ("image/png", False)


def test_removed_files_and_notes_leave_nothing_on_disk(ada: Client) -> None:
    note = add(ada, "Files")
    file = upload(ada, note, "a", b"a")
    upload(ada, note, "b", b"b")
    ada.post(f"{file}/remove")
    assert len([*store.files_folder.iterdir()]) == 1
    ada.post(f"{note}/remove")
    assert [*store.files_folder.iterdir()] == []


# -- the API ---------------------------------------------------------------------------------------


@pytest.fixture
def token(ada: Client) -> dict[str, str]:
    """The headers of a program that has Ada's token, and no session."""
    found = re.search(r'class="token".*?<code>(.*?)</code>', ada.post("/account/token").text, re.DOTALL)
    assert found
    ada.post("/account/sign-out")
    return {"Authorization": f"Bearer {found[1]}"}


def test_program_with_a_token_adds_finds_changes_and_removes(ada: Client, token: dict[str, str]) -> None:
    added = ada.post("/api/notes", json={"title": "Tea", "body": "green"}, headers=token)
    assert added.status_code == 201
    path = str(added.location)
    assert path == f"/api/notes/{added.get_json()['id']}"
    found = ada.get("/api/notes?q=gre", headers=token).get_json()["notes"]
    assert [(note["title"], note["excerpt"]) for note in found] == [("Tea", "green")]
    changed = ada.put(path, json={"title": "Mate"}, headers={**token, "If-Match": added.headers["ETag"]})
    assert (changed.get_json()["title"], changed.headers["ETag"]) == ("Mate", '"2"')
    assert ada.delete(path, headers=token).status_code == 204
    assert ada.get(path, headers=token).get_json() == {
        "error": "There is no such note or file here, or it is not yours."
    }


def test_program_cannot_overwrite_what_it_has_not_seen(ada: Client, token: dict[str, str]) -> None:
    path = ada.post("/api/notes", json={"title": "Tea"}, headers=token).location
    codes = [
        ada.put(path, json={"title": "x"}, headers={**token, **condition}).status_code
        for condition in ({}, {"If-Match": '"1"'}, {"If-Match": '"1"'})
    ]
    assert codes == [428, 200, 412]


@pytest.mark.parametrize("sent", [[], {}, {"title": 1}, {"title": "x", "body": None}, "text"])
def test_json_that_is_no_note_is_refused(ada: Client, token: dict[str, str], sent: Any) -> None:
    response = ada.post("/api/notes", json=sent, headers=token)
    assert response.status_code == 422
    assert "error" in response.get_json()


def test_program_without_a_token_is_refused_in_json(client: Client) -> None:
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        response = client.get("/api/notes", headers=headers)
        assert (response.status_code, [*response.get_json()]) == (401, ["error"])
        assert response.headers["WWW-Authenticate"].startswith("Bearer")


# -- the store -------------------------------------------------------------------------------------


def test_note_is_changed_by_one_of_two_who_read_the_same_version(ada: Client) -> None:
    note = store.add_note(1, "a", "")
    store.change_note(1, note, "b", "", version=1)
    with pytest.raises(Conflict):
        store.change_note(1, note, "c", "", version=1)
    assert store.note(1, note).title == "b"


# -- live updates ----------------------------------------------------------------------------------


def test_stream_begins_with_the_revision_and_ends_when_the_server_drains(ada: Client) -> None:
    add(ada, "Tea")
    draining = Event()
    draining.set()
    response = ada.get("/events", environ_overrides={"webdemo.draining": draining})
    assert response.mimetype == "text/event-stream"
    assert "data: 1\n\n" in response.text


def test_stream_without_a_place_ends_after_the_revision(ada: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_places", Semaphore(0))
    assert ada.get("/events").text.endswith("data: 0\n\n")
