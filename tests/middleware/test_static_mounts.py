"""--static: folders served below a path of any app, and the hint at a file that the app does not serve."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from werkzeug.test import Client

from tests import running as runs
from tests.raw_http import get
from webdemo.errors import UsageError
from webdemo.middleware.static_mounts import MissingHint, Mount, mounted

DJANGO = """
import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application

settings.configure(
    ALLOWED_HOSTS=["*"], ROOT_URLCONF="served", SECRET_KEY="x", STATIC_URL="static/", STATIC_ROOT="collected",
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.messages",
                    "django.contrib.admin", "django.contrib.staticfiles"],
)
urlpatterns = []
app = get_wsgi_application()
"""


def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    text = f"app {environ.get('SCRIPT_NAME', '')} {environ['PATH_INFO']}".encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(text)))])
    return [text]


@pytest.fixture
def client(tmp_path: Path) -> Client:
    for name in ("files", "images"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text(name)
    mounts = [Mount("/static/", str(tmp_path / "files")), Mount("/static/img/", str(tmp_path / "images"))]
    return Client(mounted(app, mounts))


def test_files_below_the_path_are_served_and_all_else_is_the_apps(client: Client) -> None:
    assert client.get("/static/a.txt").text == "files"
    assert client.get("/static/img/a.txt").text == "images", "the longest path wins"
    assert client.get("/static/a.txt", headers={"Range": "bytes=0-1"}).text == "fi"
    assert client.get("/static/none").status_code == 404
    assert client.post("/static/a.txt").status_code == 405
    for path in ("/static", "/staticky/a.txt", "/", "/a.txt"):
        assert client.get(path).text == f"app  {path}"


def test_a_folder_without_its_slash_is_redirected_within_the_path(client: Client, tmp_path: Path) -> None:
    (tmp_path / "files" / "sub").mkdir()
    (tmp_path / "files" / "sub" / "index.html").write_text("sub")
    assert client.get("/static/sub?x=1").headers["Location"] == "/static/sub/?x=1"


@pytest.mark.attack("Files", "../ below --static", "404; symlinks that leave the folder, too")
def test_nothing_outside_the_folder_is_served(client: Client, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "files" / "link").symlink_to(tmp_path / "secret")
    for path in ("/static/../secret", "/static/%2e%2e/secret", "/static/link", "/static/img/../../secret"):
        assert client.get(path).status_code == 404


@pytest.mark.parametrize(
    "text", ["static", "/static/", "static=x", "=x", "/=tests", "/static/=no-such-folder", "/\udcff/=tests"]
)
def test_what_names_no_path_and_no_folder_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        Mount.parse(text)


@pytest.mark.parametrize(
    ("path", "right"),
    [
        ("/my%20files/", "/my files/=."),
        ("/caf%C3%A9", "/café/=."),
        ("/a%2fb/", "/a/b/=."),
        ("/a//b", "/a/b/=."),
        ("//a/b", "/a/b/=."),
        ("///a", "/a/=."),
        ("/a/../b", "/b/=."),
        ("/a/./b/", "/a/b/=."),
        ("/a/%2e%2e/b", "/b/=."),
    ],
)
def test_a_path_that_is_not_decoded_and_plain_is_refused_with_the_right_one(path: str, right: str) -> None:
    with pytest.raises(UsageError) as excinfo:
        Mount.parse(f"{path}=.")
    assert excinfo.value.remedy == f"Write: --static {shlex.quote(right)}"
    assert excinfo.value.problem == (
        f"static cannot be '{path}=.': its path must be decoded, and without '.', '..' and '//'."
    )
    assert Mount.parse(right).prefix == right.removesuffix("=.")


@pytest.mark.parametrize("path", ["/", "//", "/.", "/a/..", "/%2e/", "/%2F"])
def test_the_apps_own_root_is_refused_however_it_is_written(path: str) -> None:
    with pytest.raises(UsageError) as excinfo:
        Mount.parse(f"{path}=.")
    assert excinfo.value.remedy == "To serve only a folder: --directory ."


@pytest.mark.parametrize("prefix", ["/100%/", "/my files/", "/café/", "/.well-known/", "/a..b/", "/a%zz/"])
def test_a_decoded_path_is_served_as_it_is_written(prefix: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text")
    client = Client(mounted(app, [Mount.parse(f"{prefix}={tmp_path}")]))
    assert client.get(quote(prefix) + "a.txt").text == "text"


def test_a_path_is_taken_with_and_without_its_last_slash(tmp_path: Path) -> None:
    for text in (f"/files={tmp_path}", f"/files/={tmp_path}/"):
        assert Mount.parse(text) == Mount("/files/", str(tmp_path))


def test_the_hint_names_the_very_flag_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "public").mkdir()
    (tmp_path / "public" / "app.css").write_text("")
    told: list[str] = []
    hint = MissingHint(told.append)
    for path in ("/elsewhere", "/static/other.css", "/static/app.css?v=1", "/static/app.css"):
        hint(path)
    assert told == ["The app does not serve /static/app.css; webdemo would: --static /static/=public"]


def test_django_is_hinted_at_and_served(running: runs.Start) -> None:
    run = running("-b", "waitress://127.0.0.1:0", "-b", "gunicorn://127.0.0.1:0", app=DJANGO)
    for url in run.urls:
        assert get(url, "/static/admin/css/base.css").status == 404
    assert len(run.wait_for(r"^Django serves no static files itself.*--static /static/=collected$")) == 1
    assert run.terminate() == 0
    folder = run.log_file.parent
    (folder / "collected").mkdir()
    (folder / "collected" / "a.css").write_text("body {}")
    (folder / "webdemo.toml").write_text('static = "/static/=collected"')
    again = runs.start(folder, "-b", "waitress://127.0.0.1:0", "-b", "gunicorn://127.0.0.1:0", app=DJANGO)
    try:
        for url in again.urls:
            assert get(url, "/static/a.css").headers["Content-Type"] == "text/css; charset=utf-8"
            assert get(url, "/none").status == 404
        assert again.terminate() == 0
    finally:
        again.clean_up()


def test_debug_styles_djangos_admin_without_collectstatic(running: runs.Start) -> None:
    run = running("--debug", "-b", "waitress://127.0.0.1:0", "-b", "gunicorn://127.0.0.1:0", app=DJANGO)
    for url in run.urls:
        style = get(url, "/static/admin/css/base.css")
        assert (style.status, style.headers["Content-Type"].partition(";")[0]) == (200, "text/css")
    assert run.terminate() == 0
    assert "--static" not in run.log()


def test_a_single_page_app_is_served_by_every_server(running: runs.Start, tmp_path: Path) -> None:
    folder = tmp_path / "dist"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("the app")
    (folder / "assets" / "app.3f9a1c2b.js").write_bytes(b"1" * 600_000)
    binds = ("-b", "werkzeug://127.0.0.1:0", "-b", "waitress://127.0.0.1:0", "-b", "gunicorn://127.0.0.1:0")
    run = running(*binds, "--directory", str(folder), "--spa", "--cors", "--immutable", "assets/*")
    for url in run.urls:
        page = get(url, "/users/7")
        assert (page.status, page.text, page.headers["Cache-Control"]) == (200, "the app", "no-cache")
        script = get(url, "/assets/app.3f9a1c2b.js")
        assert script.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert len(script.text) == 600_000
        for answer in (page, script, get(url, "/assets/old.js")):
            assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert get(url, "/assets/old.js").status == 404
