"""Server processes that hang: what counts as a hang, and that they are replaced on real servers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from tests import leftovers, raw_http
from tests import running as runs
from webdemo.stats.counters import Activity
from webdemo.supervisor.hangs import HangWatch, Look

APP = """
import threading, time
lock = threading.Lock()

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/deadlock":
        with lock:
            print("begun", flush=True)
            time.sleep(600)
    if path == "/slow":
        time.sleep(1)
    start_response("200 OK", [("Content-Type", "text/plain")])
    if path == "/stream":
        return stream()
    return [b"hello"]

def stream():
    while True:
        yield b"tick\\n"
        time.sleep(0.2)
"""
MAIN_SERVERS = ("werkzeug", "waitress", "gunicorn")
_BEGAN = 1000.0  # seconds


def activity(completed: int = 0, waits: bool = True) -> Activity:
    return Activity(7, 7, int(_BEGAN * 1e9) if waits else 0, completed)


def hung_after(seconds: int, *looks: Look, watch: HangWatch | None = None) -> bool:
    """Whether process 1 has hung when it has been looked at once a second, in turn, for so long."""
    watch = watch or HangWatch(5)
    return any(
        watch.hung([looks[second % len(looks)]], _BEGAN + 0.5 + second) for second in range(seconds + 1)
    )


def test_a_request_that_waits_while_none_is_completed_is_a_hang() -> None:
    assert hung_after(6, Look(1, 0, [activity()]))
    assert not hung_after(4, Look(1, 0, [activity()]))


def test_a_request_that_waits_while_others_are_completed_is_none() -> None:
    assert not hung_after(60, Look(1, 0, [activity(1)]), Look(1, 0, [activity(2)]))


def test_a_process_without_a_request_that_waits_has_not_hung() -> None:
    assert not hung_after(60, Look(1, 0, [activity(waits=False)]))
    assert not hung_after(60, Look(1, 0, []))


def test_one_worker_that_has_hung_is_enough() -> None:
    watch = HangWatch(5)
    looks = [[Look(1, 0, [activity(), Activity(8, 7, 0, second)])] for second in range(10)]
    assert any(watch.hung(look, _BEGAN + second) for second, look in enumerate(looks))


def test_an_accept_queue_that_never_shrinks_is_a_hang() -> None:
    assert hung_after(6, Look(1, 3, []))
    assert not hung_after(4, Look(1, 3, []))
    assert not hung_after(60, Look(1, 3, []), Look(1, 2, []))
    assert not hung_after(60, Look(1, 3, []), Look(1, 0, []))


def test_a_full_server_is_none_while_its_requests_are_younger_than_the_limit() -> None:
    watch = HangWatch(5)
    for second in range(60):
        began = (
            _BEGAN + second - second % 4
        )  # every four seconds another request, none of them seen completed
        look = Look(1, 3, [Activity(7, 7, int(began * 1e9), 0)])
        assert watch.hung([look], _BEGAN + second + 0.5) == []


def test_a_pause_of_the_machine_is_no_hang() -> None:
    watch = HangWatch(5)
    look = Look(1, 3, [activity()])
    assert watch.hung([look], _BEGAN) == []
    assert watch.hung([look], _BEGAN + 3600) == []


def kill(old: psutil.Process) -> None:
    """What happens after the grace time, which a busy machine needs for the stop at the test's end."""
    leftovers.kill_tree(old)
    runs.wait_until(lambda: not runs.lives(old))


@pytest.mark.parametrize("server", MAIN_SERVERS)
def test_a_server_whose_threads_are_deadlocked_is_replaced(server: str, running: runs.Start) -> None:
    threads = "" if server == "werkzeug" else "?threads=2"
    run = running("-b", f"{server}://127.0.0.1:0{threads}", "--hang-timeout", "2", app=APP)
    (old,) = run.servers()
    with raw_http.Connection(run.url) as one, raw_http.Connection(run.url) as other:
        one.send_head("GET", "/deadlock")
        other.send_head("GET", "/deadlock")
        run.wait_for("begun")
        run.wait_for(rf"\(pid {old.pid}\) has answered nothing for 2 s; it is replaced\.")
        run.wait_for(r"\| +File .*served\.py.* in app")
        run.wait_for(rf"^{server} .* is up again")
    kill(old)
    assert raw_http.get(run.url).text == "hello"
    assert run.terminate() == 0


@pytest.mark.parametrize("server", MAIN_SERVERS)
def test_a_stopped_server_process_is_replaced(server: str, running: runs.Start) -> None:
    run = running("-b", f"{server}://127.0.0.1:0", "--hang-timeout", "2", app=APP)
    (old,) = run.servers()
    for process in (old, *old.children()):
        process.suspend()
    assert raw_http.get(run.url).text == "hello"  # it waits until the new one accepts
    kill(old)
    assert run.terminate() == 0


def test_a_full_server_is_left_alone(running: runs.Start) -> None:
    binds = ("-b", "gunicorn://127.0.0.1:0?threads=1", "-b", "werkzeug://127.0.0.1:0?connections=1")
    run = running(*binds, "--hang-timeout", "3", app=APP)
    before = run.servers()
    with ThreadPoolExecutor() as pool:  # for longer than the limit somebody waits to be accepted
        answers = [pool.submit(raw_http.get, url, "/slow") for url in run.urls for _ in range(5)]
        assert {answer.result().text for answer in answers} == {"hello"}
    assert run.servers() == before
    assert run.terminate() == 0
    assert "answered nothing" not in run.log()


@pytest.mark.parametrize("server", MAIN_SERVERS)
def test_an_endless_stream_is_left_alone(server: str, running: runs.Start) -> None:
    run = running("-b", f"{server}://127.0.0.1:0", "--hang-timeout", "3", app=APP)
    (old,) = run.servers()
    with raw_http.Connection(run.url) as stream:
        stream.send_head("GET", "/stream")
        received = b""
        while received.count(b"tick") < 20:  # 4 s
            received += stream.socket.recv(4096)
        assert raw_http.get(run.url).text == "hello"
        while received.count(b"tick") < 30:
            received += stream.socket.recv(4096)
    assert run.servers() == [old]
    assert run.terminate() == 0
    assert "answered nothing" not in run.log()
