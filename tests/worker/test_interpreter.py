"""Loaders: the one forked early and the fresh ones of reloads are the same for an app."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from webdemo.worker import interpreter

pytestmark = pytest.mark.process

APP = """
import json, os, sys

def is_inheritable(fd):
    try:
        return os.get_inheritable(fd)
    except OSError:
        return False

FACTS = {
    "arguments": sys.argv[1:],
    "first in the path": sys.path[0],
    "descriptors": [fd for fd in range(3, 100) if is_inheritable(fd)],
    "stdin": os.path.realpath("/dev/fd/0"),
    "leads its session": os.getsid(0) == os.getpid(),
    "environment": sorted(name for name in os.environ if name.startswith(("NOTIFY_", "WATCHDOG_"))),
    "writes at once": [sys.stdout.line_buffering, sys.stderr.line_buffering],
    "threads": len(os.listdir("/proc/self/task")),
}

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(FACTS | {"loader": os.getppid()}).encode()]
"""
SCRIPT = "import sys\nfrom webdemo.__main__ import main\nsys.exit(main())\n"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """webdemo by its console script, with an inherited descriptor and a service manager's variable."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "served.py").write_text(APP)
    script = tmp_path / "bin" / "webdemo"
    script.parent.mkdir()
    script.write_text(SCRIPT)
    log = tmp_path / "log"
    with contextlib.ExitStack() as stack:
        left_open = os.open(os.devnull, os.O_RDONLY)
        stack.callback(os.close, left_open)
        process = subprocess.Popen(
            [sys.executable, script, "--app", "served:app", "--port", "0", "--host", "127.0.0.1"],
            cwd=folder,
            stdout=stack.enter_context(log.open("wb")),
            stderr=subprocess.STDOUT,
            pass_fds=[left_open],
            env=os.environ | {"WATCHDOG_PID": "1"},
        )
        stack.callback(process.wait)
        stack.callback(process.kill)
        deadline = time.monotonic() + 60
        while "Ready in" not in log.read_text():
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        url = next(word for word in log.read_text().split() if word.startswith("http://"))
        yield process, url
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def facts_at(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(url, timeout=60) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


def test_an_app_meets_the_same_at_the_start_and_after_a_reload(
    served: tuple[subprocess.Popen[bytes], str], tmp_path: Path
) -> None:
    process, url = served
    first = facts_at(url)
    expected = {
        "arguments": [],
        "first in the path": str(tmp_path / "folder"),
        "descriptors": [],
        "stdin": os.devnull,
        "leads its session": True,
        "environment": [],
        "writes at once": [True, True],
        "threads": 1,
    }
    assert first == expected | {"loader": first["loader"]}
    process.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + 60
    while (again := facts_at(url))["loader"] == first["loader"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert again == expected | {"loader": again["loader"]}


NEEDED_BY_FEW = {
    "asyncio",
    "email",
    "hashlib",
    "http",
    "jinja2",
    "logging",
    "psutil",
    "random",
    "rich",
    "shutil",
    "ssl",
    "subprocess",
    "tempfile",
    "watchfiles",
    "webdemo.supervisor.watch",
    "webdemo.web",
    "webdemo.worker.loader",
    "webdemo.worker.server_process",
    "werkzeug",
}


def test_the_main_process_imports_nothing_at_its_start_that_few_runs_need() -> None:
    code = "import sys, webdemo.supervisor.supervisor, webdemo.cli.opening; print(*sys.modules)"
    command = [sys.executable, "-c", code]
    # Python's development mode imports modules of its own.
    as_users_run_it = {name: value for name, value in os.environ.items() if name != "PYTHONDEVMODE"}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=True, env=as_users_run_it
    )
    assert not NEEDED_BY_FEW & set(done.stdout.split())


@pytest.mark.parametrize(
    ("name", "is_kept"),
    [
        ("webdemo/worker/app_import.py", False),
        ("webdemo/__init__.py", False),
        ("webdemo/demo/site.py", True),
        ("app.py", True),
    ],
)
def test_a_spare_that_may_have_imported_a_changed_module_is_not_used(
    name: str, is_kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[bool] = []
    monkeypatch.setattr(interpreter, "end_early", lambda: ended.append(True))
    interpreter.end_if_old([str(Path(interpreter.__file__).parents[2] / name), "/elsewhere/page.html"])
    assert ended == ([] if is_kept else [True])
