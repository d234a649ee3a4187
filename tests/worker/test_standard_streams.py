"""What an app does to sys.stdout and sys.stderr stops neither webdemo's processes nor its own lines."""

from __future__ import annotations

import contextlib
import io
import itertools
import sys

import pytest

from tests.raw_http import get
from tests.running import Start
from webdemo import standard_streams

APP = """
import sys

{change}

def app(environ, start_response):
    if environ["PATH_INFO"] == "/raises":
        raise RuntimeError("of the app")
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""
CHANGES = {
    "None": "sys.stdout = sys.stderr = None",
    "closed": "sys.stdout.close(); sys.stderr.close()",
    "without flush and fileno": "sys.stdout = object()",
}


@pytest.mark.parametrize("change", CHANGES)
def test_servers_start_once_and_serve_whatever_the_app_has_done_to_its_streams(
    change: str, running: Start
) -> None:
    one_thread = ("waitress", "gunicorn", "cheroot")
    binds = [("-b", f"{name}://127.0.0.1:0?threads=1") for name in one_thread]
    binds += [("-b", f"{name}://127.0.0.1:0") for name in ("werkzeug", "wsgiref")]
    webdemo = running(*itertools.chain(*binds), app=APP.format(change=CHANGES[change]))
    for url in [url for row in webdemo.rows() for url in row.urls]:
        assert [get(url, path).status for path in ("/", "/raises", "/raises", "/")] == [200, 500, 500, 200], (
            url
        )
    assert webdemo.terminate() == 0
    assert webdemo.log().count("RuntimeError: of the app") == 2 * len(binds)
    assert "again" not in webdemo.log()


class _Broken(io.StringIO):
    def flush(self) -> None:
        raise RuntimeError("of the app")


@pytest.mark.parametrize("stream", [None, object(), _Broken()])
def test_a_stream_that_cannot_be_flushed_does_not_keep_the_others_from_it(
    stream: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = io.BytesIO()
    original = io.TextIOWrapper(raw)
    monkeypatch.setattr(sys, "__stderr__", original)
    original.write("kept")
    with contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
        standard_streams.flush()
    assert raw.getvalue() == b"kept"


def test_webdemos_own_lines_reach_the_log_beside_a_replaced_stderr(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with contextlib.redirect_stderr(None):
        standard_streams.write_log("one line")
        standard_streams.write_log("a traceback\nof two lines\n")
    assert capfd.readouterr().err == "one line\na traceback\nof two lines\n"


@pytest.mark.parametrize("name", ["stdout", "stderr"])
@pytest.mark.parametrize("unusable", [None, object(), io.StringIO("closed")])
def test_unusable_streams_are_restored_and_others_kept(
    name: str, unusable: object, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    if isinstance(unusable, io.StringIO):
        unusable.close()
    mine = io.StringIO()
    other = {"stdout": "stderr", "stderr": "stdout"}[name]
    monkeypatch.setattr(sys, name, unusable)
    monkeypatch.setattr(sys, f"__{name}__", unusable)
    monkeypatch.setattr(sys, other, mine)
    standard_streams.restore()
    print("kept", file=getattr(sys, name))
    assert getattr(capfd.readouterr(), name.removeprefix("std")) == "kept\n"
    assert getattr(sys, other) is mine


def test_lines_for_a_log_that_the_app_has_closed_are_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    (closed := io.StringIO()).close()
    for stream in (closed, None):
        monkeypatch.setattr(sys, "__stderr__", stream)
        standard_streams.write_log("lost")
