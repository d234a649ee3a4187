"""The admin address: answered by the main process, however busy the servers and however slow the clients."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests import raw_http
from tests import running as runs
from tests.free_ports import free_port
from webdemo.config.binds import admin_bind
from webdemo.config.sources import resolve_settings
from webdemo.errors import UsageError
from webdemo.stats.counters import Activity
from webdemo.supervisor.hangs import HangWatch, Look
from webdemo.supervisor.release import commit_of

BUSY = """
import os, time
def app(environ, start_response):
    while environ["PATH_INFO"] == "/wait" and not os.path.exists("go"):
        time.sleep(0.01)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]
"""


def test_busy_servers_and_idle_clients_delay_no_answer(running: runs.Start) -> None:
    """64 requests that wait on each server, and as many clients on the admin address that send nothing."""
    admin = f"http://127.0.0.1:{free_port()}"
    one = running(
        *(
            "-b",
            "waitress://127.0.0.1:0",
            "-b",
            "gunicorn://127.0.0.1:0",
            "--release",
            "r7",
            "--hang-timeout",
        ),
        *("60", "--metrics", "--admin", admin.rpartition(":")[2]),
        app=BUSY,
    )
    one.wait_for(f"Admin address: {admin.removeprefix('http://')}")
    address = ("127.0.0.1", int(admin.rpartition(":")[2]))
    with contextlib.ExitStack() as open_connections:
        waiting = [
            open_connections.enter_context(raw_http.Connection(u)) for u in one.urls for _ in range(64)
        ]
        for connection in waiting:
            connection.send_head("GET", "/wait")
        for _ in range(100):
            open_connections.enter_context(socket.create_connection(address))
        runs.wait_until(lambda: all(count > 0 for count in in_flight(admin)), one.log_so_far)
        seconds = []
        for _ in range(5):
            began = time.monotonic()
            assert raw_http.get(admin, "/livez").text == "ok\n"
            seconds.append(time.monotonic() - began)
        assert min(seconds) < 0.1
        assert raw_http.get(admin, "/readyz").text == "ok\nrelease: r7\n"
        assert 'webdemo_info{version="' in raw_http.get(admin, "/metrics").text
        status = json.loads(raw_http.get(admin, "/status").text)
        assert [service["server"] for service in status["services"]] == ["waitress", "gunicorn"]
        assert raw_http.get(admin, "/").status == 404
        with raw_http.Connection(admin) as connection:
            assert connection.request("/livez", method="POST", body=b"abc").status == 405
        (one.log_file.parent / "go").touch()
        for connection in waiting:
            assert connection.answer().text == "hello"
    [loader] = one.loaders()
    loader.suspend()
    one.servers()[0].kill()
    runs.wait_until(lambda: raw_http.get(admin, "/readyz").status == 503)
    assert raw_http.get(admin, "/livez").status == 200, "it is being started again"
    loader.resume()
    runs.wait_until(lambda: raw_http.get(admin, "/readyz").status == 200)
    assert one.terminate() == 0


def in_flight(admin: str) -> list[int]:
    text = raw_http.get(admin, "/metrics").text
    return [int(count) for count in re.findall(r"^webdemo_requests_in_flight{.*} (\d+)$", text, re.MULTILINE)]


def test_an_admin_address_is_a_port_of_this_machine_or_a_unix_socket(tmp_path: Path) -> None:
    def bind(text: str) -> str:
        return str(admin_bind(resolve_settings({"admin": text}, {}, tmp_path)))

    assert bind("9180") == "127.0.0.1:9180"
    assert bind("*:9180") == "*:9180"
    assert bind("unix:///run/site/admin.sock") == "unix:///run/site/admin.sock"
    assert admin_bind(resolve_settings({}, {}, tmp_path)) is None
    for text in ("gunicorn://:9180", "https://:9180", "fd://3", ":9180?threads=4"):
        with pytest.raises(UsageError):
            bind(text)


@pytest.mark.process
def test_the_release_is_the_commit_of_the_folder_in_every_layout_of_git(tmp_path: Path) -> None:
    repository, tree = tmp_path / "site", tmp_path / "tree"
    repository.mkdir()

    def git(*arguments: str) -> str:
        identity = ("-c", "user.name=t", "-c", "user.email=t@example.com")
        command = ["git", "-C", str(repository), *identity, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "--quiet", "--initial-branch", "main")
    assert commit_of(repository) == "", "no commit yet"
    git("commit", "--quiet", "--allow-empty", "-m", "one")
    first = git("rev-parse", "HEAD")[:12]
    assert commit_of(repository) == first
    git("worktree", "add", "--quiet", "-b", "side", str(tree))
    assert commit_of(tree) == first
    git("pack-refs", "--all")
    assert commit_of(repository) == commit_of(tree) == first
    git("checkout", "--quiet", "--detach")
    (repository / "folder").mkdir()
    assert commit_of(repository / "folder") == first
    assert commit_of(tmp_path) == ""


def look(completed: int, *, waits: bool, queue: int = 0) -> list[Look]:
    return [Look(1, queue, [Activity(10, 10, 1 if waits else 0, completed)])]


def test_it_is_stalled_when_requests_wait_and_none_is_completed_for_the_whole_time() -> None:
    def stalled(*looks: list[Look]) -> bool:
        watch = HangWatch(3.0)
        for second, one in enumerate(looks):
            watch.hung(one, float(second))
        return watch.is_stalled

    waits, idle = look(5, waits=True), look(5, waits=False)
    assert stalled(waits, waits, waits, waits)
    assert stalled(*[look(5, waits=False, queue=1)] * 4)
    assert not stalled(waits, waits, waits)
    assert not stalled(waits, waits, idle, waits)
    assert not stalled(waits, waits, look(6, waits=True), look(6, waits=True), look(6, waits=True))
    watch = HangWatch(0)
    for second in range(9):
        watch.hung(waits, float(second))
    assert not watch.is_stalled, "without --hang-timeout a long request is no failure"
