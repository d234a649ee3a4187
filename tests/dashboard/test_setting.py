"""The setting `dashboard` as a flag, in the environment and in a file."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from tests import running as runs
from tests.dashboard.conftest import APP
from webdemo.config.binds import dashboard_bind
from webdemo.config.settings import DASHBOARD_PORT
from webdemo.config.sources import SETTINGS_FILE, resolve_settings
from webdemo.errors import UsageError


def bind_of(
    folder: Path, flags: dict[str, Any] | None = None, environment: dict[str, str] | None = None
) -> Any:
    return dashboard_bind(resolve_settings(flags or {}, environment or {}, folder))


def test_without_the_setting_there_is_none(tmp_path: Path) -> None:
    assert bind_of(tmp_path) is None


@pytest.mark.parametrize(("text", "port"), [("auto", DASHBOARD_PORT), ("9001", 9001), ("0", 0)])
def test_it_stands_on_a_port_of_its_own(tmp_path: Path, text: str, port: int) -> None:
    assert bind_of(tmp_path, {"dashboard": text}).port == port
    assert bind_of(tmp_path, environment={"WEBDEMO_DASHBOARD": text}).port == port


@pytest.mark.parametrize(
    ("value", "port"),
    [("true", DASHBOARD_PORT), ("9001", 9001), ('"9001"', 9001), ("false", None), ('"auto"', 9000)],
)
def test_a_file_may_say_so_too(tmp_path: Path, value: str, port: int | None) -> None:
    (tmp_path / SETTINGS_FILE).write_text(f"dashboard = {value}\n")
    bind = bind_of(tmp_path)
    assert (bind.port if bind else None) == port


def test_it_stays_on_loopback_wherever_the_servers_listen(tmp_path: Path) -> None:
    assert bind_of(tmp_path, {"dashboard": "auto", "host": "*"}, {"PORT": "80"}).host is None


@pytest.mark.parametrize("text", ["70000", "-1", "here", "9000-9001", "9000,9001"])
def test_what_is_no_port_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError):
        bind_of(tmp_path, {"dashboard": text})


def test_a_list_of_ports_in_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / SETTINGS_FILE).write_text("dashboard = [9000]\n")
    with pytest.raises(UsageError):
        bind_of(tmp_path)


def test_a_port_of_its_own_that_is_taken_is_an_error(running: runs.Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        run = running("-b", "waitress://127.0.0.1:0", "--dashboard", str(port), app=APP, wait=False)
        assert run.wait() == 69
    assert f"Port {port} is already in use" in run.log()


def test_its_row_is_not_in_the_start_table_and_its_url_is_printed(running: runs.Start) -> None:
    run = running("-b", "gunicorn://127.0.0.1:0", "--dashboard", "0", app=APP)
    run.wait_for(r"^Dashboard: http://127\.0\.0\.1:\d+/#key=[\w-]{20,}$")
    assert [row.server for row in run.rows()] == ["gunicorn"]


def test_it_goes_with_the_run(running: runs.Start) -> None:
    run = running("-b", "waitress://127.0.0.1:0", "--dashboard", "0", app=APP)
    run.wait_for("^Dashboard: ")
    assert run.terminate() == 0
    run.wait_until_gone()


def test_it_outlives_a_reload_and_a_swap_of_its_own_server(running: runs.Start, tmp_path: Path) -> None:
    import re

    from tests import raw_http
    from webdemo.supervisor.control import Instance
    from webdemo.supervisor.control_messages import Completed, Reload, Swap

    run = running(
        "-b",
        "waitress://127.0.0.1:0",
        "--dashboard",
        "0",
        app=APP,
        environment={"XDG_RUNTIME_DIR": str(tmp_path)},
    )
    [line] = run.wait_for(r"^Dashboard: \S+")
    found = re.search(r"(http://[^/]*:(\d+))/#key=(\S+)", line)
    assert found
    control = Instance(run.pid, tmp_path / "webdemo" / f"{run.pid}.sock")
    for command in (Reload(), Swap(found[2], "gunicorn")):
        control.call(command, Completed)
        answer = raw_http.get(found[1], "/live", headers=[("X-Webdemo-Key", found[3])])
        assert answer.status == 200
        assert 'value="kill"' in answer.text
    assert "1 server, one app" in answer.text
