"""The watcher on real folders: each test writes files as people, editors and programs do."""

from __future__ import annotations

import itertools
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.net.programs import NOBODY, needs_root, program
from webdemo.supervisor import watch as watch_module
from webdemo.supervisor.loop import Barrier
from webdemo.supervisor.watch import Watcher

SECONDS = 60.0
QUIET_MS = 20
MARKER = "marker-"


class Watched:
    """A started watcher and the bursts that it reported, markers left out."""

    def __init__(self, *paths: Path, quiet_ms: int = QUIET_MS, since: float | None = None) -> None:
        self.bursts: queue.SimpleQueue[tuple[str, ...]] = queue.SimpleQueue()
        self.messages: list[str] = []
        self._markers = itertools.count()
        self._quiet_seconds = quiet_ms / 1000
        self._watcher = Watcher(
            map(str, paths),
            self.bursts.put,
            on_note=self.messages.append,
            barrier=Barrier(print),
            since=since,
            quiet_ms=quiet_ms,
        )
        self._watcher.start()

    def stop(self) -> None:
        self._watcher.stop()

    def rest(self, folder: Path) -> list[tuple[str, ...]]:
        """The reports of all that has changed so far: until a new file in `folder` is reported."""
        marker = folder / f"{MARKER}{next(self._markers)}"
        reported = []
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            marker.write_text(str(deadline))  # again and again: it may not watch yet
            with suppress(queue.Empty):
                burst = self.bursts.get(timeout=0.2 + 2 * self._quiet_seconds)  # a pause that ends a burst
                if others := _without_markers(burst):
                    reported.append(others)
                if str(marker) in burst:
                    return reported
        raise AssertionError("the watcher never reported a change")

    def next(self) -> tuple[str, ...]:
        while True:
            if burst := _without_markers(self.bursts.get(timeout=SECONDS)):
                return burst


def _without_markers(burst: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(path for path in burst if not Path(path).name.startswith(MARKER))


def save(*paths: Path) -> None:
    """Write them, and rename them into place: one event for each, so that no pause within it ends a burst."""
    for path in paths:
        path.with_name(f"{path.name}.tmp").write_text("1")
    for path in paths:
        path.with_name(f"{path.name}.tmp").rename(path)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "_LOOK_MS", 50)


@pytest.fixture
def watch() -> Iterator[Callable[..., Watched]]:
    started: list[Watched] = []

    def start(*paths: Path, warm: bool = True, quiet_ms: int = QUIET_MS) -> Watched:
        started.append(Watched(*paths, quiet_ms=quiet_ms))
        if warm:
            started[-1].rest(paths[0])
        return started[-1]

    yield start
    for watched in started:
        watched.stop()


def test_a_burst_of_changes_in_any_kind_of_file_is_one_call(
    watch: Callable[..., Watched], tmp_path: Path
) -> None:
    (tmp_path / "templates").mkdir()
    watched = watch(tmp_path, quiet_ms=1000)
    names = ["app.py", "settings.toml", "templates/home.html", "data.csv"]
    save(*(tmp_path / name for name in names))
    [burst] = watched.rest(tmp_path)
    assert {str(tmp_path / name) for name in names} <= set(burst)


def test_a_file_in_a_new_folder_is_told(watch: Callable[..., Watched], tmp_path: Path) -> None:
    watched = watch(tmp_path)
    package = tmp_path / "blog" / "views"
    package.mkdir(parents=True)
    watched.rest(tmp_path)
    (package / "posts.py").write_text("1")
    assert watched.next() == (str(package / "posts.py"),)


def test_a_save_by_rename_and_a_removal_are_told(watch: Callable[..., Watched], tmp_path: Path) -> None:
    app = tmp_path / "app.py"
    app.write_text("1")
    watched = watch(tmp_path)
    for _ in range(2):
        (tmp_path / "app.py.tmp").write_text("2")
        (tmp_path / "app.py.tmp").rename(app)
        assert watched.next() == (str(app),)
    app.unlink()
    assert watched.next() == (str(app),)


def test_a_watched_file_that_is_saved_by_rename_is_still_watched(
    watch: Callable[..., Watched], tmp_path: Path
) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text("0")
    watched = watch(settings, warm=False)
    for number in range(2):
        # Again and again: the watcher has to find the new file first, as after the start.
        deadline = time.monotonic() + SECONDS
        while watched.bursts.empty():
            assert time.monotonic() < deadline
            (tmp_path / "new").write_text(str(number))
            (tmp_path / "new").rename(settings)
            time.sleep(0.1)
        while not watched.bursts.empty():
            assert watched.next() == (str(settings),)


def test_a_folder_that_is_removed_and_made_again_is_watched_again(
    watch: Callable[..., Watched], tmp_path: Path
) -> None:
    project = tmp_path / "project"
    project.mkdir()
    watched = watch(project)
    shutil.rmtree(project)
    assert watched.next()
    project.mkdir()
    watched.rest(project)
    (project / "app.py").write_text("1")
    assert watched.next() == (str(project / "app.py"),)


def test_a_folder_that_comes_later_is_watched(watch: Callable[..., Watched], tmp_path: Path) -> None:
    watched = watch(tmp_path / "later", warm=False)
    (tmp_path / "later").mkdir()
    assert watched.next() == (str(tmp_path / "later"),)
    watched.rest(tmp_path / "later")


def test_what_programs_write_by_the_way_is_not_told(watch: Callable[..., Watched], tmp_path: Path) -> None:
    for folder in (".git", "__pycache__", ".venv/lib", "node_modules/x", "pkg/__pycache__"):
        (tmp_path / folder).mkdir(parents=True)
    watched = watch(tmp_path)
    for name in (
        ".git/index", "__pycache__/app.cpython-311.pyc", ".venv/lib/x.py", "node_modules/x/index.js",
        "pkg/__pycache__/a.pyc", "app.pyc", ".app.py.swp", "4913", "app.py~", "#app.py#", ".#app.py",
        "access.log", "db.sqlite3", "db.sqlite3-journal",
    ):  # fmt: skip
        (tmp_path / name).write_text("1")
    assert watched.rest(tmp_path) == []
    (tmp_path / "app.py").write_text("1")
    assert watched.next() == (str(tmp_path / "app.py"),)


def test_the_file_that_the_output_is_redirected_to_is_not_told(
    watch: Callable[..., Watched], tmp_path: Path
) -> None:
    output = tmp_path / "out.txt"
    earlier = os.dup(1)
    watched = watch(tmp_path)
    with output.open("w") as file:
        os.dup2(file.fileno(), 1)
    try:
        os.write(1, b"a line\n")
        assert watched.rest(tmp_path) == []
    finally:
        os.dup2(earlier, 1)
        os.close(earlier)


def test_a_path_named_inside_an_ignored_folder_counts_all_the_same(tmp_path: Path) -> None:
    editable = tmp_path / ".venv" / "src" / "library"
    watcher = Watcher([str(tmp_path), str(editable)], lambda _: None, barrier=Barrier(print))
    assert watcher.counts(str(editable / "a.py"))
    assert not watcher.counts(str(tmp_path / ".venv" / "lib" / "a.py"))
    assert not watcher.counts(str(tmp_path.parent / "a.py"))


def test_a_change_in_a_folder_named_twice_is_told_once(watch: Callable[..., Watched], tmp_path: Path) -> None:
    (tmp_path / "pkg").mkdir()
    watched = watch(tmp_path, tmp_path / "pkg", tmp_path)
    save(tmp_path / "pkg" / "a.py")
    assert watched.rest(tmp_path) == [(str(tmp_path / "pkg" / "a.py"),)]


def test_what_was_saved_before_the_watch_began_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "early.py").write_text("1")
    since = (tmp_path / "early.py").stat().st_ctime
    for name in ("views.py", "package/models.py", "node_modules/left.js", "package/served.log"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        while not path.exists() or path.stat().st_ctime <= since:  # file times are coarser than the clock
            path.write_text("1")
    watched = Watched(tmp_path, since=since)
    try:
        saved = {str(tmp_path / "views.py"), str(tmp_path / "package" / "models.py")}
        assert set(_without_markers(watched.next())) == saved
        assert watched.rest(tmp_path) == []
    finally:
        watched.stop()


def test_reading_the_files_is_no_change(watch: Callable[..., Watched], tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("1")
    watched = watch(tmp_path)
    assert (tmp_path / "app.py").read_text() == "1"
    assert list(os.scandir(tmp_path))
    assert watched.rest(tmp_path) == []


def test_a_program_that_never_stops_writing_does_not_put_off_the_call(
    watch: Callable[..., Watched], tmp_path: Path
) -> None:
    watched = watch(tmp_path, quiet_ms=100)
    deadline = time.monotonic() + SECONDS
    while watched.bursts.empty():
        assert time.monotonic() < deadline
        (tmp_path / "counter.txt").write_text(str(time.monotonic()))
        time.sleep(0.02)


def test_no_call_comes_after_stop(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    watched.rest(tmp_path)
    (tmp_path / "app.py").write_text("1")
    watched.stop()
    told = watched.bursts.qsize()
    (tmp_path / "app.py").write_text("2")
    assert watched.bursts.qsize() == told


UNREADABLE = f"""
import os, pathlib, platform, sys, time, watchfiles
from webdemo.supervisor.loop import Barrier
from webdemo.supervisor.watch import Watcher
folder = pathlib.Path(sys.argv[1])
os.chown(folder, {NOBODY}, {NOBODY})
os.setresuid({NOBODY}, {NOBODY}, {NOBODY})
told, notes = [], []
watcher = Watcher([str(folder)], told.append, on_note=notes.append, barrier=Barrier(print))
watcher.start()
deadline = time.monotonic() + 60
while not told and time.monotonic() < deadline:
    (folder / "app.py").write_text(str(time.monotonic()))
    time.sleep(0.2)
watcher.stop()
print(told[0], len(notes), notes[0].partition(":")[0])
"""


@pytest.mark.process
@needs_root
def test_a_folder_that_may_not_be_read_does_not_stop_the_watch_of_the_others() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "secret").mkdir(mode=0o700)
        with program(UNREADABLE, folder) as (_, line):
            assert line == f"{(f'{folder}/app.py',)} 1 Folders that this user may not read are not watched"


# In a user namespace the test can set the limits.
LIMITED = """
import pathlib, sys, time
from webdemo.supervisor.loop import Barrier
from webdemo.supervisor.watch import Watcher
limit, folder = sys.argv[1:]
try:
    pathlib.Path("/proc/sys/user", limit).write_text("3" if "watches" in limit else "0")
except OSError as error:
    sys.exit(f"not permitted: {error}")
pathlib.Path(folder, "app.py").touch()  # a new file would change the folder, too
told = []
barrier = Barrier(print)
watcher = Watcher([folder], told.append, on_note=lambda text: print(text, flush=True), barrier=barrier)
watcher.start()
deadline = time.monotonic() + 60
while not told and time.monotonic() < deadline:
    pathlib.Path(folder, "app.py").write_text(str(time.monotonic()))
    time.sleep(0.2)
watcher.stop()
print(told[0])
"""


@pytest.mark.process
@pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")
@pytest.mark.parametrize(
    ("limit", "reason"),
    [
        ("max_inotify_watches", "the limit of watches is reached"),
        ("max_inotify_instances", "too many watchers"),
    ],
)
def test_when_the_system_has_no_watches_left_files_are_polled_and_that_is_said(
    tmp_path: Path, limit: str, reason: str
) -> None:
    for number in range(5):
        (tmp_path / str(number)).mkdir()
    command = ["unshare", "--user", "--map-root-user", sys.executable, "-c", LIMITED, limit, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if done.returncode and ("not permitted" in done.stderr or "unshare" in done.stderr):
        pytest.skip("no user namespaces here")
    assert done.stdout.splitlines() == [
        f"Files are polled every second because the system cannot watch them ({reason}). "
        "To see changes at once, raise fs.inotify.max_user_watches and max_user_instances by sysctl.",
        str((str(tmp_path / "app.py"),)),
    ], done.stderr
