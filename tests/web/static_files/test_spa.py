"""Single-page apps: the paths that only the app in the browser knows are answered with its index."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.web.static_files.calling import call
from webdemo.web.static.app import StaticFiles


@pytest.fixture
def app(folder: Path) -> StaticFiles:
    return StaticFiles(folder, spa=True, immutable="assets/*")


@pytest.mark.parametrize("path", ["/users/7", "/users/", "/empty", "/empty/", "/caf%C3%A9", "/assets/none"])
def test_path_without_a_file_and_an_extension_gets_the_index(app: StaticFiles, path: str) -> None:
    answer = call(app, path)
    assert (answer.status, answer.body) == (200, b"<h1>home</h1>")
    assert (answer["Content-Type"], answer["Cache-Control"]) == ("text/html; charset=utf-8", "no-cache")
    assert call(app, path, if_none_match=answer["ETag"]).status == 304
    assert call(app, path, "HEAD").headers == answer.headers


@pytest.mark.parametrize(
    "path",
    ["/assets/old.3f9a1c2b.js", "/robots.txt", "/.git/config", "/.well-known/none", "//none", "/a/../b"],
)
def test_missing_file_and_what_is_never_served_stay_missing(app: StaticFiles, path: str) -> None:
    answer = call(app, path)
    assert (answer.status, answer["Cache-Control"]) == (404, "no-store")


def test_files_come_first_and_other_methods_are_refused(app: StaticFiles) -> None:
    assert call(app, "/sub/").body == b"<h1>sub</h1>"
    assert call(app, "/sub").status == 308
    assert call(app, "/users/7", "POST").status == 405


def test_without_an_index_nothing_changes(app: StaticFiles, folder: Path) -> None:
    (folder / "index.html").unlink()
    assert call(app, "/users/7").status == 404
    assert call(app, "/").status == 404
