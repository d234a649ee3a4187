"""Swap, restart, stop, start and reload by the commands that a user types, under load where it matters."""

from __future__ import annotations

import json
import re
import signal
import socket
import time
from pathlib import Path

import pytest

from tests import raw_http
from tests import running as runs
from tests.free_ports import free_port
from tests.supervisor.test_overlaps import begin, until_replaced
from webdemo.supervisor.control_messages import ServiceStatus

APP = """
import os
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"%s" % environ["SERVER_SOFTWARE"].split("/")[0].lower().encode()]
"""
HTTP_SERVERS = ("werkzeug", "waitress", "gunicorn", "wsgiref", "cheroot", "gevent", "hypercorn")


def command(running: runs.Running, *arguments: str, code: int = 0) -> str:
    """Run `webdemo ARGUMENTS` for a running one, and return its output."""
    with begin(running, *arguments) as process:
        out, _ = process.communicate(timeout=90)
    assert process.returncode == code, out + running.log_so_far()
    return out


@pytest.fixture
def serving(running: runs.Start, tmp_path: Path) -> runs.Start:
    """Starts a webdemo with its own runtime folder, so that commands find only this one."""

    def start(*arguments: str, **options: object) -> runs.Running:
        folder = tmp_path / "run1"
        return running(*arguments, app=APP, environment={"XDG_RUNTIME_DIR": str(folder)}, **options)

    return start


def port_of(url: str) -> str:
    return url.rstrip("/").rpartition(":")[2]


def status(running: runs.Running) -> list[ServiceStatus]:
    """The services, without their figures, which change all the time."""
    return [service._replace(figures=None) for service in running.control.status().services]


@pytest.mark.deep
def test_swapping_through_every_server_loses_no_request(serving: runs.Start) -> None:
    running = serving("--no-access-log", "-b", "werkzeug://127.0.0.1:0")
    url = running.url
    with raw_http.Load([url], clients=4) as load:
        for server in (*HTTP_SERVERS[1:], "werkzeug"):
            load.wait_for(30)
            out = command(running, "swap", port_of(url), server)
            assert "swapped after" in out
            assert status(running)[0].server == server
        load.wait_for(30)
    assert load.outcomes["refused"] == 0, load.details
    assert load.outcomes["lost"] == 0, load.details
    assert {name.split(" ")[0] for name in load.answered_by} >= {
        "werkzeug",
        "waitress",
        "gunicorn",
        "cheroot",
    }


def test_restart_and_reload_under_load_lose_no_request(serving: runs.Start) -> None:
    running = serving(
        "--no-access-log", "-b", "waitress://127.0.0.1:0", "-b", "gunicorn://127.0.0.1:0?workers=2"
    )
    before = {pid for row in running.rows() for pid in row.pids}
    with raw_http.Load(running.urls, clients=4) as load:
        load.wait_for(30)
        assert "restarted after" in command(running, "restart")
        load.wait_for(30)
        assert "reloaded after" in command(running, "reload")
        load.wait_for(30)
        running.signal(signal.SIGHUP)
        running.wait_for("has the new code", times=4)
        load.wait_for(30)
    assert load.outcomes["refused"] == 0, load.details
    assert load.outcomes["lost"] == 0, load.details
    after = {process.pid for service in status(running) for process in service.processes}
    assert not before & after


def test_ps_shows_what_runs(serving: runs.Start) -> None:
    running = serving("-b", "waitress://127.0.0.1:0?workers=2", "-b", "werkzeug://127.0.0.1:0")
    running.signal(signal.SIGUSR1)  # rotates the log of other servers
    running.wait_for("SIGUSR1 does nothing here")
    out = command(running, "ps")
    header, waitress, werkzeug = out.splitlines()
    assert header.split()[:6] == ["WEBDEMO", "APP", "SERVER", "PORT", "STATE", "PROCESS"]
    assert str(running.pid) in waitress
    assert "served:app" in waitress
    assert waitress.count(" up ") == 1
    assert port_of(running.urls[1]) in werkzeug
    [run] = json.loads(command(running, "ps", "--json"))
    assert [service["server"] for service in run["services"]] == ["waitress", "werkzeug"]


def test_one_port_of_a_shared_process_can_be_swapped_alone(serving: runs.Start) -> None:
    running = serving("-b", "waitress://127.0.0.1:0", "-b", "waitress://127.0.0.1:0")
    [row] = running.rows()
    first, second = row.urls
    command(running, "swap", port_of(first), "gunicorn?threads=2")
    until_replaced(running)
    assert raw_http.get(first).text == "gunicorn"
    assert raw_http.get(second).text == "waitress"
    assert {s.server for s in status(running)} == {"gunicorn", "waitress"}


def test_one_port_at_two_addresses_is_served_at_both_and_named_with_its_address(serving: runs.Start) -> None:
    port = free_port()
    four, six = f"127.0.0.1:{port}", f"[::1]:{port}"
    running = serving("-b", f"waitress://{four}", "-b", f"werkzeug://{six}")
    assert [raw_http.get(f"http://{where}").text for where in (four, six)] == ["waitress", "werkzeug"]
    assert f"It has {four}, {six}." in command(running, "stop", str(port), code=2)
    command(running, "swap", six, "gunicorn")
    until_replaced(running)
    assert [raw_http.get(f"http://{where}").text for where in (four, six)] == ["waitress", "gunicorn"]


def test_a_stopped_port_is_closed_and_can_be_started_again(serving: runs.Start) -> None:
    running = serving("-b", "waitress://127.0.0.1:0", "-b", "waitress://127.0.0.1:0")
    first, second = running.urls
    command(running, "stop", port_of(first))
    with pytest.raises(ConnectionRefusedError):
        raw_http.get(first)
    assert raw_http.get(second).status == 200
    assert "is stopped already." in command(running, "stop", port_of(first), code=2)
    command(running, "start", port_of(first))
    assert raw_http.get(first).status == 200
    assert "is up already." in command(running, "start", port_of(first), code=2)


def test_stop_without_a_port_ends_it_with_exit_code_0(serving: runs.Start) -> None:
    running = serving("-b", "waitress://127.0.0.1:0")
    assert re.fullmatch(rf"webdemo {running.pid}: stopped after .*\n", command(running, "stop"))
    assert running.wait() == 0
    running.wait_until_gone()
    assert command(running, "ps") == "No webdemo of yours is running.\n"


WAITING = """
import os, time
def app(environ, start_response):
    print("begun", flush=True)
    while not os.path.exists("go"):
        time.sleep(0.01)
    start_response("200 OK", [])
    return [b"whole"]
"""


def test_the_first_signal_after_the_command_to_stop_cuts_nothing_off(
    running: runs.Start, tmp_path: Path
) -> None:
    run = running(
        *("-b", "waitress://127.0.0.1:0", "--grace", "1000"),
        app=WAITING,
        environment={"XDG_RUNTIME_DIR": str(tmp_path / "run1")},
    )
    with raw_http.Connection(run.url) as connection:
        connection.send_head("GET", "/")
        run.wait_for("begun")
        stopping = begin(run, "stop")
        run.wait_for("Stopping")
        time.sleep(0.6)  # two signals at once are one
        run.signal(signal.SIGTERM)
        assert stopping.poll() is None, "the command ends when the run has ended"
        (run.log_file.parent / "go").touch()
        assert connection.answer().text == "whole"
    out, _ = stopping.communicate(timeout=90)
    assert "stopped after" in out
    assert run.wait() == 0


REFUSED = {
    ("swap", "1", "gunicorn"): "Nothing of this webdemo listens on 1.",
    ("swap", "PORT", "guniorn"): "There is no server called 'guniorn'.",
    ("swap", "PORT", "gunicorn?worker=2"): "The server gunicorn has no option 'worker'.",
    ("swap", "PORT", "paste.waitress"): (
        "The server paste.waitress opens its port itself, so it cannot be swapped without a gap."
    ),
    ("restart", "1"): "Nothing of this webdemo listens on 1.",
    ("stop", "--pid", "1"): "No webdemo of yours has the pid 1.",
}


def test_commands_that_cannot_be_are_refused_and_change_nothing(serving: runs.Start) -> None:
    running = serving("-b", "waitress://127.0.0.1:0")
    port = port_of(running.url)
    before = status(running)
    for arguments, problem in REFUSED.items():
        out = command(running, *(port if a == "PORT" else a for a in arguments), code=2)
        assert out.splitlines()[0] == problem
    assert status(running) == before


def test_several_webdemos_are_told_apart(serving: runs.Start, running: runs.Start, tmp_path: Path) -> None:
    one = serving("-b", "waitress://127.0.0.1:0")
    other = runs.start(
        tmp_path / "other",
        "-b",
        "waitress://127.0.0.1:0",
        app=APP,
        environment={"XDG_RUNTIME_DIR": str(one.log_file.parent)},
    )
    try:
        assert len(command(one, "ps").splitlines()) == 3
        out = command(one, "reload", code=2)
        assert out.startswith("Several webdemos are running: ")
        command(one, "reload", "--pid", str(other.pid))
        other.wait_for("has the new code")
        command(one, "restart", port_of(one.url))
        one.wait_for("has been restarted")
    finally:
        other.clean_up()
    # The socket that it left behind is removed by the next command.
    assert len(command(one, "ps").splitlines()) == 2


def test_a_swap_to_a_server_that_dies_leaves_the_old_one(serving: runs.Start) -> None:
    running = serving("-b", "waitress://127.0.0.1:0")
    out = command(running, "swap", port_of(running.url), "gunicorn?worker_class=tornado", code=2)
    assert "did not come up" in out
    assert raw_http.get(running.url).text == "waitress"
    assert [s.server for s in status(running)] == ["waitress"]


def test_code_that_cannot_be_imported_leaves_the_old_code_serving(serving: runs.Start) -> None:
    running = serving("-b", "waitress://127.0.0.1:0", "-b", "gevent://127.0.0.1:0")
    source = running.log_file.parent / "served.py"
    source.write_text("import surely_not_there\n")
    out = command(running, "reload", code=2)
    assert "surely_not_there" in out
    running.wait_for("The old code keeps running")
    assert [raw_http.get(url).status for url in running.urls] == [200, 200]
    source.write_text(APP.replace(b"%s".decode(), "new %s"))
    command(running, "reload")
    deadline = time.monotonic() + 60
    while [raw_http.get(url).text.split()[0] for url in running.urls] != ["new", "new"]:
        assert time.monotonic() < deadline, "a process that drains may take one more connection, not so many"
        time.sleep(0.02)


def test_the_control_socket_is_its_users_alone(serving: runs.Start) -> None:
    running = serving("-b", "waitress://127.0.0.1:0")
    path = running.log_file.parent / "webdemo" / f"{running.pid}.sock"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_nonsense_on_the_control_socket_is_refused(serving: runs.Start) -> None:
    running = serving("-b", "waitress://127.0.0.1:0")
    path = running.log_file.parent / "webdemo" / f"{running.pid}.sock"
    for line in (b"nonsense", b"[1]", b'{"do": "dance"}', b"\xff\xfe"):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(30)
            sock.connect(str(path))
            sock.sendall(line + b"\n")
            assert json.loads(sock.makefile("rb").readline())["ok"] is False
    assert status(running)[0].state == "up"


@pytest.mark.parametrize("place", ["not/there", "x" * 120])
def test_without_a_place_for_the_control_socket_it_serves_all_the_same(
    place: str, running: runs.Start, tmp_path: Path
) -> None:
    folder = tmp_path / place
    if len(place) > 100:
        folder.mkdir()
    one = running("-b", "waitress://127.0.0.1:0", app=APP, environment={"XDG_RUNTIME_DIR": str(folder)})
    assert raw_http.get(one.url).status == 200
    one.wait_for("Commands such as `webdemo ps` do not reach this run\\.")
    assert one.terminate() == 0
