"""Operations that overlap, and things that hang, with real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests import raw_http
from tests import running as runs
from webdemo.errors import WebdemoError
from webdemo.supervisor.control_messages import Completed, ServiceStatus, Start, Stop

MAIN_SERVERS = ("werkzeug", "waitress", "gunicorn")
SAYS = """
{before}
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"{text}"]
"""
HANGS = "import time; time.sleep(600)"


def code(text: str, before: str = "") -> str:
    return SAYS.format(text=text, before=before)


def save(run: runs.Running, source: str) -> None:
    """Write the app as editors do: a new file in its place, so that no half is ever read."""
    folder = run.log_file.parent
    (folder / "new~").write_text(source)
    (folder / "new~").replace(folder / "served.py")


@pytest.fixture
def serving(running: runs.Start, tmp_path: Path) -> runs.Start:
    """Starts a webdemo with its own runtime folder, so that commands find only this one."""

    def start(*arguments: str, **options: object) -> runs.Running:
        options = {"app": code("one")} | options
        return running(*arguments, environment={"XDG_RUNTIME_DIR": str(tmp_path / "run1")}, **options)

    return start


def begin(run: runs.Running, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "webdemo", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"XDG_RUNTIME_DIR": str(run.log_file.parent)},
    )


def command(run: runs.Running, *arguments: str) -> tuple[int, str]:
    with begin(run, *arguments) as process:
        out, _ = process.communicate(timeout=90)
        return process.returncode, out


def port_of(run: runs.Running) -> str:
    return run.url.rstrip("/").rpartition(":")[2]


def services(run: runs.Running) -> tuple[ServiceStatus, ...]:
    return run.control.status().services


def until(condition: Callable[[], object], run: runs.Running) -> None:
    runs.wait_until(condition, run.log_so_far)


def until_replaced(run: runs.Running) -> None:
    """Wait until what a command has replaced has ended: before, it may take one more connection."""
    until(
        lambda: (
            {process.pid for process in run.servers()}
            == {process.pid for service in services(run) for process in service.processes}
        ),
        run,
    )


def serves(run: runs.Running, text: str) -> Callable[[], bool]:
    def answers() -> bool:
        try:
            return raw_http.get(run.url).text == text
        except (OSError, raw_http.Cut):
            return False

    return answers


@pytest.mark.parametrize("server", MAIN_SERVERS)
def test_a_swap_and_a_reload_at_once_end_in_one_release(server: str, serving: runs.Start) -> None:
    run = serving("-b", f"{server}://127.0.0.1:0")
    save(run, code("two"))
    with raw_http.Load([run.url], clients=2) as load:
        load.wait_for(20)
        both = [begin(run, "reload"), begin(run, "swap", port_of(run), "wsgiref")]
        for process in both:
            with process:
                out, _ = process.communicate(timeout=90)
                assert process.returncode == 0, out + run.log_so_far()
        load.wait_for(20)
    assert load.outcomes["refused"] == load.outcomes["lost"] == 0, load.details
    [service] = services(run)
    assert service.server == "wsgiref"
    assert len(service.processes) == 1
    until_replaced(run)
    assert {raw_http.get(run.url).text for _ in range(20)} == {"two"}


@pytest.mark.parametrize("server", MAIN_SERVERS)
def test_reloads_in_quick_succession_leave_one_process(server: str, serving: runs.Start) -> None:
    run = serving("-b", f"{server}://127.0.0.1:0", app=code("one", "import time; time.sleep(0.5)"))
    for _ in range(5):
        run.signal(signal.SIGHUP)
        time.sleep(0.2)
    save(run, code("last"))
    assert command(run, "reload")[0] == 0
    until_replaced(run)
    assert raw_http.get(run.url).text == "last"
    [service] = services(run)
    assert len(service.processes) == 1
    until(lambda: len(run.loaders()) == 1, run)


@pytest.mark.smoke
def test_a_fixed_file_is_served_though_its_earlier_import_hangs(serving: runs.Start) -> None:
    run = serving("-b", "werkzeug://127.0.0.1:0", "--reload")
    save(run, code("two", HANGS))
    run.wait_for("Changed")
    until(lambda: len(run.loaders()) == 2, run)
    save(run, code("three"))
    until(serves(run, "three"), run)


def test_a_first_import_that_hangs_is_replaced_by_a_fixed_file(serving: runs.Start) -> None:
    run = serving("-b", "werkzeug://127.0.0.1:0", "--reload", app=code("one", HANGS), wait=False)
    until(run.loaders, run)
    save(run, code("two"))
    run.wait_until_ready()
    assert raw_http.get(run.url).text == "two"


def test_ps_says_why_an_app_is_not_served(serving: runs.Start) -> None:
    run = serving("-b", "waitress://127.0.0.1:0", "--reload", app="raise ValueError('no key')", wait=False)
    run.wait_for("cannot be loaded")
    until(lambda: services(run)[0].state == "given up", run)
    assert "given up: The app 'served' cannot be loaded: ValueError: no key" in command(run, "ps")[1]
    save(run, code("two"))
    run.wait_for("Ready")
    assert services(run)[0].state == "up"


def test_an_import_that_never_ends_is_given_up_after_the_start_timeout(
    serving: runs.Start, tmp_path: Path
) -> None:
    settings = tmp_path / "run1" / "webdemo.toml"
    settings.parent.mkdir()
    settings.write_text("start-timeout = 100\n")
    run = serving("-b", "waitress://127.0.0.1:0")
    settings.write_text("start-timeout = 1\n")  # for the import that hangs only
    save(run, code("two", HANGS))
    exit_code, out = command(run, "reload")
    assert exit_code == 2
    assert out.splitlines() == [
        "The app cannot be loaded: the process that imports it did not load it within 1 s.",
        "The log may say more; --start-timeout SECONDS gives it more time.",
    ]
    assert raw_http.get(run.url).text == "one"
    until(lambda: len(run.loaders()) == 1, run)


def test_commands_and_a_stop_are_obeyed_while_an_import_hangs(serving: runs.Start) -> None:
    run = serving("-b", "werkzeug://127.0.0.1:0", "-b", "waitress://127.0.0.1:0")
    save(run, code("two", HANGS))
    run.signal(signal.SIGHUP)
    until(lambda: len(run.loaders()) == 2, run)
    for what in ("restart", "swap"):
        exit_code, out = command(run, what, port_of(run), *(["gunicorn"] if what == "swap" else []))
        assert exit_code == 0, out
    changes = run.control.status().changes
    assert [(change.what, change.waits_for) for change in changes] == [("reload", "the app to be loaded")]
    assert command(run, "ps")[1].splitlines()[-1].endswith("waits for the app to be loaded")
    assert raw_http.get(run.url).text == "one"
    assert run.terminate() == 0


def test_a_start_that_fails_leaves_the_port_closed(serving: runs.Start) -> None:
    run = serving("-b", "gevent://127.0.0.1:0", "-b", "werkzeug://127.0.0.1:0")
    port = port_of(run)
    assert command(run, "stop", port)[0] == 0
    save(run, "def app(:")
    exit_code, out = command(run, "start", port)
    assert exit_code == 2
    assert "SyntaxError" in out
    with pytest.raises(ConnectionRefusedError):
        raw_http.get(run.url)
    assert [service.state for service in services(run)] == ["stopped", "up"]
    save(run, code("two"))
    assert command(run, "start", port)[0] == 0
    until_replaced(run)
    assert raw_http.get(run.url).text == "two"


@pytest.mark.parametrize("server", ["werkzeug", "waitress?workers=2", "gunicorn"])
def test_a_view_that_kills_its_process_never_closes_the_port(server: str, serving: runs.Start) -> None:
    crashes = """
import os
def app(environ, start_response):
    if environ["PATH_INFO"] == "/crash":
        os.kill(os.getpid(), 9)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"fine"]
"""
    name, _, query = server.partition("?")
    run = serving("-b", f"{name}://127.0.0.1:0?{query}".rstrip("?"), app=crashes)
    for _ in range(8):
        until(serves(run, "fine"), run)
        with pytest.raises((OSError, raw_http.Cut)):
            raw_http.get(run.url, "/crash")
    until(serves(run, "fine"), run)
    assert run.terminate() == 0
    assert "given up" not in run.log()


@pytest.mark.parametrize("server", MAIN_SERVERS)
def test_a_stopped_loader_holds_up_neither_a_kill_nor_the_end(server: str, serving: runs.Start) -> None:
    run = serving("-b", f"{server}://127.0.0.1:0")
    loaders = run.loaders()
    for loader in loaders:
        loader.suspend()
    assert run.terminate() == 0
    assert not any(map(runs.lives, loaders))


@pytest.mark.parametrize("server", MAIN_SERVERS)
def test_a_loader_killed_before_it_forks_leaves_no_process_to_wait_for(
    server: str, serving: runs.Start
) -> None:
    run = serving("-b", f"{server}://127.0.0.1:0")
    [loader] = run.loaders()
    loader.suspend()
    with begin(run, "restart") as restart:
        until(lambda: services(run)[0].other_processes, run)
        loader.kill()
        out, _ = restart.communicate(timeout=90)
        assert restart.returncode == 2
        assert "did not come up: it ended" in out
    run.wait_for("has the new code")
    until(lambda: not services(run)[0].other_processes, run)
    assert run.terminate() == 0


def test_a_stopped_main_process_is_named_by_each_command(serving: runs.Start) -> None:
    run = serving("-b", "waitress://127.0.0.1:0")
    run.signal(signal.SIGSTOP)
    try:
        with begin(run, "ps") as ps, begin(run, "reload") as reload:
            told = [process.communicate(timeout=90)[0] for process in (ps, reload)]
    finally:
        run.signal(signal.SIGCONT)
    pid = run.pid
    expected = (
        f"The webdemo with process {pid} does not answer: the process is stopped.\n"
        f"Continue it: kill -CONT {pid}\n"
    )
    assert told == [expected, expected]
    assert (ps.returncode, reload.returncode) == (1, 1)
    until(serves(run, "one"), run)


def test_two_signals_end_it_at_once_while_an_import_hangs(serving: runs.Start) -> None:
    run = serving("-b", "werkzeug://127.0.0.1:0")
    save(run, code("two", HANGS))
    run.signal(signal.SIGHUP)
    until(lambda: len(run.loaders()) == 2, run)
    run.signal(signal.SIGINT)
    assert run.wait() == 0


def test_a_killed_loader_is_replaced_without_a_lost_request(serving: runs.Start) -> None:
    run = serving("-b", "waitress://127.0.0.1:0", "-b", "gunicorn://127.0.0.1:0", "--no-access-log")
    [loader] = run.loaders()
    with raw_http.Load(run.urls, clients=4) as load:
        load.wait_for(20)
        loader.kill()
        run.wait_for("has the new code", times=2)
        load.wait_for(20)
    assert load.outcomes["refused"] == load.outcomes["lost"] == 0, load.details
    [replaced] = run.loaders()
    assert replaced != loader


def test_a_start_while_a_stop_is_under_way_opens_the_port_again(serving: runs.Start) -> None:
    run = serving("-b", "waitress://127.0.0.1:0")
    port = port_of(run)
    refused: list[str] = []

    def stop() -> None:
        try:
            run.control.call(Stop(port), Completed)
        except WebdemoError as error:
            refused.append(error.problem)

    for _ in range(5):
        stopping = threading.Thread(target=stop)
        stopping.start()
        until(lambda: services(run)[0].state == "stopped", run)
        # It raised that the port was in use, by the process that drained.
        run.control.call(Start(port), Completed)
        stopping.join(60)
        assert raw_http.get(run.url).text == "one"
    assert [text for text in refused if "replaced by a later command, start" not in text] == []


def test_every_command_of_many_at_once_is_answered(serving: runs.Start) -> None:
    run = serving("-b", "waitress://127.0.0.1:0", "-b", "werkzeug://127.0.0.1:0")
    ports = [url.rstrip("/").rpartition(":")[2] for url in run.urls]
    wishes = [
        ["reload"],
        ["restart"],
        *(["swap", ports[0], name] for name in MAIN_SERVERS),
        ["restart", ports[1]],
    ]
    answered: list[tuple[int, str]] = []
    threads = [threading.Thread(target=lambda w=wish: answered.append(command(run, *w))) for wish in wishes]
    for thread in threads:
        thread.start()
        time.sleep(0.05)
    for thread in threads:
        thread.join(120)
    assert len(answered) == len(wishes)
    assert all(exit_code == 0 or "replaced by a later command" in out for exit_code, out in answered), (
        answered
    )
    assert all(len(service.processes) == 1 for service in services(run))
    until_replaced(run)
    for url in run.urls:
        assert raw_http.get(url).text == "one"
    assert psutil.pid_exists(run.pid)
