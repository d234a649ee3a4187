"""`send_file`: files that views send, and the names under which browsers save them."""

from __future__ import annotations

import io
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.http import parse_options_header

from tests.web.serving import call
from webdemo import App, Request, Response, attachment, send_file
from webdemo.errors import UsageError


def app_with_downloads(folder: Path) -> App:
    app = App()

    @app.route("/files/<path:name>", methods=("GET", "POST"))
    def download(request: Request, name: str) -> Response:
        response = send_file(request, name, folder, download_name=request.args.get("as"))
        response.set_cookie("seen", "1")
        return response

    @app.get("/typed")
    def typed(request: Request) -> Response:
        return send_file(request, "ten.txt", folder, content_type="application/x-ten")

    return app


@pytest.mark.parametrize("name", ["ten.txt", "large.bin"])
def test_file_is_sent_with_conditions_and_ranges(folder: Path, name: str) -> None:
    app, path, content = app_with_downloads(folder), f"/files/{name}", (folder / name).read_bytes()
    whole = call(app, path)
    assert (whole.status, whole.body, whole["Set-Cookie"]) == ("200 OK", content, "seen=1; Path=/")
    part = call(app, path, HTTP_RANGE="bytes=2-4")
    assert (part.status[:3], part.body, part["Content-Length"]) == ("206", content[2:5], "3")
    unchanged = call(app, path, HTTP_IF_NONE_MATCH=whole["ETag"])
    assert (unchanged.status[:3], unchanged.body) == ("304", b"")
    assert call(app, path, HTTP_IF_MATCH='"other"').status[:3] == "412"
    assert call(app, path, HTTP_RANGE=f"bytes={len(content)}-").status[:3] == "416"
    assert call(app, path, "HEAD")["Content-Length"] == str(len(content))
    posted = call(app, path, "POST", HTTP_RANGE="bytes=2-4", CONTENT_LENGTH="0", wsgi_input=io.BytesIO())
    assert (posted.status, posted.body) == ("200 OK", content)


def test_type_may_be_given_and_follows_from_the_name_otherwise(folder: Path) -> None:
    app = app_with_downloads(folder)
    assert call(app, "/typed")["Content-Type"] == "application/x-ten"
    assert call(app, "/files/ten.txt")["Content-Type"] == "text/plain; charset=utf-8"


@pytest.mark.attack("Paths", "A name from a client leads `send_file` out of its folder", "404")
@pytest.mark.parametrize(
    "name", ["../secret", "sub/../../secret", "..%2fsecret", ".hidden", "sub", "none", "link"]
)
def test_name_that_leads_to_no_file_of_the_folder_is_404(folder: Path, name: str) -> None:
    (folder.parent / "secret").write_text("secret")
    (folder / ".hidden").write_text("secret")
    (folder / "link").symlink_to(folder.parent / "secret")
    assert call(app_with_downloads(folder), f"/files/{name}").status == "404 Not Found"


def test_errors_of_send_file_are_the_apps_own(folder: Path) -> None:
    app = app_with_downloads(folder)
    app.errorhandler(404)(lambda request, error: "no such download")
    assert call(app, "/files/none").body == b"no such download"


def test_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    app = app_with_downloads(tmp_path / "none")
    with pytest.raises(UsageError, match="none does not exist"):
        app.test_client(raise_errors=True).get("/files/a")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("report 7.pdf", 'attachment; filename="report 7.pdf"'),
        ("Prüfung.pdf", "attachment; filename=\"Prufung.pdf\"; filename*=UTF-8''Pr%C3%BCfung.pdf"),
        ('a"b%41.txt', "attachment; filename=\"a_b_41.txt\"; filename*=UTF-8''a%22b%2541.txt"),
        (
            "../../x\r\nSet-Cookie: a",
            "attachment; filename=\".._.._x__Set-Cookie_ a\"; filename*=UTF-8''.._.._x__Set-Cookie%3A%20a",
        ),
    ],
)
def test_download_name_is_sent_as_rfc_6266_says(folder: Path, name: str, expected: str) -> None:
    assert attachment(name) == expected
    reply = call(app_with_downloads(folder), "/files/ten.txt", QUERY_STRING=f"as={quote(name)}")
    assert reply["Content-Disposition"] == expected


@given(st.text())
def test_any_download_name_is_one_header_that_gives_the_name_back(name: str) -> None:
    header = attachment(name)
    assert header.isascii()
    assert header.isprintable()
    _, options = parse_options_header(header)
    assert not set(options["filename"]) & {"/", "\\", "\n", "\0"}
    if name.isalnum():
        assert options["filename"] == name
