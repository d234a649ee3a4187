from __future__ import annotations

import time
from pathlib import Path

import pytest

from webdemo.web.static.app import StaticFiles
from webdemo.web.static.file_cache import KeptFiles


def make_site(folder: Path) -> Path:
    """A small site: text, folders, and a file that is too large for the cache."""
    (folder / "sub").mkdir(parents=True)
    (folder / "empty").mkdir()
    (folder / "index.html").write_text("<h1>home</h1>")
    (folder / "sub" / "index.html").write_text("<h1>sub</h1>")
    (folder / "app.css").write_text("body { color: green }\n")
    (folder / "ten.txt").write_text("0123456789")
    (folder / "large.bin").write_bytes(bytes(range(256)) * 4096)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A site that the test may change."""
    return make_site(tmp_path / "site")


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site for tests that only read it."""
    return make_site(tmp_path_factory.mktemp("static") / "site")


@pytest.fixture
def app(folder: Path) -> StaticFiles:
    return StaticFiles(folder)


@pytest.fixture(params=["read afresh", "kept"])
def either_app(request: pytest.FixtureRequest, folder: Path) -> StaticFiles:
    """The app with an empty cache, as just after changes of files, and with one that caches at once."""
    return keep_at_once(StaticFiles(folder)) if request.param == "kept" else keep_nothing(StaticFiles(folder))


@pytest.fixture(params=["read afresh", "kept"])
def site_app(request: pytest.FixtureRequest, site: Path) -> StaticFiles:
    """Like `either_app`, for the site that is only read."""
    return keep_at_once(StaticFiles(site)) if request.param == "kept" else keep_nothing(StaticFiles(site))


def keep_at_once(app: StaticFiles) -> StaticFiles:
    """Set the cache's clock forward, so that files are cached without waiting for their minimum age."""
    app._kept = KeptFiles(clock=lambda: time.time() + 60)
    return app


def keep_nothing(app: StaticFiles) -> StaticFiles:
    """Set the cache's clock back, so that no file is old enough to be cached."""
    app._kept = KeptFiles(clock=lambda: 0.0)
    return app
