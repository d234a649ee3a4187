"""What an import may leave behind, and which of it keeps the app from being shared by fork."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path

import pytest

from tests import running as runs
from tests.raw_http import get

REPORT = """
import json, random, sys
from webdemo.worker import app_import, sharing
of_a_server = random.Random(7)  # what servers make is not the app's
observed = sharing.Observed()
with observed.importing():
    app_import.load(app_import.Target(sys.argv[1]))
print(json.dumps(observed.why_not_shared()))
"""

APP = """
def app(environ, start_response):
    start_response("200 OK", [])
    return [b"app"]
"""

SHARED = {
    "nothing": "",
    "a thread that has ended": """
        import threading
        thread = threading.Thread(target=int)
        thread.start()
        thread.join()
        """,
    "a socket that was closed": "import socket\nsocket.socket().close()\n",
    "a process that has ended": "import subprocess, sys\nsubprocess.run([sys.executable, '-c', ''])\n",
    "a file that is read": "file = open(__file__)\n",
    "a log that is appended to": "import logging\nlogging.basicConfig(filename='log')\n",
    "random numbers that a fork reseeds": "import random\nrandom.random()\nsystem = random.SystemRandom()\n",
    "a library's exit handler": "import multiprocessing.util, concurrent.futures.thread\n",
    "the finalizers of Django's signals": """
        import django.dispatch
        signal = django.dispatch.Signal()
        signal.connect(print, weak=True)
        """,
}

NOT_SHARED = {
    "started a thread (poller)": """
        import threading
        threading.Thread(target=threading.Event().wait, name="poller", daemon=True).start()
        """,
    "started a thread (": "import _thread, time\n_thread.start_new_thread(time.sleep, (1000,))\n",
    "started a process": """
        import subprocess
        child = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
        """,
    "opened a socket": "import socket\npool = socket.socket()\n",
    "opened a pipe": "import os\nends = os.pipe()\n",
    "opened an event queue": "import select\nqueue = select.epoll()\n",
    "opened a file for writing": "import sqlite3\ndatabase = sqlite3.connect('site.db')\n",
    "made a temporary file or folder": "import tempfile\nfolder = tempfile.TemporaryDirectory()\n",
    "made a temporary file or folder ": """
        import shutil, tempfile, atexit
        folder = tempfile.mkdtemp()
        atexit.register(shutil.rmtree, folder)
        """,
    "registered a function to be called at exit": "import atexit\n@atexit.register\ndef end():\n    pass\n",
    "registered a finalizer": "import weakref\nclass C: pass\nc = C()\nweakref.finalize(c, print)\n",
    "made a random number generator": "import random\nclass Dice(random.Random): pass\ndice = [Dice(7)]\n",
}


def report(folder: Path, source: str) -> str | None:
    (folder / "served.py").write_text(textwrap.dedent(source) + APP)
    command = [sys.executable, "-c", REPORT, "served:app"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=60)
    assert done.returncode == 0, done.stderr
    reason = json.loads(done.stdout)
    assert reason is None or isinstance(reason, str)
    return reason


@pytest.mark.process
@pytest.mark.parametrize("what", SHARED)
def test_an_app_whose_import_leaves_only_this_behind_is_shared(what: str, tmp_path: Path) -> None:
    assert report(tmp_path, SHARED[what]) is None


@pytest.mark.process
@pytest.mark.parametrize("reason", NOT_SHARED)
def test_an_app_whose_import_made_something_for_one_process_is_not_shared(
    reason: str, tmp_path: Path
) -> None:
    found = report(tmp_path, NOT_SHARED[reason])
    assert found is not None
    assert found.startswith(f"importing the app {reason.strip()}")


@pytest.mark.process
def test_the_demo_site_and_an_app_of_the_framework_are_shared(tmp_path: Path) -> None:
    (tmp_path / "site1.py").write_text("from webdemo import App\napp = App()\n")
    for app in ("webdemo:app", "site1:app"):
        command = [sys.executable, "-c", REPORT, app]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=60)
        assert json.loads(done.stdout) is None, app


OWN = """
import atexit, os, random, tempfile

folder = tempfile.TemporaryDirectory()
dice = random.Random()
IMPORTED_BY = os.getpid()

def app(environ, start_response):
    start_response("200 OK", [])
    kept = os.path.isdir(folder.name)
    return [f"{kept} {dice.random()} {IMPORTED_BY == os.getpid()}".encode()]
"""


def test_each_worker_of_each_server_has_its_own_copy_of_an_app_that_is_not_shared(
    running: runs.Start,
) -> None:
    webdemo = running(
        *("-b", "werkzeug://127.0.0.1:0", "-b", "waitress://127.0.0.1:0?workers=2"),
        *("-b", "gunicorn://127.0.0.1:0?workers=2"),
        app=OWN,
    )
    webdemo.wait_for(r"because importing the app made a temporary file or folder\.")
    found = [get(url).text.split() for url in webdemo.urls for _ in range(10)]
    assert {(kept, own) for kept, _, own in found} == {("True", "True")}
    assert len({number for _, number, _ in found}) == len(found)
    temporary = webdemo.log_file.parent.with_name(f"{webdemo.log_file.parent.name}.tmp")
    assert webdemo.terminate() == 0
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("server", ["werkzeug", "waitress", "gunicorn"])
def test_sharing_can_be_switched_off(server: str, running: runs.Start) -> None:
    app = """
import os, random
print("imported by", os.getpid(), flush=True)
IMPORTED_BY = os.getpid()
def app(environ, start_response):
    start_response("200 OK", [])
    return [f"{os.getpid() == IMPORTED_BY}".encode()]
"""
    webdemo = running(
        "-b",
        f"{server}://127.0.0.1:0",
        "-b",
        f"{server}://127.0.0.1:0?threads=2"
        if server != "werkzeug"
        else "werkzeug://127.0.0.1:0?connections=9",
        "--no-share",
        app=app,
    )
    assert {get(url).text for url in webdemo.urls} == {"True"}
    imports = Counter(webdemo.wait_for(r"imported by \d+", times=2))
    assert set(imports.values()) == {1}
    assert len(imports) == 2


def test_an_app_that_fails_in_a_gunicorn_worker_is_reported_on_two_lines(running: runs.Start) -> None:
    webdemo = running("-b", "gunicorn://127.0.0.1:0", "--no-share", app="import nothing_here\n", wait=False)
    assert webdemo.wait() == 1
    assert "The app 'served' cannot be loaded: ModuleNotFoundError" in webdemo.log()
    assert "Install or fix what it imports: nothing_here (served.py, line 1)." in webdemo.log()


LATE = """
import sys
known = set(sys.modules)
def app(environ, start_response):
    start_response("200 OK", [])
    return [" ".join(set(sys.modules) - known).encode()]
"""


@pytest.mark.parametrize(
    "servers",
    [
        ("werkzeug", "waitress", "gunicorn"),
        pytest.param(("wsgiref", "cheroot", "hypercorn"), marks=pytest.mark.deep),
    ],
    ids=" ".join,
)
def test_what_a_server_imports_is_imported_before_the_fork(
    servers: tuple[str, ...], running: runs.Start
) -> None:
    """Else each of its processes takes the time and, not sharing it, the memory again."""
    binds = [argument for server in servers for argument in ("-b", f"{server}://127.0.0.1:0")]
    # Python's development mode imports tracemalloc when it warns.
    webdemo = running(*binds, app=LATE, environment={"PYTHONDEVMODE": None})
    assert [get(url).text for url in webdemo.urls] == [""] * len(servers)
    assert webdemo.terminate() == 0
    assert "imports its own copy" not in webdemo.log()
