"""The exported units under a real systemd, in a container that boots this system."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.machine import Machine, machine, make_venv, why_none
from tests.deploy.network import CLIENT, HOSTS, Network, RemoteVisitors, network
from webdemo import deploy
from webdemo.cli.export import make_site
from webdemo.config.sources import resolve_settings

pytestmark = [
    pytest.mark.process,
    pytest.mark.deep,
    pytest.mark.timeout(600),
    pytest.mark.skipif(why_none() is not None, reason=str(why_none())),
]

ADDRESS = HOSTS[0]
PYTHON = "/srv/shop/.venv/bin/python"
APP = """
import subprocess, sys, tempfile, threading, time
from pathlib import Path

time.sleep(1)  # so that the first visitor waits

def may_write(folder):
    try:
        Path(folder, "written").write_text("x")
    except OSError:
        return False
    return True

def app(environ, start_response):
    lines = []
    if environ["PATH_INFO"] == "/facts":
        thread = threading.Thread(target=lines.append, args=("thread",))
        thread.start()
        thread.join()
        lines.append(subprocess.run(["/bin/echo", "child"], capture_output=True, text=True).stdout.strip())
        with tempfile.TemporaryFile() as file:
            file.write(b"x")
        lines += [f"{folder} {may_write(folder)}" for folder in ("/var/lib/shop", "/srv/shop", "/etc")]
    body = "\\n".join(["hello", *lines]).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
"""


@pytest.fixture(params=["gunicorn", "waitress"])
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Network, Machine]]:
    """A machine with what `webdemo export systemd` writes; only its socket has been started."""
    site_folder = tmp_path / "shop"
    site_folder.mkdir(mode=0o755)
    (site_folder / "served.py").write_text(APP)
    make_venv(site_folder / ".venv")
    resolved = resolve_settings({"app": "served:app", "server": request.param, "health": True}, {}, tmp_path)
    site = make_site(resolved, "systemd", HOSTS)
    site = site._replace(name="shop", folder="/srv/shop", python=PYTHON)
    units = deploy.FORMATS["systemd"](site)
    shared = {site_folder: "/srv/shop"}
    with network() as net, machine(net, ADDRESS, tmp_path, units=units, shared=shared) as booted:
        booted.run("systemctl", "start", "shop.socket")
        yield net, booted


def queue_length(booted: Machine) -> str:
    return booted.run("ss", "-Hltn", "sport = :8000").split()[2]


def test_the_units_serve_the_first_visitor_and_lose_nobody_over_two_restarts_and_a_reload(
    host: tuple[Network, Machine],
) -> None:
    net, booted = host
    assert booted.run("systemctl", "is-active", "shop.service", check=False) == "inactive\n"
    length = queue_length(booted)
    first = net.run(CLIENT, "curl", "-si", "-m40", f"http://{ADDRESS}:8000/")
    assert first.startswith("HTTP/1.1 200"), first + booted.journal()
    assert first.endswith("hello")

    visitors = RemoteVisitors(net, host=ADDRESS, port=8000, clients=10, per_second=25.0, kept=True)
    try:
        for what in ("restart", "restart", "reload"):
            pid = booted.run("systemctl", "show", "--property=MainPID", "--value", "shop.service")
            booted.run("systemctl", what, "shop.service")
            now = booted.run("systemctl", "show", "--property=MainPID", "--value", "shop.service")
            assert (now == pid) is (what == "reload")
            assert queue_length(booted) == length
    finally:
        count = visitors.stop()
    print(count)
    assert not count.lost, count
    assert count.total >= 300

    facts = net.run(CLIENT, "curl", "-s", f"http://{ADDRESS}:8000/facts").splitlines()
    writable = ["/var/lib/shop True", "/srv/shop False", "/etc False"]
    assert facts == ["hello", "thread", "child", *writable], "the hardening leaves the app what it needs"
    as_shop = ("runuser", "-u", "shop", "--", "env", "XDG_RUNTIME_DIR=/run/shop")
    assert ":8000" in booted.run(*as_shop, PYTHON, "-m", "webdemo", "ps").replace(" 8000", ":8000")
    assert " up " in booted.run(*as_shop, PYTHON, "-m", "webdemo", "ps")

    exposure = booted.run("systemd-analyze", "security", "--no-pager", "shop.service").splitlines()[-1]
    print(exposure)
    found = re.search(r"exposure level for shop\.service: ([\d.]+)", exposure)
    assert found is not None, exposure
    assert float(found[1]) < 3

    booted.run("systemctl", "stop", "shop.service", "shop.socket")
    assert booted.run("systemctl", "show", "--property=Result", "--value", "shop.service") == "success\n"
