"""The example's playbook rolls three machines with systemd behind HAProxy, each as the exported files say."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from tests import running as runs
from tests.deploy.machine import Machine, machine, make_venv, why_none
from tests.deploy.network import BALANCER, HOSTS, ROOT, Network, RemoteVisitors, network
from tests.deploy.test_roll import SETTLE_SECONDS, haproxy
from tests.deploy.visitors import Count
from webdemo import deploy
from webdemo.cli.export import make_site
from webdemo.config.sources import resolve_settings

pytestmark = [
    pytest.mark.process,
    pytest.mark.deep,
    pytest.mark.timeout(900),
    pytest.mark.skipif(why_none() is not None, reason=str(why_none())),
]

EXAMPLES = ROOT / "examples/deploy"
APP = """
from pathlib import Path
from webdemo import App, Response

app = App()
RELEASE = Path(__file__).resolve().parent.name

@app.get("/")
def home(request):
    return Response(app.static_url("site.css"), headers={"X-Release": RELEASE})
"""
WITHOUT_DATABASE = """
if Path("/srv/shop/current").resolve() == Path(__file__).resolve().parent:
    raise RuntimeError("the database does not answer")
"""
SETTINGS = 'app = "served:app"\nassets-archive = "/srv/shop/assets"\n'


class Site(NamedTuple):
    net: Network
    machines: dict[str, Machine]
    folders: dict[str, Path]  # of this system, each with releases and a symlink `current`
    ssh: Path

    def roll(self, release: str, *more: str) -> tuple[subprocess.CompletedProcess[str], Count]:
        """Run the playbook, under load."""
        visitors = RemoteVisitors(
            self.net, host=BALANCER, port=8080, per_second=10.0, kept=True, most_seconds=400.0
        )
        extra = {
            "release": release,
            "balancer_socket": f"{self.ssh.parent}/admin.sock",
            "ansible_ssh_executable": str(self.ssh),
            "ansible_python_interpreter": "/usr/bin/python3",
            "ansible_remote_tmp": f"{self.ssh.parent}/remote",
        }
        variables = " ".join(f"{name}={shlex.quote(value)}" for name, value in extra.items())
        command: list[str | Path] = [
            Path(sys.executable).parent / "ansible-playbook",
            "-i",
            EXAMPLES / "inventory.ini",
        ]
        environment = {"ANSIBLE_HOME": str(self.ssh.parent), "ANSIBLE_PIPELINING": "1", "LC_ALL": "C.UTF-8"}
        try:
            done = subprocess.run(
                [*command, EXAMPLES / "roll.yml", "-e", variables, *more],
                env=os.environ | environment,
                capture_output=True,
                text=True,
                timeout=400,
                check=False,
            )
            visitors.begin_end()
            time.sleep(SETTLE_SECONDS)
        finally:
            count = visitors.stop()
        print(done.stdout, count)
        return done, count

    def current(self) -> list[str]:
        return [str((folder / "current").readlink()) for folder in self.folders.values()]


def add_release(folder: Path, name: str, app: str = APP) -> None:
    release = folder / "releases" / name
    (release / "static").mkdir(parents=True)
    (release / "static" / "site.css").write_text(f"/* {name} */\n")
    (release / "served.py").write_text(app)
    (release / "webdemo.toml").write_text(SETTINGS)
    make_venv(release / ".venv")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Three machines that serve release 1, HAProxy, and releases that wait."""
    resolved = resolve_settings({"server": "gunicorn", "trusted_proxies": (BALANCER,)}, {}, tmp_path)
    exported = make_site(resolved, "systemd", HOSTS)._replace(
        name="shop", folder="/srv/shop/current", python="/srv/shop/current/.venv/bin/python"
    )
    folders = {address: tmp_path / f"shop-{address}" for address in HOSTS}
    ssh = tmp_path / "ssh"
    with network() as net, ExitStack() as undo:
        machines = {}
        for address, folder in folders.items():
            for name in ("1", "2", "3"):
                add_release(folder, name)
            add_release(folder, "broken", "1 +")
            add_release(folder, "failing", APP + WITHOUT_DATABASE)
            (folder / "current").symlink_to("releases/1")
            units = deploy.FORMATS["systemd"](exported)
            shared = {folder: "/srv/shop"}
            machines[address] = undo.enter_context(
                machine(net, address, tmp_path, units=units, shared=shared)
            )
            machines[address].run("systemctl", "start", "shop.service")
        undo.enter_context(haproxy(net, tmp_path, exported))
        commands = {address: booted.command("sh", "-c") for address, booted in machines.items()}
        commands[BALANCER] = net.command(BALANCER, "sh", "-c")
        cases = "".join(
            f'*" {address} "*) exec {shlex.join(command)} "$last" ;;\n'
            for address, command in commands.items()
        )
        ssh.write_text(f'#!/bin/sh\nfor last; do :; done\ncase " $* " in\n{cases}esac\n')
        ssh.chmod(0o755)
        runs.wait_until(
            lambda: "200 OK" in net.run(BALANCER, "curl", "-si", "-m2", f"http://{BALANCER}:8080/"),
            machines[HOSTS[0]].journal,
        )
        time.sleep(SETTLE_SECONDS)
        yield Site(net, machines, folders, ssh)


def test_the_playbook_restarts_reloads_and_ends_at_a_release_that_does_not_answer(site: Site) -> None:
    for release, how in (("2", "restarted"), ("3", "reloaded")):
        done, count = site.roll(release, "-e", f"how={how}")
        assert done.returncode == 0, done.stdout + done.stderr
        assert not count.lost, count
        assert count.releases_at_the_end.keys() == {release}, count
        assert site.current() == [f"releases/{release}"] * 3
        for folder in site.folders.values():
            assert release in {path.name for path in (folder / "assets").iterdir()}, (
                "its assets are published"
            )

    for release, first in (("broken", "3"), ("failing", "failing")):
        done, count = site.roll(release)
        assert done.returncode != 0
        assert site.current() == [f"releases/{first}", "releases/3", "releases/3"], "the others are as before"
        assert not count.lost, count
        assert count.releases_at_the_end.keys() == {"3"}
