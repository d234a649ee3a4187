"""What a start says about the app of a folder, its .env, and the port in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import running as runs
from tests.raw_http import get
from webdemo.cli.hints import app_here
from webdemo.config.binds import wanted_binds
from webdemo.config.planning import make_plan
from webdemo.config.sources import env_file_note, read_settings

MANAGE = """import os
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
raise SystemExit("this file must not be run")
"""


@pytest.mark.parametrize(
    ("name", "text", "app"),
    [
        ("manage.py", MANAGE, "shop.wsgi:application"),
        ("app.py", "from flask import Flask\napp = Flask(__name__)\n", "app:app"),
        ("app.py", "app: App = App()\n", "app:app"),
        ("app.py", "def create_app():\n    app = 1\n", "'app:create_app()'"),
        ("wsgi.py", "application = make()\n", "wsgi:application"),
        ("app.py", "    app = 1\nprint('no app')\n", None),
        ("app.py", "app == 1\n", None),
        ("main.py", "app = 1\n", None),
    ],
)
def test_the_app_of_a_folder_is_found_by_reading(
    tmp_path: Path, name: str, text: str, app: str | None
) -> None:
    (tmp_path / name).write_text(text)
    assert app_here(tmp_path) == (None if app is None else (name, app))


def test_dot_env_is_read_with_debug_only_and_gives_the_port_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("PORT", "HOST"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("PORT=8123\nHOST=0.0.0.0\nWEBDEMO_SERVER=gunicorn\nSECRET_KEY=hidden\n")
    assert read_settings({}).settings.port == ()
    resolved = read_settings({"debug": True})
    assert (resolved.settings.port, resolved.sources["port"]) == (("8123",), ".env")
    assert (resolved.settings.host, resolved.settings.server) == ("", "werkzeug")
    assert not resolved.on_platform
    assert env_file_note(resolved) == "From .env: PORT, HOST, WEBDEMO_SERVER, SECRET_KEY."
    assert read_settings({"debug": True, "port": ("1",)}).settings.port == ("1",)
    plan = make_plan(resolved, wanted_binds(resolved))
    assert plan.target.env_file == str(tmp_path / ".env")


def test_the_start_says_which_app_is_served_and_which_could_be(running: runs.Start, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "app.py").write_text(
        "import os\ndef create_app():\n    def app(environ, start_response):\n"
        "        start_response('200 OK', [('Content-Length', '3')])\n"
        "        return [os.environ['WORD'].encode()]\n    return app\n"
    )
    (folder / "vars").write_text("WORD=one\n")
    bind = ("-b", "waitress://127.0.0.1:0")
    demo = runs.start(folder, *bind)
    try:
        assert demo.terminate() == 0
        assert (
            "This is the demo site. The app of app.py is served with --app 'app:create_app()'" in demo.log()
        )
        assert "\nApp: webdemo:app\n" in demo.log()
    finally:
        demo.clean_up()
    run = running("--app-dir", str(folder), "--app", "app", "--env-file", str(folder / "vars"), *bind)
    assert get(run.url).text == "one"
    assert run.terminate() == 0
    assert run.log().startswith(f"From {folder}/vars: WORD.\nApp: app:create_app()\n")
