"""Files that the app writes while it is loaded do not reload it for ever."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tests import running as runs
from tests.supervisor.test_overlaps import save, serves, until
from webdemo.supervisor.load_writes import LoadWrites, Version
from webdemo.supervisor.loop import Barrier
from webdemo.supervisor.watch import Watcher


def loaded(writes: LoadWrites, began: float, ended: float) -> None:
    writes.load_began(began)
    writes.load_ended(ended)


@pytest.fixture
def writes() -> LoadWrites:
    """After a start that lasted from 100 to 101."""
    made = LoadWrites(100.0)
    made.load_ended(101.0)
    return made


def test_a_file_written_during_two_loads_in_a_row_is_left_out_and_told_once(writes: LoadWrites) -> None:
    assert writes.take([Version("/a/cache", 100.5, "1")]) == (["/a/cache"], [])
    loaded(writes, 102, 103)
    assert writes.take([Version("/a/cache", 102.5, "2")]) == ([], ["/a/cache"])
    loaded(writes, 104, 105)
    assert writes.take([Version("/a/cache", 104.5, "3"), Version("/a/app.py", 106, "x")]) == (
        ["/a/app.py"],
        [],
    )
    assert writes.take([Version("/a/cache", 107, "4")]) == ([], [])


def test_a_file_written_with_the_same_content_loads_nothing_again(writes: LoadWrites) -> None:
    assert writes.take([Version("/a/cache", 100.5, "1")])[0]
    loaded(writes, 102, 103)
    assert writes.take([Version("/a/cache", 102.5, "1")]) == ([], [])


def test_saves_between_loads_always_count(writes: LoadWrites) -> None:
    for second in range(200, 210):
        assert writes.take([Version("/a/app.py", second, str(second))]) == (["/a/app.py"], [])
        loaded(writes, second + 0.1, second + 0.5)


def test_a_module_that_the_app_writes_itself_counts_except_while_it_is_loaded(writes: LoadWrites) -> None:
    writes.wrote(["/a/made.py"])
    assert writes.without_own(["/a/made.py"]) == (("/a/made.py",), [])
    assert writes.take([Version("/a/made.py", 100.5, "1")]) == ([], [])
    assert writes.take([Version("/a/made.py", 110, "2")]) == (["/a/made.py"], [])


def test_a_module_saved_during_several_loads_in_a_row_counts(writes: LoadWrites) -> None:
    assert writes.take([Version("/a/app.py", 102, "hangs")]) == (["/a/app.py"], [])
    writes.load_began(102.1)
    assert writes.take([Version("/a/app.py", 103, "hangs, too")]) == (["/a/app.py"], [])
    writes.load_began(103.1)
    writes.load_ended(103.2)  # the one before: it is replaced
    for second in range(104, 110):
        assert writes.take([Version("/a/app.py", second, str(second))]) == (["/a/app.py"], [])
        loaded(writes, second + 0.1, second + 2)


def test_a_file_written_at_the_start_of_a_long_load_is_left_out(writes: LoadWrites) -> None:
    assert writes.take([Version("/a/cache", 100.5, "1")])[0]
    writes.load_began(102)
    assert writes.take([Version("/a/cache", 102.1, "2")]) == ([], ["/a/cache"])
    writes.load_ended(110)


def test_a_deleted_file_counts(writes: LoadWrites, tmp_path: Path) -> None:
    assert writes.take([Version.of(str(tmp_path / "gone"))]) == ([str(tmp_path / "gone")], [])


def test_patterns_name_files_folders_and_paths(tmp_path: Path) -> None:
    watcher = Watcher(
        [str(tmp_path)], lambda _: None, barrier=Barrier(print), exclude=["data", "*.json", "a/b/*"]
    )
    for path, counts in (("x.py", True), ("data/x.py", False), ("sub/data/x.py", False), ("x.json", False),
                         ("sub/x.json", False), ("a/b/x.py", False), ("a/x.py", True)):  # fmt: skip
        assert watcher.counts(str(tmp_path / path)) is counts, path


def test_what_the_app_writes_itself_counts_for_nothing_and_is_noted_once_for_a_folder() -> None:
    writes = LoadWrites(100.0)
    writes.wrote(["/a/data.json", "/a/other.json"])
    counting, notes = writes.without_own(("/a/data.json", "/a/other.json", "/a/app.py"))
    assert counting == ("/a/app.py",)
    assert len(notes) == 1
    assert writes.without_own(("/a/data.json",)) == ((), [])


def test_an_app_whose_import_runs_a_program_that_writes_is_loaded_a_few_times_only(
    running: runs.Start,
) -> None:
    source = (
        "import subprocess\nsubprocess.run(['sh', '-c', 'date +%N > stamp.txt'], check=True)\n"
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [('Content-Length', '1')])\n    return [b'{}']\n"
    )
    run = running("--reload", "-b", "waitress://127.0.0.1:0", app=source.format(1))
    run.wait_for(r"^.*stamp\.txt is written whenever the app is loaded.*--reload-exclude stamp\.txt$")
    for text in ("2", "3"):
        save(run, source.format(text))
        until(serves(run, text), run)
    assert len(run.wait_for(r"^Changed: ")) <= 4


WRITES = """
import json, logging, sqlite3
from pathlib import Path
from flask import Flask, request

here = Path(__file__).parent
(here / "at-import.json").write_text("{}")
app = Flask(__name__)
log = logging.getLogger("app")
log.addHandler(logging.FileHandler(here / "app-log.txt", delay=True))

@app.post("/")
def write():
    with sqlite3.connect(here / "visits") as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS visits (at TEXT)")
        connection.execute("INSERT INTO visits VALUES (datetime())")
    (here / "uploads").mkdir(exist_ok=True)
    request.files["file"].save(here / "uploads" / request.files["file"].filename)
    (here / "new.json").write_text(json.dumps(request.form))
    (here / "new.json").replace(here / "state.json")
    log.warning("written")
    return "1"
"""


@pytest.mark.parametrize("server", ["werkzeug", "waitress", "gunicorn?workers=2"])
def test_what_an_app_writes_while_it_serves_does_not_reload_it(running: runs.Start, server: str) -> None:
    name, _, options = server.partition("?")
    run = running("--debug", "-b", f"{name}://127.0.0.1:0?{options}", app=WRITES)
    folder = run.log_file.parent
    for number in range(3):
        form = [("file", (f"{number}.png", b"image"))]
        with httpx.Client() as client:
            assert client.post(run.url, files=form, data={"word": str(number)}).text == "1"
    assert sorted(path.name for path in (folder / "uploads").iterdir()) == ["0.png", "1.png", "2.png"]
    save(run, WRITES.replace('return "1"', 'return "2"'))
    run.wait_for(r"served\.py")
    changed = run.wait_for(r"^Changed: .*$")
    assert changed == [changed[-1]]
    assert "served.py" in changed[0]
    run.wait_for("is written by the app itself")
    for path in ("visits", "app-log.txt", "state.json", "at-import.json", "uploads/0.png"):
        assert f"{path}," not in changed[0], path
