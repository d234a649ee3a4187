"""Servers that webdemo does not ship: by entry point, by Paste's entry points, and missing ones."""

from __future__ import annotations

import importlib.util
import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.raw_http import get
from tests.running import Running, Start
from tests.servers.kinds import SOFTWARE

PACKAGE = Path(__file__).parents[1] / "plugin_package"


@pytest.fixture(scope="module")
def plugged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment in which the package of tests/plugin_package is installed."""
    target = tmp_path_factory.mktemp("installed")
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index",
         "--disable-pip-version-check", "--target", str(target), str(PACKAGE)],
        check=True, timeout=100, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return {"PYTHONPATH": os.pathsep.join(filter(None, [str(target), os.environ.get("PYTHONPATH")]))}


def refused(run: Running) -> list[str]:
    """The output of a webdemo that refused its arguments."""
    assert run.wait() == 2
    return run.log().splitlines()


def test_a_plugged_in_server_serves_with_its_options(serving: Start, plugged: dict[str, str]) -> None:
    run = serving("-b", "tiny://127.0.0.1:0?greeting=servus&workers=2", environment=plugged)
    [row] = run.rows()
    assert (row.server, row.version, row.workers) == ("tiny", "1.2.3", 2)
    answer = get(run.url)
    assert answer.text.startswith("tiny/1.2.3")
    assert answer.headers["X-Greeting"] == "servus"
    assert run.terminate() == 0
    run.wait_until_gone()


def test_a_plugged_in_server_is_listed(running: Start, plugged: dict[str, str]) -> None:
    run = running("servers", wait=False, environment=plugged)
    assert run.wait() == 0
    assert "tiny" in run.log()
    assert "1.2.3" in run.log()
    assert "later" not in run.log()


def test_an_option_that_the_plug_in_lacks_is_refused(serving: Start, plugged: dict[str, str]) -> None:
    run = serving("-b", "tiny://:0?greetings=x", wait=False, environment=plugged)
    assert refused(run) == ["The server tiny has no option 'greetings'.", "Did you mean greeting?"]


def test_what_the_plug_in_cannot_do_is_refused(serving: Start, plugged: dict[str, str]) -> None:
    run = serving("-b", "tiny+unix:///tmp/tiny.sock", wait=False, environment=plugged)
    assert refused(run)[0] == "The server tiny has no Unix sockets."


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
        "The server broken cannot be loaded from tiny_server:broken: it is not a webdemo.servers.Adapter.",
        "Install what it needs, report it to whoever wrote it, or choose another server.",
    ]


@pytest.mark.parametrize(
    ("name", "contract", "to_upgrade"), [("later", 2, "webdemo"), ("earlier", 0, "tiny-server")]
)
def test_a_plug_in_made_for_another_contract_is_refused(
    serving: Start, plugged: dict[str, str], name: str, contract: int, to_upgrade: str
) -> None:
    run = serving("-b", f"{name}://:0", wait=False, environment=plugged)
    assert refused(run) == [
        f"The server {name} cannot be loaded from tiny_server:{name}: "
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
    run = serving("-b", "paste.waitress://127.0.0.1:0")
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
    assert refused(run)[0] == "The server paste.waitress opens its port itself: one address and one process."


def test_granian_takes_no_open_socket() -> None:
    granian = pytest.importorskip("granian")
    parameters = inspect.signature(granian.Granian.__init__).parameters
    assert {"address", "port", "uds"} <= parameters.keys()
    assert not [name for name in parameters if "sock" in name.replace("websockets", "") or "fd" in name]
