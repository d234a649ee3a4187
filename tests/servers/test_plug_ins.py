"""Servers that webdemo does not ship: by entry point, by Paste's entry points, and missing ones.

The plug-in `tiny` is the example of docs/servers.md, run as printed there. The others lack something.
"""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.raw_http import Connection, get
from tests.running import Running, Start
from tests.servers.kinds import SOFTWARE
from webdemo.servers import registry

PACKAGE = Path(__file__).parents[1] / "plugin_package"
DOCS = Path(__file__).parents[2] / "docs" / "servers.md"


def printed(language: str) -> str:
    """The first block of code in this language below the heading about plug-ins."""
    section = DOCS.read_text().partition("## Add a server in one small file")[2]
    block = re.search(rf"```{language}\n(.*?)```", section, re.S)
    assert block
    return block[1]


@pytest.fixture(scope="module")
def plugged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment in which tests/plugin_package is installed, with the example of the docs in it."""
    folder = tmp_path_factory.mktemp("package")
    target = tmp_path_factory.mktemp("installed")
    shutil.copytree(PACKAGE, folder, dirs_exist_ok=True)
    (folder / "tiny_server.py").write_text(printed("python"))
    heading, _, entry_point = printed("toml").partition("\n")
    project = (folder / "pyproject.toml").read_text()
    assert heading in project
    (folder / "pyproject.toml").write_text(project + entry_point)
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index",
         "--disable-pip-version-check", "--target", str(target), str(folder)],
        check=True, timeout=100, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return {"PYTHONPATH": os.pathsep.join(filter(None, [str(target), os.environ.get("PYTHONPATH")]))}


def refused(run: Running) -> list[str]:
    """The output of a webdemo that refused its arguments."""
    assert run.wait() == 2
    return run.log().splitlines()


def test_a_plug_in_is_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The supervisor asks for a service's adapter whenever something happens."""
    adapter = registry.find("smtp")
    monkeypatch.delattr(importlib.metadata, "entry_points")
    assert registry.find("smtp") is adapter


def test_the_example_of_the_docs_serves_as_printed(serving: Start, plugged: dict[str, str]) -> None:
    run = serving("-b", "tiny://:0?workers=2", "-b", "tiny://:0?workers=2", environment=plugged)
    rows = run.rows()
    assert [(row.server, row.version, row.workers) for row in rows] == [("tiny", "1.2.3", 2)] * 2
    assert [url.startswith("http://127.0.0.1:") for row in rows for url in row.urls] == [True, True]
    assert [len(row.pids) for row in rows] == [2, 2], "webdemo starts the workers, because it has none"
    assert [get(row.urls[0]).status for row in rows] == [200, 200]
    assert run.terminate() == 0
    run.wait_until_gone()
    assert "Traceback" not in run.log()


def test_the_example_of_the_docs_finishes_the_request_in_flight(
    serving: Start, plugged: dict[str, str]
) -> None:
    run = serving("-b", "tiny://:0", environment=plugged)
    with Connection(run.url) as connection:
        connection.send_head("GET", "/slow?1")
        run.wait_for("begun /slow")
        assert run.terminate() == 0
        assert connection.answer().status == 200


def test_a_plugged_in_server_serves_with_its_options(serving: Start, plugged: dict[str, str]) -> None:
    run = serving("-b", "greeter://127.0.0.1:0?greeting=servus", environment=plugged)
    assert get(run.url).headers["X-Greeting"] == "servus"


READER = """
def app(environ, start_response):
    if environ["PATH_INFO"] == "/database":
        raise ConnectionResetError("of the app's database")
    environ["wsgi.input"].read(1)
    start_response("200 OK", [])
    return [b"read"]
"""


def test_a_client_that_leaves_is_no_error_of_the_app_for_a_plugged_in_server(
    running: Start, plugged: dict[str, str]
) -> None:
    run = running("-b", "greeter://127.0.0.1:0", app=READER, environment=plugged)
    with Connection(run.url) as connection:
        connection.send_head("GET", "/left")
        assert connection.socket.recv(1) == b"", "the server closes the connection of a client that has left"
    assert get(run.url, "/database").status == 500
    assert run.terminate() == 0
    assert run.log().count("AppRaised") == 1


def test_the_modules_of_a_server_are_those_named_like_its_package_unless_it_declares_others() -> None:
    def of(name: str) -> tuple[str, ...]:
        return registry.find(name).modules_of_client_io

    assert of("waitress") == ("webdemo.servers", "webdemo.servers.waitress", "waitress")
    assert of("wsgiref")[2:] == ("wsgiref.handlers", "wsgiref.simple_server")
    assert of("werkzeug")[2:] == ("werkzeug.serving",)
    assert of("paste.waitress")[2:] == ("waitress",)
    tiny = registry.find("waitress")._replace(distribution="Tiny-Server")
    assert tiny.modules_of_client_io[2:] == ("tiny_server",)
    bound = tiny._replace(serve=functools.partial(tiny.serve))
    assert bound.modules_of_client_io == tiny.modules_of_client_io


def test_a_plug_in_that_is_the_default_server_serves_one_address(
    serving: Start, plugged: dict[str, str]
) -> None:
    run = serving("--server", "tiny", environment=plugged)
    [row] = run.rows()
    assert [url.rpartition(":")[0] for url in row.urls] == ["http://127.0.0.1"]
    assert get(run.url).status == 200


def test_a_server_of_another_protocol_is_up_when_it_greets(
    running: Start, plugged: dict[str, str], tmp_path: Path
) -> None:
    run = running("-b", "clock://:0", "--directory", str(tmp_path), environment=plugged)
    [row] = run.rows()
    [url] = row.urls
    assert url.startswith("clock://127.0.0.1:")
    with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=60) as client:
        assert client.makefile().read() == f"It serves {tmp_path.name}\n"
    run.wait_for("told a client")


def test_a_server_of_another_protocol_that_declares_no_greeting_is_up_when_it_says_so(
    serving: Start, plugged: dict[str, str]
) -> None:
    run = serving("-b", "echo://:0", environment=plugged)
    [row] = run.rows()
    port = int(row.urls[0].rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        client.sendall(b"hello")
        assert client.recv(100) == b"hello"


def test_a_plugged_in_server_is_listed(running: Start, plugged: dict[str, str]) -> None:
    run = running("servers", wait=False, environment=plugged)
    assert run.wait() == 0
    words = [line.split() for line in run.log().splitlines()]
    about, kept = (" ".join(line) for line in words if line[:1] == ["tiny"])
    assert about == "tiny 1.2.3 http one request at a time"
    assert kept == "tiny - - one shared yes yes - - - -"
    assert "later" not in run.log()


def test_an_option_that_the_plug_in_lacks_is_refused(serving: Start, plugged: dict[str, str]) -> None:
    run = serving("-b", "greeter://:0?greetings=x", wait=False, environment=plugged)
    assert refused(run) == ["The server greeter has no option 'greetings'.", "Did you mean greeting?"]


@pytest.mark.parametrize(
    ("bind", "problem"),
    [
        ("bare+https://:0", "The server bare has no TLS."),
        ("tiny+unix:///tmp/tiny.sock", "The server tiny has no Unix sockets."),
        ("tiny://*:0", "The server tiny serves one address, and tiny://*:0 may be several."),
        ("tiny://localhost:0", "The server tiny serves one address, and tiny://localhost:0 may be several."),
        ("bare://:0?threads=2", "The server bare has no option 'threads'."),
        ("paste.waitress://:0?workers=2",
         "The server paste.waitress opens its port itself: it has one process, not 2."),
        ("incomplete://:0",
         "The server incomplete cannot be loaded from no_such_module: No module named 'no_such_module'."),
        ("misnamed://:0",
         "The server misnamed cannot be loaded from odd_servers:misnamed: the adapter is called 'tiny'."),
    ],
)  # fmt: skip
def test_what_a_plug_in_does_not_declare_is_refused(
    serving: Start, plugged: dict[str, str], bind: str, problem: str
) -> None:
    run = serving("-b", bind, wait=False, environment=plugged)
    assert run.wait() != 0
    assert problem in run.log().splitlines()
    assert "Traceback" not in run.log()


def test_a_server_of_one_socket_cannot_take_over_a_port_that_has_two(
    serving: Start, plugged: dict[str, str]
) -> None:
    run = serving("-b", "wsgiref://:0", "-b", "wsgiref://127.0.0.1:0", environment=plugged)
    both, one = (get_port(url) for url in (run.urls[0], run.urls[-1]))
    environment = os.environ | plugged

    def swap(port: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "webdemo", "swap", port, "tiny", "--pid", str(run.pid)],
            capture_output=True, text=True, timeout=90, check=False, env=environment,
        )  # fmt: skip

    refusal = swap(both)
    assert refusal.returncode != 0
    assert f"The server tiny serves one address, and tiny://:{both} may be several." in refusal.stderr
    assert swap(one).returncode == 0
    assert get(f"http://127.0.0.1:{one}/").status == 200


def get_port(url: str) -> str:
    return url.rstrip("/").rpartition(":")[2]


def test_a_server_whose_package_is_not_installed_says_how_to_install_it(
    serving: Start, plugged: dict[str, str]
) -> None:
    run = serving("-b", "absent://:0", wait=False, environment=plugged)
    assert refused(run) == [
        "The server absent is not installed.",
        "Install it: pip install no-such-distribution",
    ]


def test_a_plug_in_that_is_no_adapter_is_named(serving: Start, plugged: dict[str, str]) -> None:
    run = serving("-b", "broken://:0", wait=False, environment=plugged)
    assert refused(run) == [
        "The server broken cannot be loaded from odd_servers:broken: it is not a webdemo.servers.Adapter.",
        "Install what it needs, report it to its authors, or choose another server.",
    ]


@pytest.mark.parametrize(
    ("name", "contract", "to_upgrade"), [("later", 2, "webdemo"), ("earlier", 0, "tiny-server")]
)
def test_a_plug_in_made_for_another_contract_is_refused(
    serving: Start, plugged: dict[str, str], name: str, contract: int, to_upgrade: str
) -> None:
    run = serving("-b", f"{name}://:0", wait=False, environment=plugged)
    assert refused(run) == [
        f"The server {name} cannot be loaded from odd_servers:{name}: "
        f"it was made for contract {contract}, and this webdemo has contract 1.",
        f"Upgrade {to_upgrade} (pip install --upgrade {to_upgrade}), or choose another server.",
    ]


def test_an_unknown_server_is_refused_with_the_nearest_known(serving: Start) -> None:
    run = serving("-b", "gunicron://:0", wait=False)
    assert refused(run) == ["There is no server called 'gunicron'.", "Did you mean gunicorn?"]


def test_tls_on_waitress_is_refused_with_the_servers_that_have_it(serving: Start) -> None:
    run = serving("-b", "waitress+https://:0", wait=False)
    problem, remedy = refused(run)
    assert problem == "The server waitress has no TLS."
    assert "gunicorn" in remedy


def test_a_server_with_a_paste_runner_serves_by_its_paste_name(serving: Start) -> None:
    run = serving("-b", "paste.waitress://:0")
    assert run.rows()[0].server == "paste.waitress"
    assert get(run.url).text.startswith(SOFTWARE["waitress"])
    run.servers()[0].kill()
    run.wait_for("is up again")
    assert get(run.url).status == 200
    assert run.terminate() == 0
    run.wait_until_gone()


def test_a_paste_runner_that_lacks_what_it_needs_says_so(serving: Start) -> None:
    if importlib.util.find_spec("paste"):
        pytest.skip("PasteDeploy is installed, and Gunicorn's runner works")
    run = serving("-b", "paste.gunicorn://127.0.0.1:0", wait=False)
    assert run.wait() == 1
    runner = "gunicorn.app.pasterapp:serve"
    said = f"The server paste.gunicorn cannot be loaded from {runner}: No module named 'paste'."
    assert said in run.log().splitlines()
    assert "Traceback" not in run.log()


def test_a_paste_runner_cannot_have_several_addresses(serving: Start) -> None:
    run = serving("-b", "paste.waitress://*:0", wait=False)
    assert refused(run) == [
        "The server paste.waitress serves one address, and paste.waitress://*:0 may be several.",
        "Name one: paste.waitress://127.0.0.1:0",
    ]
