"""Releases by symlink: a reload follows the path that the user gave, and changes nothing if that fails."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import raw_http
from tests import running as runs
from tests.free_ports import free_port
from webdemo.config.reloading import Rereading
from webdemo.config.sources import read_settings
from webdemo.errors import UsageError
from webdemo.net.bind import Bind

ANSWER = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"%s"]
"""


def reload(one: runs.Running) -> subprocess.CompletedProcess[str]:
    """Reload it, and wait until what that has replaced has ended: before, it may take one more connection."""
    old = one.servers()
    command = [sys.executable, "-m", "webdemo", "reload", "--pid", str(one.pid)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=runs.END_SECONDS, cwd="/")
    if done.returncode == 0:
        one.wait_until_ended(old)
    return done


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
    one.wait_for("Settings: grace, metrics changed.")

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


SERVED_BY = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["webdemo.server"]["name"].encode()]
"""


def test_a_reload_applies_servers_options_and_times_and_leaves_what_was_swapped(
    running: runs.Start, tmp_path: Path
) -> None:
    folder = tmp_path / "run1"
    folder.mkdir()
    (folder / "served.py").write_text(SERVED_BY)
    file = folder / "webdemo.toml"
    settings = 'app = "served:app"\nhost = "127.0.0.1"\n'
    file.write_text(f'{settings}bind = ["waitress://:0?threads=3", ":0"]\n')
    one = running(app=None, environment={"PWD": str(folder)})
    first, second = one.urls

    def served() -> tuple[str, str]:
        return raw_http.get(first).text, raw_http.get(second).text

    assert served() == ("waitress", "werkzeug")
    times = "grace = 20\ndrain-delay = 0.5\nhang-timeout = 30\nadmin = 9180\n"
    file.write_text(f'{settings}bind = ["gunicorn://:0?workers=2", ":0"]\nserver = "waitress"\n{times}')
    reloaded = reload(one)
    assert reloaded.returncode == 0
    assert served() == ("gunicorn", "waitress")
    applied = "bind, server, grace, drain-delay, hang-timeout"
    changed = f"Settings: {applied} changed; admin changed, which needs a restart."
    one.wait_for(re.escape(changed))
    assert changed in reloaded.stdout

    port = first.rstrip("/").rpartition(":")[2]
    swap = [sys.executable, "-m", "webdemo", "swap", "--pid", str(one.pid), port, "werkzeug"]
    subprocess.run(swap, check=True, timeout=runs.END_SECONDS, capture_output=True)
    assert reload(one).returncode == 0
    assert served() == ("werkzeug", "waitress"), "the settings name the same servers as before"

    file.write_text(f'{settings}bind = ["gunicorn://:0?workers=1", "waitress://:0?threads=none"]\n')
    assert reload(one).returncode == 2
    assert served() == ("werkzeug", "waitress"), "what cannot be applied changes nothing"
    assert one.terminate() == 0
    assert "0.5 s" in one.log(), "the drain delay of the reload"


def test_only_what_has_changed_is_told_and_what_needs_a_restart_is_told_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "webdemo.toml"
    file.write_text("grace = 9\n")
    rereading = Rereading({}, read_settings({}), tmp_path, [Bind(port=8000)])
    assert rereading.read()[1] == ""
    file.write_text('grace = 10\nadmin = "9180"\nport = 8001\nserver = "waitress"\n')
    plan, note = rereading.read()
    assert note == "Settings: grace changed; port, server, admin changed, which needs a restart."
    assert plan.grace_seconds == 10
    assert [service.server for service in plan.services] == ["werkzeug"]
    assert rereading.read()[1] == "Settings: port, server, admin changed, which needs a restart."
    file.write_text('grace = 9\nserver = "waitress"\n')
    plan, note = rereading.read()
    assert note == "Settings: server, grace changed."
    assert [service.server for service in plan.services] == ["waitress"], "on the socket that is open"
    file.write_text("grace = 0\n")
    for _ in range(2):
        with pytest.raises(UsageError):
            rereading.read()
    file.write_text('server = "waitress"\n')
    assert rereading.read()[1] == "Settings: grace changed.", "since the settings that could be applied"
    for name in ("directory", "app-dir"):
        file.write_text(f'{name} = "none"\n')
        with pytest.raises(UsageError, match=f"{name} in webdemo.toml: The folder none does not exist"):
            rereading.read()
    file.write_text("grace = [\n")
    with pytest.raises(UsageError):
        rereading.read()
