"""Start and stop as platforms do it: Procfile, systemd, PID 1 of a container, health checks, log readers."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests import raw_http
from tests import running as runs
from tests.free_ports import free_port

pytestmark = pytest.mark.process

HELLO = """
def app(environ, start_response):
    print("asked", flush=True)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]
"""
WAITING_IMPORT = "import os, time\nwhile not os.path.exists('go'): time.sleep(0.01)\n" + HELLO
ROOT = Path(__file__).parents[2]
SECONDS = 60.0


def wait_for_answer(url: str, target: str = "/", seconds: float = SECONDS) -> raw_http.Answer:
    deadline = time.monotonic() + seconds
    while True:
        try:
            return raw_http.get(url, target)
        except OSError:
            assert time.monotonic() < deadline, f"{url} does not answer"
            time.sleep(0.05)


def test_the_procfile_serves_the_port_that_the_platform_gives(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Procfile", tmp_path)
    port = free_port()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "XDG_RUNTIME_DIR": str(tmp_path), "WEB_CONCURRENCY": "2"}
    honcho = subprocess.Popen(
        [sys.executable, "-m", "honcho", "start", "--port", str(port)],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert honcho.stdout is not None
    out = ""
    try:
        answer = wait_for_answer(f"http://127.0.0.1:{port}")
        assert answer.status == 200
        assert answer.headers["Server"] == "gunicorn"
        assert "</html>" in answer.text
        while "Ready in" not in out:
            out += honcho.stdout.readline()
        # Not by honcho, which kills its processes after 5 s. It ends after them.
        [control] = (tmp_path / "webdemo").glob("*.sock")
        os.kill(int(control.stem), signal.SIGTERM)
        out += honcho.stdout.read()
    finally:
        honcho.terminate()
        out += honcho.stdout.read()
        honcho.stdout.close()
        honcho.wait(SECONDS)
    assert "Listening on every address, because PORT is in the environment" in out
    assert re.search(r"gunicorn +\S+ +http://.* 2$", out, re.MULTILINE), out
    assert "Stopped after" in out


def test_sockets_from_systemd_are_served_beside_explicit_binds(tmp_path: Path) -> None:
    """A small parent does what systemd does: it listens, forks, and passes the sockets as 3, 4, ..."""
    (tmp_path / "served.py").write_text(HELLO)
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(str(tmp_path / "notify"))
    manager.settimeout(SECONDS)
    given = socket.create_server(("127.0.0.1", 0))
    # It puts the socket at descriptor 3 and execs, so that its pid stays the one in LISTEN_PID.
    script = (
        "import os, sys; os.dup2(int(sys.argv[1]), 3); os.environ['LISTEN_PID'] = str(os.getpid()); "
        "os.execv(sys.executable, [sys.executable, *sys.argv[2:]])"
    )
    log = (tmp_path / "log").open("wb")
    webdemo = subprocess.Popen(
        [
            sys.executable,
            "-c",
            script,
            str(given.fileno()),
            "-m",
            "webdemo",
            "--app",
            "served:app",
            "-b",
            "waitress://127.0.0.1:0",
        ],
        cwd=tmp_path,
        pass_fds=[given.fileno()],
        env=os.environ
        | {
            "LISTEN_FDS": "1",
            "LISTEN_FDNAMES": "gunicorn",
            "NOTIFY_SOCKET": str(tmp_path / "notify"),
            "XDG_RUNTIME_DIR": str(tmp_path),
        },
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    try:
        assert manager.recv(4096).startswith(b"READY=1")
        port = given.getsockname()[1]
        given.close()
        assert raw_http.get(f"http://127.0.0.1:{port}").headers["Server"] == "gunicorn"
        runs.wait_until(lambda: "Ready in" in (tmp_path / "log").read_text())  # a thread writes it
        text = (tmp_path / "log").read_text()
        explicit = re.search(r"waitress +\S+ +(http://127\.0\.0\.1:\d+)/", text)
        assert explicit, text
        assert raw_http.get(explicit[1]).headers["Server"] == "waitress"
        webdemo.send_signal(signal.SIGHUP)
        assert manager.recv(4096).startswith(b"RELOADING=1")
        assert manager.recv(4096).startswith(b"READY=1")
        webdemo.terminate()
        assert manager.recv(4096).startswith(b"STOPPING=1")
        assert webdemo.wait(SECONDS) == 0, (tmp_path / "log").read_text()
        assert f"gunicorn :{port} | asked" in (tmp_path / "log").read_text()
    finally:
        print((tmp_path / "log").read_text())
        webdemo.kill()
        webdemo.wait(SECONDS)
        manager.close()
        given.close()
        log.close()


def test_health_tells_alive_from_ready(running: runs.Start) -> None:
    arguments = ["--health", "--drain-delay", "8", "-b", "waitress://127.0.0.1:0"]
    one = running(*arguments, app=WAITING_IMPORT, wait=False)
    # The port is open before the app is loaded, so it is found by the listening sockets.
    deadline = time.monotonic() + SECONDS
    port = None
    while port is None and time.monotonic() < deadline:
        listening = [c for c in psutil.Process(one.pid).net_connections("tcp") if c.status == "LISTEN"]
        port = listening[0].laddr.port if listening else None
        time.sleep(0.02)
    url = f"http://127.0.0.1:{port}"
    assert wait_for_answer(url, "/livez").status == 200
    loading = wait_for_answer(url, "/readyz")
    assert (loading.status, loading.text) == (503, "not ready\n")
    assert wait_for_answer(url, "/").status == 503
    (one.log_file.parent / "go").touch()
    one.wait_until_ready()
    assert raw_http.get(url, "/readyz").status == 200
    assert raw_http.get(url, "/").text == "hello"
    one.signal(signal.SIGTERM)
    one.wait_for("^Stopping")
    assert raw_http.get(url, "/livez").status == 200
    assert raw_http.get(url, "/readyz").status == 503
    assert raw_http.get(url, "/").text == "hello", "until the delay is over, all is served as before"
    assert one.wait() == 0
    assert "/readyz" not in one.log(), "health checks are not logged"


def test_health_is_off_unless_asked_for(running: runs.Start) -> None:
    one = running("-b", "waitress://127.0.0.1:0", app=HELLO)
    assert raw_http.get(one.url, "/readyz").text == "hello"


@pytest.mark.parametrize("signals", [[signal.SIGTERM], [signal.SIGINT], [signal.SIGTERM, signal.SIGTERM]])
def test_a_platforms_signals_drain(signals: list[signal.Signals], running: runs.Start) -> None:
    slow = "print('begun', flush=True); __import__('time').sleep(1); start_response("
    app = HELLO.replace("start_response(", slow, 1)
    one = running("-b", "gunicorn://127.0.0.1:0", app=app)
    with raw_http.Connection(one.url) as connection:
        connection.send_head("GET", "/")
        one.wait_for("begun")
        for number in signals:
            one.signal(number)
        assert connection.answer().text == "hello"
    assert one.wait() == 0
    one.wait_until_gone()


@pytest.mark.skipif(os.getuid() != 0 or not shutil.which("unshare"), reason="needs root and unshare")
def test_it_works_as_pid_1_and_reaps_what_is_left_to_it(tmp_path: Path) -> None:
    # The app leaves an orphan: a process whose parent ends at once.
    orphan = "import subprocess\nsubprocess.run(['sh', '-c', 'sleep 0.3 & exit'])\n"
    (tmp_path / "served.py").write_text(orphan + HELLO)
    command = ["unshare", "--fork", "--pid", "--mount-proc", sys.executable, "-m", "webdemo"]
    log = (tmp_path / "log").open("wb")
    process = subprocess.Popen(
        [*command, "--app", "served:app", "-b", "waitress://127.0.0.1:0"],
        cwd=tmp_path,
        env=os.environ | {"XDG_RUNTIME_DIR": str(tmp_path)},
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + SECONDS
        while "Ready in" not in (tmp_path / "log").read_text():
            assert time.monotonic() < deadline, (tmp_path / "log").read_text()
            time.sleep(0.05)
        [first] = psutil.Process(process.pid).children()

        def left(process: psutil.Process) -> bool:
            try:
                return bool(process.status() == psutil.STATUS_ZOMBIE or process.name() == "sleep")
            except psutil.NoSuchProcess:
                return False

        runs.wait_until(lambda: not any(map(left, runs.children(first, recursive=True))))
        first.terminate()
        assert process.wait(SECONDS) == 0, (tmp_path / "log").read_text()
    finally:
        process.kill()
        process.wait(SECONDS)
        log.close()


def test_logs_as_json_are_a_document_each_line(running: runs.Start) -> None:
    app = "print('the app says hello')\n" + HELLO
    one = running("--log-format", "json", "-b", "waitress://127.0.0.1:0", app=app, wait=False)
    started = json.loads(one.wait_for(r'^.*"event": "Started".*$')[0])
    raw_http.get(started["rows"][0]["urls"][0], "/path?query")
    one.wait_for('"path": "/path')
    assert one.terminate() == 0
    entries = [json.loads(line) for line in one.log().splitlines()]
    access = next(e for e in entries if "path" in e)
    assert (access["server"], access["method"], access["status"], access["bytes"]) == (
        "waitress",
        "GET",
        200,
        5,
    )
    assert {e["event"] for e in entries if "event" in e} >= {"Started", "Draining", "Stopped", "Output"}


def test_a_reader_that_leaves_does_not_end_the_servers(tmp_path: Path) -> None:
    (tmp_path / "served.py").write_text(HELLO)
    port = free_port()
    webdemo = subprocess.Popen(
        [sys.executable, "-m", "webdemo", "--app", "served:app", "-b", f"waitress://127.0.0.1:{port}"],
        cwd=tmp_path,
        env=os.environ | {"XDG_RUNTIME_DIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        assert webdemo.stdout is not None
        assert webdemo.stdout.readline().startswith(b"App: ")
        webdemo.stdout.close()
        for _ in range(50):
            assert raw_http.get(f"http://127.0.0.1:{port}").text == "hello"
        webdemo.terminate()
        assert webdemo.wait(SECONDS) == 0
    finally:
        webdemo.kill()
        webdemo.wait(SECONDS)


def test_output_of_server_and_app_is_told_apart_and_cannot_steer_the_terminal(running: runs.Start) -> None:
    app = "print('at import')\n" + HELLO.replace(
        "start_response(", "print('\\x1b[31mred\\x07'); start_response(", 1
    )
    one = running("-b", "waitress://127.0.0.1:0", app=app)
    raw_http.get(one.url)
    one.wait_for(r"app \| at import")
    port = one.url.rstrip("/").rpartition(":")[2]
    one.wait_for(rf"^waitress :{port} \| \\x1b\[31mred\\x07$")
    assert one.terminate() == 0
    assert "\x1b" not in one.log()


def test_workers_and_hosts_of_the_environment_are_used(running: runs.Start) -> None:
    one = running(
        app=HELLO,
        environment={"PORT": "0", "HOST": "127.0.0.1", "WEB_CONCURRENCY": "2", "WEBDEMO_SERVER": "waitress"},
    )
    [row] = one.rows()
    assert row.server == "waitress"
    assert len(row.urls) == 1
    assert row.workers == 2
    assert len(row.pids) == 2


def test_the_default_port_moves_when_it_is_taken_and_says_so(running: runs.Start) -> None:
    one = running(app=HELLO)
    if one.url.endswith(":8000/"):  # nobody had it; now the first has it while the second runs
        one = running(app=HELLO)
    one.wait_for("Port 8000 is already in use by")
    [moved] = one.wait_for(r"(?<=Using )\d+(?= instead\.)")
    assert one.url.endswith(f":{moved}/")
    assert moved != "8000"
