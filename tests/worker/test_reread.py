"""Which folders of an app are read anew for each page, and so need no new process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import json, sys
sys.path.insert(0, ".")
import served
from webdemo.worker.reread import reread_folders
print(json.dumps(reread_folders(served.app)))
"""
WEBDEMO = """
from webdemo import App
from webdemo.web import StaticFiles
app = App()
app.mount("/files", StaticFiles("files"))
"""
FLASK = """
from flask import Blueprint, Flask
app = Flask(__name__)
app.debug = {debug}
app.register_blueprint(Blueprint("b", __name__, static_folder="files", static_url_path="/files"))
"""
DJANGO = """
from pathlib import Path
from django.conf import settings
from django.core.wsgi import get_wsgi_application
here = Path(__file__).parent
settings.configure(
    DEBUG=True, SECRET_KEY="x", ROOT_URLCONF=__name__, STATIC_URL="/static/",
    STATICFILES_DIRS=[here / "static"],
    INSTALLED_APPS=["django.contrib.staticfiles"],
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "DIRS": [here / "templates"]}],
)
urlpatterns = []
app = get_wsgi_application()
"""


@pytest.mark.process
@pytest.mark.parametrize(
    ("source", "folders"),
    [
        (WEBDEMO, ["files", "static", "templates"]),
        (FLASK.format(debug=True), ["files", "static", "templates"]),
        (FLASK.format(debug=False), ["files", "static"]),
        ("from flask import Flask\napp = Flask(__name__, static_folder='.')\n", []),
        (DJANGO, ["static", "templates"]),
        (DJANGO.replace("django.template", "nothing.template"), []),
        ("def app(environ, start_response): ...\n", []),
    ],
    ids=["webdemo", "Flask", "Flask without debug", "a folder with code", "Django", "broken Django", "none"],
)
def test_folders_are_named_only_if_they_are_certainly_read_anew(
    source: str, folders: list[str], tmp_path: Path
) -> None:
    (tmp_path / "served.py").write_text(source)
    for name in ("files", "static", "templates"):
        (tmp_path / name).mkdir()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    found = [Path(folder).name for folder in json.loads(done.stdout) if str(tmp_path) in folder]
    assert found == folders
