"""Two hosts in the middle of a roll: each serves the assets of both releases, right and immutable."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests import raw_http
from tests import running as runs
from tests.deploy.network import ROOT
from webdemo.config.planning import archive_note, make_plan
from webdemo.config.sources import resolve_settings

ASSETS = 200
APP = f"""
from webdemo import App
app = App()
app.get("/")(lambda request: "\\n".join(app.static_url(str(n) + ".css") for n in range({ASSETS})))
"""


def publish(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "webdemo", "--app", "served:app", *arguments, "assets", "publish"]
    return subprocess.run(command, capture_output=True, text=True, timeout=runs.END_SECONDS, cwd=folder)


def make_release(folder: Path, release: str) -> Path:
    static = folder / "releases" / release / "static"
    static.mkdir(parents=True)
    for number in range(ASSETS):
        (static / f"{number}.css").write_text(f"{release} {number}")
    (static.parent / "served.py").write_text(APP)
    return static.parent


def test_every_asset_of_both_releases_is_right_on_both_hosts(running: runs.Start, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    hosts = []
    for release in ("1", "2"):
        folder = make_release(tmp_path, release)
        done = publish(folder, "--assets-archive", str(archive))
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(f"Release {release} is in {archive}. Files: {ASSETS}.")
        hosts.append(
            running(
                *("--app", "served:app", "--app-dir", str(folder), "-b", "waitress://127.0.0.1:0"),
                *("--assets-archive", str(archive)),
            ).url
        )
    pages = {release: raw_http.get(url).text.split() for release, url in zip("12", hosts, strict=True)}
    for url in hosts:
        wrong = [
            path
            for release, paths in pages.items()
            for number, path in enumerate(paths)
            for response in [raw_http.get(url, path)]
            if (response.status, response.text) != (200, f"{release} {number}")
            or "immutable" not in response.headers["Cache-Control"]
        ]
        assert not wrong, f"{len(wrong)} of {2 * ASSETS} assets"
        missing = raw_http.get(url, "/static/0.000000000000.css")
        assert (missing.status, missing.headers["Cache-Control"]) == (404, "no-store")


@pytest.mark.process
def test_what_cannot_be_published_is_told_on_two_lines(tmp_path: Path) -> None:
    folder = make_release(tmp_path, "1")
    (tmp_path / "file").write_text("x")
    for arguments, code, problem in (
        ((), 2, "There is no archive to publish to."),
        (
            ("--assets-archive", "../../file"),
            1,
            "cannot be published to ../../file: File exists.",
        ),
        (
            ("--assets-archive", "a/b"),
            1,
            "cannot be published to a/b: No such file or directory.",
        ),
        (("--assets-archive", "a", "--release", "../x"), 2, "'../x' cannot be the name of a folder"),
    ):
        done = publish(folder, *arguments)
        assert (done.returncode, done.stdout) == (code, "")
        assert problem in done.stderr
        assert len(done.stderr.splitlines()) == 2, done.stderr
    assert not (folder / "a").exists() or not [*(folder / "a").iterdir()]


def test_a_missing_archive_is_noted_and_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    resolved = resolve_settings({"assets_archive": "assets"}, {}, tmp_path)
    note = "The assets archive assets does not exist; webdemo assets publish makes it."
    assert archive_note(resolved) == note
    assert make_plan(resolved, []).features.assets_archive == str(tmp_path / "assets")
    (tmp_path / "assets").mkdir()
    assert archive_note(resolved) is None


def test_the_playbook_publishes_on_all_hosts_before_it_switches_the_first() -> None:
    everywhere, one_by_one = yaml.safe_load((ROOT / "examples/deploy/roll.yml").read_text())
    assert "serial" not in everywhere
    [argv] = [
        task["ansible.builtin.command"]["argv"] for task in everywhere["tasks"] if "environment" in task
    ]
    assert argv[1:] == ["-m", "webdemo", "assets", "publish"]
    assert one_by_one["serial"] == 1
