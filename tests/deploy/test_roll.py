"""A rolling update of three hosts behind a balancer loses no request, and is over when it is over.

Three hosts, a balancer and a client are network namespaces. Each host runs what `webdemo export` says.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests import running as runs
from tests.deploy.network import BALANCER, HOSTS, ROOT, Network, RemoteVisitors, network
from tests.deploy.visitors import Count
from webdemo import deploy
from webdemo.cli.export import make_site
from webdemo.config.sources import resolve_settings
from webdemo.deploy.site import Site

pytestmark = [
    pytest.mark.process,
    pytest.mark.deep,
    pytest.mark.timeout(600),
    pytest.mark.skipif(os.getuid() != 0 or not shutil.which("ip"), reason="needs root and iproute2"),
]

BIN = Path(sys.executable).parent
APP = """
import os
RELEASE = os.environ["WEBDEMO_RELEASE"]
def app(environ, start_response):
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)) or b"hello"
    start_response("200 OK", [("Content-Length", str(len(body))), ("X-Release", RELEASE)])
    return [body]
"""
REMOVED_SECONDS = 3.0  # after the SIGTERM: when Kubernetes has told every node
SETTLE_SECONDS = 5.0  # between two hosts, as docs/deploy.md says


class Host:
    """One host's webdemo."""

    def __init__(self, net: Network, address: str, folder: Path, arguments: tuple[str, ...]) -> None:
        self.address = address
        self._net = net
        self._folder = folder
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None
        self._starts = 0

    def start(self, release: str) -> None:
        self._starts += 1
        log = self._folder / f"{self.address}-{self._starts}.log"
        with log.open("wb") as output:
            self._process = self._net.popen(
                self.address,
                *(sys.executable, "-m", "webdemo", *self._arguments),
                cwd=self._folder,
                env=os.environ | {"WEBDEMO_RELEASE": release},
                stdout=output,
                stderr=output,
            )
        runs.wait_until(lambda: "Ready in" in log.read_text(), log.read_text)

    def begin_stop(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)

    def wait(self) -> None:
        assert self._process is not None
        assert self._process.wait(60) == 0

    def clean_up(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.begin_stop()
            self._process.wait(60)


# -- balancers ------------------------------------------------------------------------------------


@contextmanager
def _running(net: Network, folder: Path, *command: str, **environment: str) -> Iterator[None]:
    with (folder / "balancer.log").open("wb") as log:
        process = net.popen(
            BALANCER, *command, cwd=folder, env=os.environ | environment, stdout=log, stderr=log
        )
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)


@contextmanager
def haproxy(net: Network, folder: Path, site: Site) -> Iterator[Callable[[int], None]]:
    text = deploy.FORMATS["haproxy"](site)["haproxy.cfg"].replace("/run/haproxy", str(folder))
    (folder / "haproxy.cfg").write_text(text)
    with _running(net, folder, "haproxy", "-db", "-f", "haproxy.cfg"):
        yield lambda host: None


@contextmanager
def nginx(net: Network, folder: Path, site: Site) -> Iterator[Callable[[int], None]]:
    [(name, text)] = deploy.FORMATS["nginx"](site).items()
    (folder / name).write_text(text)
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off;\nuser root;\npid {folder}/pid;\nerror_log stderr;\nevents {{}}\n"
        f"http {{ access_log off; {temporary} include {folder}/{name}; }}\n"
    )
    with _running(net, folder, "nginx", "-e", "stderr", "-c", str(folder / "nginx.conf")):
        yield lambda host: None


@contextmanager
def caddy(net: Network, folder: Path, site: Site) -> Iterator[Callable[[int], None]]:
    upstreams = " ".join(f"{host}:{site.first_port}" for host in site.hosts)
    command = (str(BIN / "caddy"), "run", "--config", str(ROOT / "examples/deploy/Caddyfile"))
    where = {"HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "XDG_DATA_HOME": str(folder)}
    with _running(net, folder, *command, UPSTREAMS=upstreams, SITE="http://:8080", **where):
        yield lambda host: None


@contextmanager
def kubernetes(net: Network, folder: Path, site: Site) -> Iterator[Callable[[int], None]]:
    """Connections are passed on without checks and retries; an endpoint is removed late."""
    servers = "\n".join(f"    server h{n} {host}:{site.first_port}" for n, host in enumerate(site.hosts))
    (folder / "haproxy.cfg").write_text(
        f"global\n    stats socket {folder}/admin.sock level admin\n"
        "defaults\n    mode tcp\n    retries 0\n    timeout connect 3s\n    timeout client 60s\n"
        "    timeout server 60s\n"
        f"listen pods\n    bind :8080\n    balance roundrobin\n{servers}\n"
    )

    def say(command: str) -> None:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(folder / "admin.sock"))
            sock.sendall(command.encode() + b"\n")
            sock.recv(1000)

    def moved(host: int) -> None:
        """Positive: that host has had its SIGTERM; negative: it is ready again."""
        if host > 0:
            time.sleep(REMOVED_SECONDS)
            say(f"set server pods/h{host - 1} state drain")
        else:
            say(f"set server pods/h{-host - 1} state ready")

    with _running(net, folder, "haproxy", "-db", "-f", "haproxy.cfg"):
        yield moved


BALANCERS = {"haproxy": haproxy, "nginx": nginx, "caddy": caddy, "kubernetes": kubernetes}


def roll(balancer: str, server: str, folder: Path, *more: str) -> Count:
    """Replace release 1 by release 2 on one host after the other, under load."""
    (folder / "served.py").write_text(APP)
    flags = {
        "app": "served:app",
        "server": server,
        "trusted_proxies": (BALANCER,),
        **dict(zip(more[::2], map(float, more[1::2]), strict=True)),
    }
    resolved = resolve_settings(flags, {}, folder)
    site = make_site(resolved, "haproxy", HOSTS)
    with network() as net, ExitStack() as undo:
        hosts = [Host(net, address, folder, site.arguments) for address in HOSTS]
        for host in hosts:
            undo.callback(host.clean_up)
            host.start("1")
        moved = undo.enter_context(BALANCERS[balancer](net, folder, site))
        runs.wait_until(
            lambda: "200 OK" in net.run(BALANCER, "curl", "-si", "-m2", f"http://{BALANCER}:8080/"),
            lambda: "\n".join(log.read_text() for log in folder.glob("*.log")),
        )
        time.sleep(SETTLE_SECONDS)
        visitors = RemoteVisitors(
            net,
            host=BALANCER,
            port=8080,
            clients=8,
            per_second=10.0,
            kept=True,
            posts=True,
            most_seconds=300.0,
        )
        try:
            for number, host in enumerate(hosts, 1):
                host.begin_stop()
                moved(number)
                host.wait()
                host.start("2")
                moved(-number)
                time.sleep(SETTLE_SECONDS)
            visitors.begin_end()
            time.sleep(SETTLE_SECONDS)
        finally:
            count = visitors.stop()
    print(balancer, server, count)
    return count


@pytest.mark.parametrize("server", ["gunicorn", "waitress"])
@pytest.mark.parametrize("balancer", BALANCERS)
def test_a_roll_loses_no_request_and_ends_with_the_new_release(
    balancer: str, server: str, tmp_path: Path
) -> None:
    count = roll(balancer, server, tmp_path)
    assert count.total >= 1500
    assert not count.lost
    assert count.releases_at_the_end.keys() == {"2"}


def test_a_delay_shorter_than_kubernetes_needs_loses_requests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: without it, the tests above might show nothing."""
    monkeypatch.setattr("webdemo.cli.export.NOTICE_SECONDS", 0)
    assert roll("kubernetes", "gunicorn", tmp_path, "drain_delay", "1").lost
