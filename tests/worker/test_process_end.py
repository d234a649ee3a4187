"""How processes exit: nothing that the app has written is lost, and its handlers run."""

from __future__ import annotations

import urllib.request

import pytest

from tests.running import Start

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
import atexit, os, sys

app = lambda environ, start_response: (start_response("200 OK", []), [b""])[1]
console = open("/dev/stdout", "w")
console.write("to the console\\n")
atexit.register(lambda: sys.stdout.write("at the end\\n"))

class Last:
    def __del__(self):
        os.write(1, b"taken down\\n")

last = Last()
"""


def test_what_the_app_has_printed_is_not_lost_at_a_stop(running: Start) -> None:
    webdemo = running("-b", "waitress://127.0.0.1:0", app=TALKER, environment={"PYTHONUNBUFFERED": None})
    assert webdemo.terminate() == 0
    assert "to the console" in webdemo.log()
    assert "at the end" in webdemo.log()
    assert "taken down" in webdemo.log()
