"""Releases by symlink: a reload follows the path that the user gave, and changes nothing if that fails."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import raw_http
from tests import running as runs
from tests.deploy.test_platforms import free_port
from webdemo.config.reloading import Rereading
from webdemo.config.sources import read_settings
from webdemo.errors import UsageError

ANSWER = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"%s"]
"""


def reload(one: runs.Running) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "webdemo", "reload", "--pid", str(one.pid)]
    return subprocess.run(command, capture_output=True, text=True, timeout=runs.END_SECONDS, cwd="/")


def test_a_reload_follows_the_symlink_and_reads_the_settings_again(
    running: runs.Start, tmp_path: Path
) -> None:
    releases, current = tmp_path / "releases", tmp_path / "run1"

    def make(name: str, code: str) -> Path:
        (releases / name).mkdir(parents=True)
        (releases / name / "served.py").write_text(code)
        (releases / name / "log").symlink_to(tmp_path / "log")
        return releases / name

    def switch(name: str) -> None:
        (tmp_path / "next").symlink_to(f"releases/{name}")
        (tmp_path / "next").rename(current)

    make("1", ANSWER % "one")
    switch("1")
    admin = f"http://127.0.0.1:{free_port()}"
    one = running(
        *("--app", "served:app", "-b", "waitress://127.0.0.1:0", "--admin", admin.rpartition(":")[2]),
        environment={"PWD": str(current)},
    )
    url = one.url
    assert raw_http.get(url).text == "one"
    assert raw_http.get(admin, "/readyz").text == "ok\nrelease: 1\n"

    settings = "grace = 30\nmetrics = true\n"
    (make("2", ANSWER % "two") / "webdemo.toml").write_text(settings)
    switch("2")
    assert reload(one).returncode == 0
    assert raw_http.get(url).text == "two"
    assert raw_http.get(admin, "/readyz").text == "ok\nrelease: 2\n"
    assert raw_http.get(url, "/metrics").status == 200, "the setting of the new release holds"
    assert "Settings: metrics changed; grace changed, which needs a restart." in one.log()

    shutil.rmtree(releases / "1")
    (make("3", "1 +") / "webdemo.toml").write_text(settings)
    switch("3")
    assert reload(one).returncode == 2
    assert raw_http.get(url).text == "two"
    assert raw_http.get(admin, "/readyz").text == "ok\nrelease: 2\n"

    switch("nowhere")
    failed = reload(one)
    assert failed.returncode == 2
    assert f"The folder {current} cannot be entered" in failed.stderr

    (make("4", ANSWER % "four") / "webdemo.toml").write_text("graze = 3\n")
    switch("4")
    failed = reload(one)
    assert failed.returncode == 2
    assert "Did you mean grace?" in failed.stderr
    assert raw_http.get(url).text == "two"
    one.servers()[0].kill()
    runs.wait_until(lambda: len(one.servers()) == 1)
    assert raw_http.get(url).text == "two", "what dies is replaced by the release that is served"

    (releases / "4" / "webdemo.toml").write_text(settings)
    assert reload(one).returncode == 0
    assert raw_http.get(url).text == "four"
    assert one.terminate() == 0


def test_only_what_has_changed_is_told_and_what_needs_a_restart_is_told_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "webdemo.toml"
    file.write_text("grace = 9\n")
    rereading = Rereading({}, read_settings({}), tmp_path)
    assert rereading.read()[1] is None
    file.write_text("grace = 10\nhealth = true\n")
    resolved, note = rereading.read()
    assert note == "Settings: health changed; grace changed, which needs a restart."
    assert (resolved.settings.health, resolved.settings.grace) == (True, 9.0)
    assert rereading.read()[1] == "Settings: grace changed, which needs a restart."
    file.write_text("grace = 9\n")
    assert rereading.read()[1] == "Settings: health changed."
    file.write_text("grace = [\n")
    with pytest.raises(UsageError):
        rereading.read()
