"""Load on real servers: by wrk and by our own client, with slow clients, and over a server's lifecycle."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from tests.free_ports import free_port
from tests.running import Running, Start, lives
from webdemo.client.endpoint import Endpoint
from webdemo.client.http11 import KeepAliveClient
from webdemo.compare import processes
from webdemo.compare.results import Speed
from webdemo.compare.runner import Run, choose, running
from webdemo.compare.speed import load as load_module
from webdemo.compare.speed.cases import CASES
from webdemo.compare.speed.lifecycle import run_cycle
from webdemo.compare.speed.load import Generator, Load, read
from webdemo.compare.speed.rounds import limit, measure
from webdemo.compare.speed.slow_clients import slow_clients
from webdemo.errors import WebdemoError
from webdemo.worker.app_import import Target

APP = """
def app(environ, start_response):
    status = "404 Not Found" if environ["PATH_INFO"] == "/nowhere" else "200 OK"
    start_response(status, [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"hello"]
"""
WRK = shutil.which("wrk")
Step = tuple[str, int, int]
GENERATORS = [
    pytest.param(WRK, id="wrk", marks=pytest.mark.skipif(WRK is None, reason="wrk is not installed")),
    pytest.param(None, id="own client"),
]


@pytest.fixture
def served(running: Start) -> Running:
    return running("-b", "waitress://127.0.0.1:0", app=APP)


def answered_load(wrk: str | None, port: int, path: str) -> Load:
    """A short load; a longer one if a busy machine left it no time for a response."""
    for seconds in (0.4, 1.6, 6.4, 25.6):
        load = Generator(wrk).run(port, path, connections=4, seconds=seconds)
        if load.requests and load.seconds > 0.2:
            break
    return load


def port_of(run: Running) -> int:
    return int(run.url.rstrip("/").rpartition(":")[2])


@pytest.fixture
def app_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Target:
    (tmp_path / "measured.py").write_text(APP)
    monkeypatch.chdir(tmp_path)
    return Target(app="measured:app")


def test_the_figures_of_a_generator_are_in_its_last_line() -> None:
    load = read(
        'Running 1m test @ http://127.0.0.1:18999/\n\n{"requests": 5761, "seconds": 1.1, "p50_ms": 0.98, '
        '"p90_ms": 3.76, "p99_ms": 1150, "failed_connections": 7, "error_responses": 10, '
        '"received_bytes": 1100}\n',
        0.5,
    )
    assert (load.requests, load.p99_ms, load.errors, load.client_cpu_seconds) == (5761, 1150, 17, 0.5)
    assert load.per_second == pytest.approx(5237.3, abs=0.1)
    assert load.bytes_per_second == pytest.approx(1000)


@pytest.mark.parametrize("output", ["Killed\nby someone", "Killed\n[1]", "Killed\n{}"])
def test_a_generator_that_says_something_else_is_an_error(output: str) -> None:
    with pytest.raises(WebdemoError, match="Killed"):
        read(output, 0.0)


@pytest.mark.process
@pytest.mark.parametrize("wrk", GENERATORS)
def test_a_server_that_is_gone_is_an_error_and_not_the_end(wrk: str | None) -> None:
    load = Generator(wrk).run(free_port(), "/", connections=1, seconds=0.1)
    assert load.requests == 0
    assert load.errors > 0


@pytest.mark.parametrize(
    ("client", "server", "verdict"),
    [(0.2, 0.97, "server"), (0.95, 0.3, "client"), (0.95, 0.97, "client"), (0.4, 0.4, "unknown")],
)
def test_the_side_without_processor_time_left_is_the_limit(
    client: float, server: float, verdict: str
) -> None:
    assert limit(client, server) == verdict


@pytest.mark.parametrize("wrk", GENERATORS)
def test_load_is_counted_and_ends_in_time(served: Running, wrk: str | None) -> None:
    load = answered_load(wrk, port_of(served), "/")
    assert load.requests > 0
    assert load.errors == 0
    assert load.seconds > 0.2
    assert (load.received_bytes > 5 * load.requests) == (wrk is not None)
    assert 0 < load.p50_ms <= load.p90_ms <= load.p99_ms
    assert load.client_cpu_seconds > 0


@pytest.mark.parametrize("wrk", GENERATORS)
def test_error_answers_are_counted(served: Running, wrk: str | None) -> None:
    assert answered_load(wrk, port_of(served), "/nowhere").errors > 0


@pytest.mark.process
@pytest.mark.parametrize("wrk", GENERATORS)
def test_a_server_that_never_answers_gives_no_figures_and_no_hang(wrk: str | None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        load = Generator(wrk).run(silent.getsockname()[1], "/", connections=2, seconds=0.3)
    assert (load.requests, load.p99_ms) == (0, 0.0)


@contextmanager
def full_queue() -> Iterator[tuple[socket.socket, list[socket.socket]]]:
    """A server that accepts no further connection, and the clients that fill its queue."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server, ExitStack() as stack:
        clients = [stack.enter_context(socket.socket()) for _ in range(4)]
        for client in clients:
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        yield server, clients


@pytest.mark.process
@pytest.mark.parametrize("wrk", GENERATORS)
def test_a_server_that_accepts_no_connection_is_a_result_and_not_the_end(
    wrk: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load_module, "_END_SECONDS", 1.0)
    with full_queue() as (server, _):
        load = Generator(wrk).run(server.getsockname()[1], "/", connections=1, seconds=0.1)
    assert load.requests == 0


@pytest.mark.process
@pytest.mark.skipif(WRK is None, reason="wrk is not installed")
def test_an_interrupt_that_wrk_ignored_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    ignored = threading.Event()

    class Observed(subprocess.Popen[str]):
        interrupts = 0

        def send_signal(self, sig: int) -> None:
            super().send_signal(sig)
            self.interrupts += sig == signal.SIGINT
            if self.interrupts == 2:
                ignored.set()

    def accept() -> None:
        ignored.wait(60)  # wrk connects then
        with suppress(OSError):
            while True:
                accepted.append(server.accept()[0])

    monkeypatch.setattr(subprocess, "Popen", Observed)
    accepted: list[socket.socket] = []
    with full_queue() as (server, _):
        accepting = threading.Thread(target=accept)
        accepting.start()
        load = Generator(WRK).run(server.getsockname()[1], "/", connections=1, seconds=0.1)
        was_ignored = ignored.is_set()
        ignored.set()
        server.shutdown(socket.SHUT_RDWR)
        accepting.join()
    for connection in accepted:
        connection.close()
    assert was_ignored
    assert (load.requests, load.errors) == (0, 0), "an interrupt ended it after it had connected"


def test_slow_clients_occupy_a_server_only_meanwhile(running: Start) -> None:
    run = running("-b", "gunicorn://127.0.0.1:0?threads=1", app=APP)
    port = port_of(run)
    with slow_clients(port, 5) as count:
        assert count == 5
        with pytest.raises(TimeoutError):
            KeepAliveClient(Endpoint.of_port(port), "/", 0.5).get()
    client = KeepAliveClient(Endpoint.of_port(port), "/", 30)
    assert client.get() == 200
    client.close()


def test_processor_time_and_memory_of_a_server_are_known(served: Running) -> None:
    [server] = served.servers()
    pids = processes.with_descendants([server.pid])
    before = processes.cpu_seconds(pids)
    Generator(None).run(port_of(served), "/", connections=2, seconds=0.3)
    assert processes.cpu_seconds(pids) > before
    assert 1e6 < processes.memory_bytes(pids) < 1e9


def test_processes_that_have_ended_use_nothing() -> None:
    assert processes.cpu_seconds([2**22 + 1]) == 0
    assert processes.memory_bytes([2**22 + 1]) == 0
    assert processes.with_descendants([2**22 + 1]) == []


def measured(runs: Sequence[Run], target: Target, seconds_per_round: float) -> tuple[Speed, list[Step]]:
    """Two rounds, and the steps that were reported meanwhile."""
    steps: list[Step] = []
    speed = measure(
        runs, target, lambda *step: steps.append(step), seconds_per_round=seconds_per_round, rounds=2
    )
    return speed, steps


@pytest.mark.process
def test_every_server_is_measured_in_every_case(app_folder: Target) -> None:
    choices = choose(["waitress", "wsgiref"])
    with running(choices, app_folder) as runs:
        for seconds in (0.1, 0.8, 6.4):  # longer, if a busy machine left no time for a response
            speed, steps = measured(runs, app_folder, seconds)
            if all(m.requests_per_second.low > 0 for m in speed.measurements if m.case == "steady"):
                break
    assert {(m.server, m.case, m.connections) for m in speed.measurements} == {
        (choice.label, case.name, case.connections) for choice in choices for case in CASES
    }
    for m in speed.measurements:
        assert m.requests_per_second.rounds == 2
        if m.case == "steady":
            assert m.requests_per_second.low > 0
            assert m.p50_ms.value > 0
            assert m.cpu_us_per_request is not None
            assert m.memory_bytes is not None
    assert speed.ratios == (), "two rounds tell nothing"
    assert [one.server for one in speed.lifecycles] == ["waitress", "wsgiref"]
    assert {total for _, _, total in steps} == {len(steps)}


@pytest.mark.process
def test_an_error_page_is_not_measured_in_silence(app_folder: Target) -> None:
    with running(choose(["waitress"]), app_folder) as runs:
        speed = measure(runs, app_folder, lambda *_: None, path="/nowhere", seconds_per_round=0.05, rounds=6)
    assert "/nowhere responds with status 404: the figures are those of an error." in speed.notes
    assert speed.ratios == ()  # six rounds would be enough for one, if there were another server


@pytest.mark.process
def test_a_server_that_does_not_respond_is_not_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ending.py").write_text("import os\ndef app(environ, start_response): os._exit(3)\n")
    monkeypatch.chdir(tmp_path)
    target = Target(app="ending:app")
    with running(choose(["waitress"]), target) as runs:
        speed = measure(runs, target, lambda *_: None, seconds_per_round=0.05, rounds=1)
    assert (speed.measurements, speed.ratios, speed.lifecycles) == ((), (), ())
    assert "waitress did not respond to a request for /: its speed was not measured." in speed.notes


@pytest.mark.process
def test_a_cycle_is_timed_from_start_to_stop(app_folder: Target) -> None:
    [choice] = choose(["waitress"])
    cycle = run_cycle(choice, app_folder, "/")
    assert cycle.start_seconds is not None
    assert cycle.start_seconds > 0
    assert cycle.back_seconds is not None
    assert cycle.back_seconds > 0
    assert cycle.stop_seconds is not None
    assert cycle.stop_seconds > 0
    assert cycle.lost is not None


@pytest.mark.process
def test_a_server_that_does_not_start_has_no_cycle(app_folder: Target) -> None:
    [choice] = choose(["waitress"])
    assert run_cycle(choice, Target(app="no_such_module:app"), "/").start_seconds is None


@pytest.mark.process
def test_interrupting_a_measurement_leaves_nothing_behind(
    tmp_path: Path, app_folder: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    command = [sys.executable, "-m", "webdemo", "compare", "--app", app_folder.app, "-s", "waitress"]
    comparison = subprocess.Popen([*command, "--only", "speed", "--duration", "5"])
    try:
        deadline = time.monotonic() + 60
        seen: set[psutil.Process] = set()
        while not any({WRK, "webdemo.compare.speed.load_client"} & set(cmdline(p)) for p in seen):
            assert time.monotonic() < deadline
            assert comparison.poll() is None
            seen |= set(psutil.Process(comparison.pid).children(recursive=True))
            time.sleep(0.02)
        comparison.send_signal(signal.SIGINT)
        assert comparison.wait(60) == 130
        deadline = time.monotonic() + 60
        while left := [p for p in seen if lives(p)]:
            assert time.monotonic() < deadline, left
            time.sleep(0.05)
        assert not (tmp_path / "webdemo").exists()
    finally:
        comparison.terminate()
        comparison.wait(60)


def cmdline(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.NoSuchProcess:
        return []
