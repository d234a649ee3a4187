"""Hooks that are called once in each process that serves the app."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.running import Start
from tests.web.serving import call
from webdemo import App


def test_hooks_are_called_once_in_order_before_the_first_request_however_many_threads() -> None:
    app = App()
    calls: list[str] = []
    barrier = threading.Barrier(5)
    app.get("/")(lambda request: str(len(calls)))

    @app.on_worker_start
    def connect() -> None:
        threading.Event().wait(0.01)
        calls.append("connect")

    app.on_worker_start(lambda: calls.append("thread"))

    def ask(_: int) -> bytes:
        barrier.wait()
        return call(app).body

    with ThreadPoolExecutor(5) as pool:
        assert set(pool.map(ask, range(5))) == {b"2"}
    assert calls == ["connect", "thread"]


def test_hook_that_fails_is_a_500_and_is_called_again(caplog: pytest.LogCaptureFixture) -> None:
    app, results = App(), iter([ZeroDivisionError(), None])
    app.get("/")(lambda request: "home")

    @app.on_worker_start
    def connect() -> None:
        if (error := next(results)) is not None:
            raise error

    assert call(app).status == "500 Internal Server Error"
    assert call(app).body == call(app).body == b"home"
    assert "ZeroDivisionError" in caplog.text


def test_start_worker_calls_the_hooks_of_mounted_apps_and_once_in_a_process() -> None:
    app, part = App(), App()
    calls: list[int] = []
    app.mount("/part", part)
    part.on_worker_start(lambda: calls.append(1))
    app.start_worker()
    app.start_worker()
    assert calls == [1]


@pytest.mark.process
def test_forked_process_calls_the_hooks_again() -> None:
    app = App()
    calls: list[int] = []
    app.get("/")(lambda request: str(len(calls)))
    app.on_worker_start(lambda: calls.append(os.getpid()))
    assert call(app).body == b"1"
    pid = os.fork()
    if pid == 0:
        os._exit(7 if call(app).body == b"2" else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7


APP = """
import os, threading
from webdemo import App

app = App()
@app.on_worker_start
def begin():
    thread = threading.Thread(target=print, args=(f"began in {os.getpid()}",), kwargs={"flush": True})
    thread.start()

@app.get("/")
def home(request):
    return str(os.getpid())
"""


def test_webdemo_calls_the_hooks_when_a_server_starts(running: Start) -> None:
    run = running("-b", "waitress://:0?workers=2", "-b", "gunicorn://:0", app=APP)
    began = run.wait_for(r"began in \d+", times=3)
    assert len({*began}) == 3
