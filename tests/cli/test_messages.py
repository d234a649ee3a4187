"""Error messages: the cause, the remedy, no traceback, and the right exit code."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

pytestmark = pytest.mark.process

SECONDS = 60.0


def webdemo(
    *arguments: str, folder: Path, environment: Mapping[str, str] | None = None, user: int | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a webdemo that is expected to exit on its own."""
    return subprocess.run(
        [sys.executable, "-m", "webdemo", *arguments],
        cwd=folder,
        env={k: v for k, v in os.environ.items() if k != "PORT"} | dict(environment or {}),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        stdin=subprocess.DEVNULL,
        user=user,
        check=False,
    )


REFUSED = {
    ("--port", "70000"): (
        2,
        "--port: Port 70000 does not exist: the highest is 65535.",
        "Choose one from 0 to 65535, such as 8000.",
    ),
    ("--port", "http"): (2, "--port: “http” is not a port number.", "Write digits: 8000."),
    ("--prt", "8000"): (
        2,
        "No such option '--prt'. (Did you mean one of: '--app', '--port', '--spa'?)",
        "See: python -m webdemo --help",
    ),
    ("--server", "wairtess"): (2, "There is no server called 'wairtess'.", "Did you mean waitress?"),
    ("--port", "0", "--app", "nothing:app"): (
        1,
        "There is no module 'nothing' for the app 'nothing:app'.",
        None,
    ),
    ("--port", "0", "--directory", "nowhere"): (2, None, None),
    ("--port", "0", "--grace", "0"): (2, "grace cannot be 0 s.", "Choose from 0.1 to 3600 seconds."),
    ("swp",): (2, "There is no command 'swp'.", "Did you mean swap?"),
    ("site:app",): (2, "There is no command 'site:app'.", "To serve an app: webdemo --app site:app"),
    ("-b", ":8000", "-b", "127.0.0.1:8000"): (
        2,
        ":8000 and 127.0.0.1:8000 ask for the same port.",
        "Leave one of them out, or give it another port.",
    ),
    ("swap", "8000", "gunicorn"): (1, None, None),
    ("port", "8000", "--stop", "--free"): (
        2,
        "--free takes no ports and no --stop.",
        "Use: webdemo port --free",
    ),
    ("--trusted-proxies", "10.0.0.0/99"): (
        2,
        "A trusted proxy is an address or a network: "
        "'10.0.0.0/99' does not appear to be an IPv4 or IPv6 network.",
        "For example 127.0.0.1,10.0.0.0/8 (or unix for a Unix socket, * for all).",
    ),
    ("--metrics", "--metrics-networks", "office"): (
        2,
        "A network that may read /metrics is an address or a network: "
        "'office' does not appear to be an IPv4 or IPv6 network.",
        "For example 127.0.0.1,10.0.0.0/8 (or unix for a Unix socket, * for all).",
    ),
    ("export",): (
        2,
        "Missing argument 'FORMAT'. Choose from: systemd, haproxy, nginx, container, kubernetes",
        "See: python -m webdemo export --help",
    ),
    ("assets",): (2, "Missing command.", "See: python -m webdemo assets --help"),
    ("compress", ""): (2, "The argument after compress is empty.", "Give it a value, or leave it out."),
    ("--port", "0", "--directory", " "): (
        2,
        "The argument after --directory is empty.",
        "Give it a value, or leave it out.",
    ),
    ("compress", "nowhere"): (2, "The folder nowhere does not exist.", "Make it, or name one that exists."),
}


@pytest.mark.parametrize("arguments", REFUSED, ids=" ".join)
def test_what_cannot_be_is_told_on_two_lines(arguments: tuple[str, ...], tmp_path: Path) -> None:
    code, problem, remedy = REFUSED[arguments]
    if arguments[0] == "swap":
        code, problem, remedy = 2, "No webdemo of yours is running.", "Start one: python -m webdemo"
    done = webdemo(*arguments, folder=tmp_path, environment={"XDG_RUNTIME_DIR": str(tmp_path)})
    lines = [
        line
        for line in (done.stdout + done.stderr).splitlines()
        if not line.startswith(("Stopping (", "Stopped after"))
    ]
    assert "Traceback" not in done.stdout + done.stderr
    assert "requests in flight" not in done.stdout, "nothing was served"
    assert done.returncode == code, lines
    assert len(lines) == 2, lines
    if problem is not None:
        assert lines[0] == problem
    if remedy is not None:
        assert lines[1] == remedy


def test_a_port_that_is_taken_names_the_holder_and_a_free_port(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        done = webdemo("--port", str(port), folder=tmp_path)
    problem, remedy = done.stderr.splitlines()
    assert done.returncode == 69
    assert problem.startswith(f"Port {port} is already in use by ")
    assert f"(pid {os.getpid()}" in problem
    assert "started " in problem
    free = re.search(r"use (\d+), which is free", remedy)
    assert free, remedy
    assert int(free[1]) != port


def test_a_port_without_permission_is_told_with_its_own_exit_code(tmp_path: Path) -> None:
    lowest = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    if lowest == 0:
        pytest.skip("this machine lets everybody have every port")
    # Root without the capability is restricted like any other user.
    without = ["setpriv", "--bounding-set=-net_bind_service", "--inh-caps=-net_bind_service"]
    done = subprocess.run(
        [*(without if os.getuid() == 0 else []), sys.executable, "-m", "webdemo", "--port", "80"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    problem, remedy = done.stderr.splitlines()
    assert done.returncode == 77
    assert problem == f"Port 80 needs privileges: this user may listen on {lowest} and above."
    assert remedy


def test_an_app_whose_import_fails_shows_its_own_frames_only(tmp_path: Path) -> None:
    (tmp_path / "site_.py").write_text("import helper_\n")
    (tmp_path / "helper_.py").write_text("def start():\n    return 1 / 0\n\nstart()\n")
    done = webdemo("--port", "0", "--app", "site_:app", folder=tmp_path)
    assert done.returncode == 1
    assert "helper_.py" in done.stdout
    assert "ZeroDivisionError: division by zero" in done.stdout
    assert "webdemo/worker" not in done.stdout


def test_a_module_that_the_app_needs_is_told_from_the_app_itself(tmp_path: Path) -> None:
    (tmp_path / "site_.py").write_text("import surely_not_there\n")
    done = webdemo("--port", "0", "--app", "site_:app", folder=tmp_path)
    assert done.returncode == 1
    assert "surely_not_there" in done.stdout
    assert "There is no module 'site_'" not in done.stdout


def test_a_settings_file_with_a_typing_error_is_refused(tmp_path: Path) -> None:
    (tmp_path / "webdemo.toml").write_text("prt = 8000\n")
    done = webdemo(folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "webdemo.toml has a setting that is not known: prt.",
        "Did you mean port?",
    ]


def test_the_version_names_every_server_that_is_installed(tmp_path: Path) -> None:
    done = webdemo("--version", folder=tmp_path)
    lines = done.stdout.splitlines()
    assert lines[0].startswith("webdemo ")
    assert f"Python {sys.version_info.major}.{sys.version_info.minor}" in lines[0]
    assert {line.split()[0] for line in lines[1:]} >= {"werkzeug", "waitress", "gunicorn"}


def test_the_help_gives_examples_and_exit_codes(tmp_path: Path) -> None:
    done = webdemo("--help", folder=tmp_path)
    assert done.returncode == 0
    for words in ("Examples:", "--bind", "Exit codes:", "swap", "python -m webdemo --port 8000"):
        assert words in done.stdout


@pytest.mark.parametrize(
    "command",
    ["compress", "config", "port", "ps", "reload", "restart", "servers", "start", "stop", "swap", "trace"],
)
def test_every_command_has_help(command: str, tmp_path: Path) -> None:
    done = webdemo(command, "--help", folder=tmp_path)
    assert done.returncode == 0
    assert f"webdemo {command}" in done.stdout


def test_output_may_be_cut_off_by_its_reader(tmp_path: Path) -> None:
    done = subprocess.run(
        f"{sys.executable} -m webdemo servers | head -n 1",
        shell=True,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout.startswith("SERVER")


def test_a_deleted_current_folder_is_two_lines(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    script = 'rmdir "$PWD" && exec "$0" -P -m webdemo --app site:app --port 0'
    done = subprocess.run(
        ["sh", "-c", script, sys.executable], cwd=folder, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "The current folder has been deleted.",
        "Change to one that exists, and start there.",
    ]


@pytest.mark.parametrize("descriptors", [8, 14])
def test_a_start_without_descriptors_is_two_lines(descriptors: int, tmp_path: Path) -> None:
    command = f"ulimit -n {descriptors}; exec {sys.executable} -m webdemo --port 0"
    done = subprocess.run(
        ["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert (done.returncode, done.stderr) == (
        1,
        "The command cannot be carried out: Too many open files.\n"
        "Raise the limit of open files (ulimit -n), and try again.\n",
    )
