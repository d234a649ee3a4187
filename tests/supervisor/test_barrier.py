"""Nothing that a client, an app, a child process or another local user does ends the run."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests import running as runs
from tests.supervisor.test_overlaps import until_replaced
from webdemo.errors import SystemRefusal
from webdemo.supervisor.processes import how_it_ended
from webdemo.worker import interpreter

SECONDS = 60.0

APP = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"one"]
"""


class Control:
    """A client of a run's control socket."""

    def __init__(self, run: runs.Running) -> None:
        self._path = run.log_file.parent / "runtime" / "webdemo" / f"{run.pid}.sock"

    def connect(self) -> socket.socket:
        deadline = time.monotonic() + SECONDS
        while True:
            sock = socket.socket(socket.AF_UNIX)
            sock.settimeout(SECONDS)
            try:
                sock.connect(str(self._path))
            except BlockingIOError:  # the accept queue is full
                sock.close()
                assert time.monotonic() < deadline
                time.sleep(0.01)
            else:
                return sock

    def send(self, line: bytes) -> bytes:
        """Send a line and return the response line; empty if there is none."""
        with self.connect() as sock, sock.makefile("rb") as answers:
            sock.sendall(line + b"\n")
            return answers.readline()

    def call(self, **message: Any) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.send(json.dumps(message).encode()))
        return answer


def start(
    running: runs.Start, tmp_path: Path, *arguments: str, app: str = APP
) -> tuple[runs.Running, Control]:
    runtime = tmp_path / "run1" / "runtime"
    runtime.mkdir(parents=True, mode=0o700)
    run = running(*arguments, app=app, environment={"XDG_RUNTIME_DIR": str(runtime)})
    return run, Control(run)


def body_of(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=SECONDS) as answer:
        data: bytes = answer.read()
        return data


def assert_no_error_until_its_end(run: runs.Running) -> None:
    assert run.terminate() == 0
    assert "Internal error" not in run.log()


@contextlib.contextmanager
def no_descriptor_left(run: runs.Running) -> Iterator[None]:
    """Lower the main process's limit of descriptors so far that it can open none."""
    main = psutil.Process(run.pid)
    before = main.rlimit(psutil.RLIMIT_NOFILE)
    main.rlimit(psutil.RLIMIT_NOFILE, (3, before[1]))
    try:
        yield
    finally:
        main.rlimit(psutil.RLIMIT_NOFILE, before)


needs_rlimit = pytest.mark.skipif(sys.platform != "linux", reason="a limit of another process: Linux only")

# -- the control socket ---------------------------------------------------------------------------

ODD_VALUES = [
    "1e400", "-1e400", "NaN", "Infinity", "-1", "true", "null", '"x"', "[]", "{}", "1" + "0" * 4000,
    '"\\u0000"', '"\\ud800"', "[" * 500 + "]" * 500,
]  # fmt: skip


@pytest.mark.attack(
    "The main process",
    "odd JSON on the control socket: deep nesting, infinities, huge numbers, wrong types in every field",
    "each line is refused with the reason, and the run continues",
)
def test_whatever_is_said_on_the_control_socket_is_answered(running: runs.Start, tmp_path: Path) -> None:
    run, control = start(running, tmp_path, "-b", "werkzeug://127.0.0.1:0")
    while control.call(do="status")["services"][0]["figures"] is None:
        time.sleep(0.1)  # with figures more can fail
    lines = [b"[" * 60_000, b'{"a":' * 10_000, b"\xff\xfe", b"\x00", b"", b"nonsense", b"1", b'"do"']
    for what in ("status", "history", "log", "kill", "restart", "start", "swap", "dance"):
        for field in ("port", "lines", "seconds", "server", "other"):
            lines += [f'{{"do": "{what}", "{field}": {value}}}'.encode() for value in ODD_VALUES[1:]]
    lines += [f'{{"do": {value}}}'.encode() for value in ODD_VALUES]
    lines += [f'{{"do": "stop", "port": {value}}}'.encode() for value in ODD_VALUES if value != "null"]
    with control.connect() as sock, sock.makefile("rb") as answers:
        for line in lines:
            sock.sendall(line + b"\n")
            answer = json.loads(answers.readline())
            assert answer["ok"] or (answer["problem"] and answer["remedy"]), line[:60]
    assert control.call(do="log", port=run.url.rstrip("/").rpartition(":")[2], lines=1e300)["ok"]
    assert control.call(do="status")["ok"]
    assert_no_error_until_its_end(run)


@pytest.mark.attack(
    "The main process",
    "clients of the control socket that never read, never write, or connect by the hundred",
    "others are answered at once: nothing there blocks, and the connections are bounded",
)
def test_clients_of_the_control_socket_hold_up_nobody(running: runs.Start, tmp_path: Path) -> None:
    run, control = start(running, tmp_path, "-b", "werkzeug://127.0.0.1:0")
    with contextlib.ExitStack() as opened:
        for _ in range(8):  # they request more than the socket's buffer holds, and read none of it
            deaf = opened.enter_context(control.connect())
            deaf.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                for _ in range(500):
                    deaf.sendall(b'{"do": "history"}\n' * 100)
        for _ in range(300):
            opened.enter_context(control.connect()).sendall(b'{"do"')  # without the end of the line
        assert control.call(do="status")["ok"]
        assert psutil.Process(run.pid).num_fds() < 150
        assert body_of(run.url) == b"one"
    assert control.call(do="status")["ok"]
    assert_no_error_until_its_end(run)


def test_a_client_that_reads_late_gets_every_answer(running: runs.Start, tmp_path: Path) -> None:
    _, control = start(running, tmp_path, "-b", "werkzeug://127.0.0.1:0")
    with control.connect() as sock, sock.makefile("rb") as answers:
        sock.sendall(b'{"do": "status"}\n' * 2000)
        assert all(json.loads(answers.readline())["ok"] for _ in range(2000))


# -- processes ------------------------------------------------------------------------------------


def test_a_signal_without_a_name_is_told_by_its_number() -> None:
    assert how_it_ended(-9) == "was killed by SIGKILL"
    assert how_it_ended(-40) == "was killed by signal 40"


@pytest.mark.attack(
    "The main process",
    "kill -40, a signal without a name, of the main process, of a server process and of the loader",
    "nothing; the server is restarted; the code is loaded again, and the servers are replaced",
)
@pytest.mark.skipif(sys.platform != "linux", reason="real-time signals")
def test_a_signal_without_a_name_ends_one_process_only(running: runs.Start, tmp_path: Path) -> None:
    run, _ = start(running, tmp_path, "-b", "werkzeug://127.0.0.1:0", "-b", "waitress://127.0.0.1:0")
    for number in (40, signal.SIGALRM, signal.SIGIO, signal.SIGPWR):
        os.kill(run.pid, number)
    run.wait_for("signal 40 does nothing here")
    run.wait_for("SIGIO does nothing here")
    os.kill(run.servers()[0].pid, 40)
    run.wait_for("was killed by signal 40; it is started again")
    run.wait_for("is up again after")
    run.loaders()[0].send_signal(40)
    run.wait_for("has the new code", times=2)
    assert [body_of(url) for url in run.urls] == [b"one", b"one"]
    assert_no_error_until_its_end(run)


@pytest.mark.attack(
    "The main process",
    "an import that fails with a message of 70 kB, in a server process that imports the app itself",
    "the reload is refused with the reason, shortened, and the old code keeps serving",
)
@pytest.mark.parametrize("server", ["waitress", pytest.param("gevent", marks=pytest.mark.smoke)])
def test_an_import_error_of_any_length_fails_the_reload_alone(
    running: runs.Start, tmp_path: Path, server: str
) -> None:
    run, control = start(running, tmp_path, "-b", f"{server}://127.0.0.1:0")
    served = run.log_file.parent / "served.py"
    served.write_text("raise RuntimeError('x' * 70_000)\n")
    answer = control.call(do="reload")
    assert not answer["ok"]
    assert "cannot be loaded: RuntimeError: xxx" in answer["problem"]
    assert len(answer["problem"]) < 3000
    assert body_of(run.url) == b"one"
    served.write_text(APP.replace("one", "two"))
    assert control.call(do="reload") == {"ok": True, "note": ""}
    until_replaced(run)
    assert body_of(run.url) == b"two"
    assert_no_error_until_its_end(run)


def _has_stolen(thief: socket.socket, port: int, run: runs.Running, times_up_before: int) -> bool:
    """Whether the port could be taken before the server was up again."""
    while run.log_so_far().count("is up again after") == times_up_before:
        with contextlib.suppress(OSError):
            thief.bind(("127.0.0.1", port))
            thief.listen()
            return True
    return False


@pytest.mark.attack(
    "The main process",
    "another program takes the port of a server that opens its own port, while that server is down",
    "the server is tried again until it has its port, with the reason in the log; the others keep serving",
)
def test_a_stolen_port_is_taken_back_when_it_is_free(running: runs.Start, tmp_path: Path) -> None:
    run, control = start(running, tmp_path, "-b", "paste.waitress://127.0.0.1:0")
    port = int(run.url.rstrip("/").rpartition(":")[2])

    def pids() -> list[int]:
        return [process["pid"] for process in control.call(do="status")["services"][0]["processes"]]

    with socket.socket() as thief:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        for attempt in range(4):  # after the first death the restart is delayed
            os.kill(pids()[0], signal.SIGKILL)
            if _has_stolen(thief, port, run, attempt):
                break
        run.wait_for(f"could not be started .*{port}.*; it is started again", times=6)  # it does not give up
    run.wait_for("is up again after", times=attempt + 1)
    assert body_of(run.url) == b"one"
    assert_no_error_until_its_end(run)


@pytest.mark.attack(
    "The main process",
    "no descriptor is left for a reload, a swap or a server that is started again",
    "the old code keeps serving, the command names the cause and the remedy, and the next attempt works",
)
@needs_rlimit
def test_without_descriptors_a_command_fails_and_the_next_one_works(
    running: runs.Start, tmp_path: Path
) -> None:
    run, control = start(running, tmp_path, "-b", "waitress://127.0.0.1:0")
    port = run.url.rstrip("/").rpartition(":")[2]
    for message in ({"do": "reload"}, {"do": "restart"}, {"do": "swap", "port": port, "server": "gevent"}):
        with control.connect() as sock, sock.makefile("rb") as answers:
            sock.sendall(b'{"do": "status"}\n')
            assert json.loads(answers.readline())["ok"]
            with no_descriptor_left(run):
                sock.sendall(json.dumps(message).encode() + b"\n")
                answer = json.loads(answers.readline())
        assert "Too many open files" in answer["problem"], message
        assert "ulimit -n" in answer["remedy"]
        assert body_of(run.url) == b"one"
        assert control.call(**message) == {"ok": True, "note": ""}
        assert body_of(run.url) == b"one"
    with no_descriptor_left(run):
        run.servers()[0].kill()
        run.wait_for("could not be started .*Too many open files.*; it is started again", times=6)
    run.wait_for("is up again after")
    assert body_of(run.url) == b"one"


@pytest.mark.attack(
    "The main process",
    "no descriptor is left when a client connects to the control socket, or when figures are sampled",
    "it is logged once; the run continues, and responds again when descriptors are free",
)
@needs_rlimit
def test_the_limit_of_descriptors_passes(running: runs.Start, tmp_path: Path) -> None:
    run, control = start(running, tmp_path, "-b", "waitress://127.0.0.1:0")
    with no_descriptor_left(run):
        waiting = control.connect()
        run.wait_for("Internal error; the run continues: OSError: .*Too many open files")
        cpu, began = psutil.Process(run.pid).cpu_times().user, time.monotonic()
        assert body_of(run.url) == b"one"
        while len(re.findall(r"GET / 200", run.log_so_far())) < 20:
            assert body_of(run.url) == b"one"
            time.sleep(0.1)
        cpu = psutil.Process(run.pid).cpu_times().user - cpu
        assert cpu < (time.monotonic() - began) / 2, "it does not spin"
    with waiting, waiting.makefile("rb") as answers:
        waiting.sendall(b'{"do": "status"}\n')
        assert json.loads(answers.readline())["ok"]
    assert body_of(run.url) == b"one"


@pytest.mark.attack(
    "The main process",
    "no descriptor is left in the process that forks the servers",
    "a server that exits is restarted until it comes up, and the reason is in the log",
)
@needs_rlimit
def test_a_loader_without_descriptors_goes_on(running: runs.Start, tmp_path: Path) -> None:
    run, _ = start(running, tmp_path, "-b", "waitress://127.0.0.1:0")
    [loader] = run.loaders()
    before = loader.rlimit(psutil.RLIMIT_NOFILE)
    loader.rlimit(psutil.RLIMIT_NOFILE, (3, before[1]))
    run.servers()[0].kill()
    run.wait_for("could not be started .*limit of open files.*; it is started again", times=2)
    loader.rlimit(psutil.RLIMIT_NOFILE, before)
    run.wait_for("is up again after")
    assert body_of(run.url) == b"one"
    assert run.loaders() == [loader]
    assert_no_error_until_its_end(run)


@pytest.mark.process
def test_a_python_that_is_gone_is_named_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "gone"))
    descriptors = psutil.Process().num_fds()
    with pytest.raises(SystemRefusal) as raised:
        interpreter.fresh()
    assert "No such file" in raised.value.problem
    assert "being rebuilt" in raised.value.remedy
    assert psutil.Process().num_fds() == descriptors


# -- output of apps -------------------------------------------------------------------------------

WRITES_EVERYWHERE = """
import fcntl, os

JUNK = [b"junk", b"junk\\n", b"\\n{}\\n", b'{"event": "exited"}\\n', b"\\x1eforged\\n", b"\\xff" * 400]

def scatter():
    for descriptor in range(3, 40):
        try:
            fcntl.fcntl(descriptor, fcntl.F_SETFL, fcntl.fcntl(descriptor, fcntl.F_GETFL) | os.O_NONBLOCK)
            for junk in JUNK:
                os.write(descriptor, junk)
        except OSError:
            continue
"""


@pytest.mark.attack(
    "The main process",
    "an app writes junk to every descriptor that it finds",
    "it is reported and skipped; messages and access lines between it get through",
)
def test_an_app_that_writes_to_every_descriptor_ends_nothing(running: runs.Start, tmp_path: Path) -> None:
    app = WRITES_EVERYWHERE + APP.replace("    start", "    scatter()\n    start")
    run, control = start(running, tmp_path, "-b", "waitress://127.0.0.1:0", "--log-format", "text", app=app)
    for _ in range(3):
        with contextlib.suppress(
            OSError, http.client.HTTPException
        ):  # the app has written into its client's connection
            body_of(run.url)
    run.wait_for("Internal error; the run continues: a message cannot be read")
    assert control.call(do="status")["ok"]
    assert control.call(do="restart")["ok"]
    assert run.terminate() == 0
    assert not [line for line in run.log().splitlines() if line.startswith("forged")]


@pytest.mark.attack(
    "The main process",
    "an app that writes junk to every descriptor while it is imported",
    "it is reported and skipped, and the app is served",
)
def test_an_app_that_writes_to_every_descriptor_at_import_is_served(
    running: runs.Start, tmp_path: Path
) -> None:
    app = WRITES_EVERYWHERE + "scatter()\n" + APP
    run, _ = start(running, tmp_path, "-b", "waitress://127.0.0.1:0", app=app)
    assert body_of(run.url) == b"one"
    run.wait_for("Internal error; the run continues: a message cannot be read")


# -- the log --------------------------------------------------------------------------------------

ECHO = """
import sys
from urllib.parse import unquote
def app(environ, start_response):
    print(unquote(environ["QUERY_STRING"]), flush=True)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"x"]
"""
FORGERY = "12:00:00 werkzeug :8000 10.0.0.1 GET /admin 200 1B 1.0ms x"


@pytest.mark.attack(
    "The log",
    "a client gets the app to print a whole access line, with the byte that marks one, escapes and line ends",
    "each line stays one line of the app's, with its source before it and control characters escaped",
)
def test_what_an_app_prints_is_no_access_line_and_no_escape(running: runs.Start, tmp_path: Path) -> None:
    run, control = start(running, tmp_path, "-b", "werkzeug://127.0.0.1:0", app=ECHO)
    port = run.url.rstrip("/").rpartition(":")[2]
    for before in ("", "%1e", "%1b[2J", "%0a", "%0d", "%e2%80%a8", "%e2%80%ae", "%c2%9b2J", "x%00", "%7f"):
        body_of(f"{run.url}?{before}{FORGERY.replace(' ', '%20')}%1b[0m")
    run.wait_for(r"^werkzeug \S+ \| .*12:00:00 werkzeug :8000 10\.0\.0\.1 GET /admin 200", times=10)
    log = run.log_file.read_bytes()
    assert not set(log) & {0x1B, 0x1E, 0x0D, 0x00, 0x7F}
    assert not [line for line in log.decode().splitlines() if line.startswith("12:00:00 werkzeug :8000")]
    lines = control.call(do="log", port=port)["lines"]
    assert [line for line in lines if "/admin 200" in line["text"] and not line["access"]]
    assert all("10.0.0.1 GET" not in line["text"].split("?")[0] for line in lines if line["access"])


@pytest.mark.attack(
    "The log",
    "a client gets the app to print something that is no JSON, into a log in JSON",
    "every line is an object in JSON",
)
def test_a_log_in_json_is_json_whatever_an_app_prints(running: runs.Start, tmp_path: Path) -> None:
    runtime = tmp_path / "run1" / "runtime"
    runtime.mkdir(parents=True, mode=0o700)
    run = running(
        "-b", "werkzeug://127.0.0.1:0", "--log-format", "json",
        app=ECHO, environment={"XDG_RUNTIME_DIR": str(runtime)}, wait=False,
    )  # fmt: skip
    [started] = run.wait_for(r'^\{.*"event": "Started".*$')
    [row] = json.loads(started)["rows"]
    for text in ("%1enot%20json", "%0a%7b", "%ff%fe", "%1e%7b%22status%22%3a200%7d", "x" * 9000):
        body_of(f"{row['urls'][0]}?{text}")
    assert run.terminate() == 0
    assert run.log().count('"status": 200, ') == 5
    for line in run.log().splitlines():
        entry = json.loads(line)
        assert "event" in entry or entry["client"] == "127.0.0.1"


def test_what_was_printed_before_an_answer_comes_before_its_access_line(
    running: runs.Start, tmp_path: Path
) -> None:
    run, _ = start(running, tmp_path, "-b", "waitress://127.0.0.1:0", app=ECHO)
    for number in range(50):
        body_of(f"{run.url}?number-{number}-")
    assert run.terminate() == 0
    log = run.log()
    for number in range(50):
        assert log.index(f"| number-{number}-") < log.index(f"?number-{number}- 200")


@pytest.mark.attack(
    "The log",
    "a path with line ends and escapes, of a view that fails",
    "the line that reports the failure has them escaped",
)
@pytest.mark.process
def test_the_path_of_a_failure_is_one_harmless_line() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FAILING],
        capture_output=True,
        timeout=SECONDS,
        check=True,
    )
    assert rb"failed on GET /item/a\n\x1e\x1b[31mforged line\u202e" in done.stderr
    assert b"\nforged" not in done.stderr
    assert not set(done.stderr) & {0x1B, 0x1E}


FAILING = r"""
from werkzeug.test import Client
from webdemo import App

app = App()


@app.get("/item/<name>")
def item(request, name):
    raise KeyError("x")


Client(app).get("/item/a%0A%1E%1B[31mforged%20line%E2%80%AE")
"""
