"""Nothing in a served folder, or in the current one, is run, whatever its files are called.

Each file that could be mistaken for a module reports it when it is imported.
"""

from __future__ import annotations

import functools
import importlib.metadata
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests import raw_http
from tests import running as runs
from webdemo.worker import interpreter

pytestmark = pytest.mark.process

TRAP = "with open({file!r}, 'a') as file: file.write(__name__ + ' ')\n"
ENTRY_POINTS = "[webdemo.servers]\nevil = evil:adapter\n[paste.server_runner]\nevil = evil:run\n"
SERVERS = ("werkzeug", "waitress", "gunicorn", "cheroot", "gevent", "hypercorn", "wsgiref")
BINDS = [word for server in SERVERS for word in ("-b", f"{server}://127.0.0.1:0")]
SECONDS = 60.0
FOLDER = "run1"  # where `running` starts the first


@functools.cache
def names_to_trap() -> frozenset[str]:
    """The modules of Python and of everything installed, and what interpreters and servers read at start."""
    names = set(sys.stdlib_module_names) | set(importlib.metadata.packages_distributions())
    names |= {"evil", "sitecustomize", "usercustomize", "gunicorn_conf"}
    return frozenset(name for name in names if name.isidentifier()) - {"webdemo", "__main__"}


def loaded_by_python(folder: Path) -> set[str]:
    """The modules that `python -m` has imported before the first line of its module runs."""
    (folder / "first_line.py").write_text("import sys\nprint(*sys.modules)\n")
    command = [sys.executable, "-m", "first_line"]
    text = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout
    return {name.partition(".")[0] for name in text.split()}


def set_traps(folder: Path, names: set[str]) -> Path:
    """Create a module for each name, half of them packages. Returns the file to which imported ones write."""
    ran = folder.parent / "ran"
    folder.mkdir(exist_ok=True)
    for number, name in enumerate(sorted(names)):
        path = folder / name / "__init__.py" if number % 2 else folder / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(TRAP.format(file=str(ran)))
    return ran


@pytest.fixture(params=[runs.MODULE, runs.SCRIPT], ids=["module", "script"])
def command(request: pytest.FixtureRequest) -> tuple[str, ...]:
    chosen: tuple[str, ...] = request.param
    return chosen


@pytest.fixture
def ran(tmp_path: Path, command: tuple[str, ...]) -> Iterator[Path]:
    """The current folder is full of traps; at the end, none may have been imported."""
    names = set(names_to_trap())
    if command == runs.MODULE:
        names -= loaded_by_python(tmp_path)
    ran = set_traps(tmp_path / FOLDER, names)
    for name in ("gunicorn.conf.py", ".pythonrc", ".pythonrc.py"):
        (ran.parent / FOLDER / name).write_text(TRAP.format(file=str(ran)))
    (ran.parent / FOLDER / "inner").mkdir()
    info = ran.parent / FOLDER / "evil-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    yield ran
    assert not ran.exists() or ran.read_text() == ""


@pytest.mark.attack(
    "Serving a folder",
    "A served folder contains modules with the names of Python's, of webdemo's or of a server's",
    "None is imported, by no server, after no reload, with the dashboard beside",
)
def test_nothing_of_a_served_folder_runs(
    running: runs.Start, tmp_path: Path, ran: Path, command: tuple[str, ...]
) -> None:
    folder = tmp_path / FOLDER
    (folder / "webdemo.toml").write_text('bind = ["gunicorn://127.0.0.1:0?worker_class=evil.Worker"]\n')
    run = running(
        *("--directory", ".", "--reload", "--dashboard", "0", "--grace", "60"),
        *BINDS, command=command,
    )  # fmt: skip
    for url in run.urls:
        answer = raw_http.get(url)
        assert answer.status == 200
    run.wait_for("webdemo.toml is not read")
    run.signal(signal.SIGHUP)
    run.wait_for("has the new code", SECONDS, times=len(SERVERS))
    for url in run.urls:
        assert raw_http.get(url).status == 200
    assert run.terminate() == 0


@pytest.mark.parametrize(
    "words",
    [
        ("config",),
        ("servers",),
        ("--version",),
        ("--help",),
        ("port",),
        ("ps",),
        ("compress", "inner"),
        ("trace", "http://127.0.0.1:1/"),
        ("compare", "-s", "nonsense"),
        ("nonsense",),
    ],
    ids=lambda words: words[0],
)
@pytest.mark.attack(
    "Serving a folder",
    "A command is run in a folder that contains modules with the names of Python's, or plug-ins",
    "None is imported, and no plug-in is listed",
)
def test_nothing_of_the_current_folder_runs(
    tmp_path: Path, ran: Path, command: tuple[str, ...], words: Sequence[str]
) -> None:
    done = subprocess.run(
        [*command, *words],
        cwd=tmp_path / FOLDER,
        env=os.environ | {"XDG_CACHE_HOME": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert "evil" not in done.stdout


def test_a_fresh_python_has_not_the_current_folder_on_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    command = [*interpreter.python(), "-c", "import sys; print(*sys.path, sep='\\n')"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert not {"", ".", str(tmp_path)} & set(done.stdout.splitlines())


def test_an_app_finds_its_modules_here_first_and_its_neighbours_do_not(
    running: runs.Start, tmp_path: Path
) -> None:
    folder = tmp_path / FOLDER
    # Imported by the dashboard and the mail catcher, but not by the app.
    ran = set_traps(folder, {"aiosmtpd", "psutil", "waitress"})
    (folder / "colorsys.py").write_text("mine = True\n")
    app = (
        "import colorsys, sys\n"
        "first = sys.path[0]\n"
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [('Content-Type', 'text/plain')])\n"
        "    return [f'{first} {colorsys.mine}'.encode()]\n"
    )
    run = running(
        *("-b", "werkzeug://127.0.0.1:0", "-b", f"smtp://127.0.0.1:0?spool={tmp_path}/spool"),
        *("--dashboard", "0"),
        app=app,
    )
    for _ in range(2):
        assert raw_http.get(run.url).text == f"{folder} True"
        assert not ran.exists()
        run.signal(signal.SIGHUP)
        run.wait_for("has the new code", SECONDS)
