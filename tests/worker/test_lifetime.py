"""How processes exit: quickly, but not before everything that must run has run."""

from __future__ import annotations

import subprocess
import sys
import urllib.request

import pytest

from tests.running import Start

pytestmark = pytest.mark.process

BEGINNING = "import atexit, os, sys\nfrom webdemo.worker import lifetime\n"


def end_of(code: str) -> tuple[int, list[str]]:
    """The exit code of a program, and the lines that it wrote."""
    done = subprocess.run(
        [sys.executable, "-c", BEGINNING + code], capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stdout.splitlines()


def test_handlers_run_output_is_flushed_and_the_rest_is_left_to_the_system() -> None:
    code, lines = end_of(
        "lifetime.prepare()\n"
        "class Last:\n"
        "    def __del__(self): print('taken down')\n"
        "last = Last()\n"
        "atexit.register(print, 'first registered')\n"
        "atexit.register(print, 'second registered')\n"
        "sys.exit(lifetime.with_code(7))\n"
    )
    assert (code, lines) == (7, ["second registered", "first registered"])


@pytest.mark.parametrize(
    "code",
    [
        "atexit.register(print, 'there before')\nlifetime.prepare()\nsys.exit(lifetime.with_code(7))\n",
        "lifetime.prepare()\natexit.register(print, 'there before')\nsys.exit(7)\n",
        # A process forked from one that is about to exit has its own exit code.
        "lifetime.prepare()\natexit.register(print, 'there before')\nlifetime.with_code(1)\n"
        "if pid := os.fork():\n"
        "    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])\n"
        "    atexit.unregister(print)\n"
        "    sys.exit(lifetime.with_code(code))\n"
        "sys.exit(7)\n",
    ],
    ids=["handlers before", "no code", "forked"],
)
def test_no_handler_and_no_exit_code_is_lost(code: str) -> None:
    assert end_of(code) == (7, ["there before"])


WRITER = """
from webdemo import App

app = App()
early = open("early", "w")
late = []

@app.get("/")
def write(request):
    late.append(open("late", "w"))
    for file in (early, *late):
        file.write("not flushed")
    return "written"
"""


@pytest.mark.parametrize("server", ["werkzeug", "waitress", "gunicorn"])
def test_files_that_the_app_has_open_are_flushed_at_a_stop(server: str, running: Start) -> None:
    webdemo = running("-b", f"{server}://127.0.0.1:0", app=WRITER)
    with urllib.request.urlopen(webdemo.url, timeout=60) as answer:
        assert answer.read() == b"written"
    folder = webdemo.log_file.parent
    assert [(folder / name).read_text() for name in ("early", "late")] == ["", ""]
    assert webdemo.terminate() == 0
    assert [(folder / name).read_text() for name in ("early", "late")] == ["not flushed"] * 2


TALKER = """
import atexit, sys

app = lambda environ, start_response: (start_response("200 OK", []), [b""])[1]
console = open("/dev/stdout", "w")
console.write("to the console\\n")
atexit.register(lambda: sys.stdout.write("at the end\\n"))
"""


def test_what_the_app_has_printed_is_not_lost_at_a_stop(running: Start) -> None:
    webdemo = running("-b", "waitress://127.0.0.1:0", app=TALKER, environment={"PYTHONUNBUFFERED": None})
    assert webdemo.terminate() == 0
    assert "to the console" in webdemo.log()
    assert "at the end" in webdemo.log()
