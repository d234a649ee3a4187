"""Runs without what a system usually has: a user, a home, /proc, folders to write to.

Each run serves, or says in two lines what is missing. The system is changed in namespaces of the run's own.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests import raw_http
from tests import running as runs

NEW_ROOT = ("unshare", "--user", "--map-root-user", "--mount")
NEW_USER = ("unshare", "--user", "--map-user=12345", "--map-group=12345")
MAIN = ("werkzeug", "waitress", "gunicorn")
BINDS = [argument for server in MAIN for argument in ("-b", f"{server}://127.0.0.1:0")]
READ_ONLY = (
    "for folder in /tmp /var/tmp /dev/shm; do"
    " mount --bind $folder $folder && mount -o remount,bind,ro $folder || exit; done; "
)
APP = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]
"""


def can(*command: str) -> bool:
    return bool(
        shutil.which("unshare")
        and subprocess.run([*command, "true"], stderr=subprocess.DEVNULL, check=False).returncode == 0
    )


def after(preparation: str) -> tuple[str, ...]:
    """The command that runs webdemo as root of its own mounts, after these shell commands."""
    if not can(*NEW_ROOT):
        pytest.skip("this user may not make namespaces")
    return (*NEW_ROOT, "sh", "-c", f'{preparation} exec "$@"', "-", *runs.MODULE)


def check(run: runs.Running, *servers: str) -> None:
    for row in run.rows():
        if row.server in (servers or MAIN):
            assert raw_http.get(row.urls[0]).text == "hello"
    assert run.terminate() == 0
    assert "Traceback" not in run.log()
    run.wait_until_gone()


def test_a_user_without_a_home_and_an_entry_in_the_user_database_can_serve(running: runs.Start) -> None:
    if not can(*NEW_USER):
        pytest.skip("this user may not make namespaces")
    nothing = dict.fromkeys(("HOME", "USER", "LOGNAME"))
    check(running(*BINDS, "--reload", app=APP, command=(*NEW_USER, *runs.MODULE), environment=nothing))


def test_without_proc_it_serves_and_says_what_is_not_known(running: runs.Start) -> None:
    run = running(*BINDS, "--reload", app=APP, command=after("mount -t tmpfs none /proc &&"))
    run.wait_for("^/proc is not mounted: .*\nMount it: mount -t proc proc /proc$")
    check(run)


def test_without_a_writable_folder_it_serves_and_gunicorn_says_what_is_missing(running: runs.Start) -> None:
    run = running(*BINDS, app=APP, command=after(READ_ONLY), environment={"XDG_RUNTIME_DIR": None})
    run.wait_for("^The (control socket|folder for control sockets).*Read-only.*\nSet XDG_RUNTIME_DIR to")
    run.wait_for("^Gunicorn needs a folder for temporary files, .*\nSet TMPDIR to")
    assert [row.urls for row in run.rows()][2:] == [("given up",)]
    check(run, "werkzeug", "waitress")


def test_a_folder_that_holds_too_much_is_not_watched_and_that_is_said(running: runs.Start) -> None:
    run = running("--directory", "/", "--live-reload", "-b", "waitress://127.0.0.1:0")
    run.wait_for("^/ holds too much to be watched: .*: --reload-path FOLDER$")
    without = running("--directory", "/", "-b", "waitress://127.0.0.1:0")
    assert without.terminate() == 0
    assert "holds too much" not in without.log(), "nothing was to be watched"


def test_started_in_the_root_it_watches_the_apps_own_files_and_not_the_disk(
    running: runs.Start, tmp_path: Path
) -> None:
    """Also while the import fails: what the app consists of is not known then."""
    (tmp_path / "site1.py").write_text("syntax error")
    command = ("sh", "-c", 'cd / && exec "$@"', "-", *runs.MODULE, "--app", "site1:app")
    run = running("-b", "waitress://127.0.0.1:0", "--reload", command=command, wait=False,
                  environment={"PYTHONPATH": str(tmp_path)})  # fmt: skip
    run.wait_for("SyntaxError")

    def save() -> bool:
        (tmp_path / "elsewhere.py").write_text("")
        (tmp_path / "site1.py").write_text(APP)
        return "Ready in" in run.log_so_far()

    runs.wait_until(save, run.log_so_far)  # more than once: what watches the files has to be started first
    check(run)
    assert set(re.findall("^Changed: (.*)$", run.log(), re.MULTILINE)) == {f"{tmp_path}/site1.py"}
