from __future__ import annotations

import time
from pathlib import Path

import pytest

from webdemo.web.kept import KeptFiles
from webdemo.web.static import StaticFiles


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small site: text, pictures, folders, and a file that is too large to be kept in memory."""
    folder = tmp_path / "site"
    (folder / "sub").mkdir(parents=True)
    (folder / "empty").mkdir()
    (folder / "index.html").write_text("<h1>home</h1>")
    (folder / "sub" / "index.html").write_text("<h1>sub</h1>")
    (folder / "app.css").write_text("body { color: green }\n")
    (folder / "ten.txt").write_text("0123456789")
    (folder / "large.bin").write_bytes(bytes(range(256)) * 4096)
    return folder


@pytest.fixture
def app(folder: Path) -> StaticFiles:
    return StaticFiles(folder)


@pytest.fixture(params=["read afresh", "kept"])
def either_app(request: pytest.FixtureRequest, folder: Path) -> StaticFiles:
    """The app as it is when files have just changed, and as when all have rested."""
    app = StaticFiles(folder)
    return keep_at_once(app) if request.param == "kept" else app


def keep_at_once(app: StaticFiles) -> StaticFiles:
    """Turn the clock by which files must have rested before they are kept, so that tests need not wait."""
    app._kept = KeptFiles(clock=lambda: time.time() + 60)
    return app
